// Rank, alpha and scale of an adapted module, by PEFT's rules (peft, `utils/other.py`, get_pattern_key): r and alpha are
// those of the first key of rankPattern and alphaPattern that matches the end of the module's path.
import { optionName } from "../core/wording.ts";
import type { LoraConfig } from "./config.ts";
import { Pattern, Steps } from "./pattern.ts";

/** A module that gets an adapter, with its own rank, alpha and scale s. */
export interface Target {
  readonly path: string;
  readonly r: number;
  readonly alpha: number;
  readonly scale: number;
}

/** The ranks and scales that a config gives. */
export class Scales {
  readonly #config: LoraConfig;
  readonly #patterns: Readonly<Record<"rankPattern" | "alphaPattern", FirstMatch>>;

  /** @param steps what the patterns may take; a UsageError when they take more */
  constructor(config: LoraConfig, steps: Steps = new Steps()) {
    this.#config = config;
    this.#patterns = {
      rankPattern: new FirstMatch(config.rankPattern, "rankPattern", steps),
      alphaPattern: new FirstMatch(config.alphaPattern, "alphaPattern", steps),
    };
  }

  of(path: string): Target {
    const { r: rank, loraAlpha, useRslora } = this.#config;
    const { rankPattern, alphaPattern } = this.#patterns;
    const starts = startsOfParts(path);
    const r = rankPattern.of(path, starts) ?? rank;
    const alpha = alphaPattern.of(path, starts) ?? loraAlpha;
    return { path, r, alpha, scale: alpha / (useRslora ? Math.sqrt(r) : r) };
  }

  /** Keys that match none of these modules, which are all that were asked for. */
  unused(option: "rankPattern" | "alphaPattern", modules: readonly Target[]): string[] {
    return this.#patterns[option].unused(modules);
  }
}

/** Values by keys, of which the first counts that matches `(.*\.)?(KEY)$`; the order of the keys counts. */
class FirstMatch {
  readonly #patterns: { readonly pattern: Pattern; readonly value: number }[];
  readonly #steps: Steps;
  readonly #used = new Set<Pattern>();

  constructor(values: ReadonlyMap<string, number>, option: string, steps: Steps) {
    const name = optionName(option);
    this.#patterns = [...values].map(([key, value]) => ({
      pattern: new Pattern(key, name),
      value,
    }));
    this.#steps = steps;
  }

  of(path: string, starts: readonly number[]): number | undefined {
    const found = this.#patterns.find(({ pattern }) =>
      pattern.matchesEnd(path, starts, this.#steps),
    );
    if (found !== undefined) this.#used.add(found.pattern);
    return found?.value;
  }

  /** Keys that match none of these modules, of all that were asked for; others may have come before. */
  unused(modules: readonly Target[]): string[] {
    const matchesNone = (pattern: Pattern): boolean =>
      !modules.some(({ path }) => pattern.matchesEnd(path, startsOfParts(path), this.#steps));
    return this.#patterns
      .filter(({ pattern }) => !this.#used.has(pattern) && matchesNone(pattern))
      .map(({ pattern }) => pattern.source);
  }
}

/** Where the parts of a path begin. */
export function startsOfParts(path: string): number[] {
  const starts = [0];
  for (let i = 0; i < path.length; i++) if (path[i] === ".") starts.push(i + 1);
  return starts;
}
