// Numbers for single modules by patterns for the end of their path: PEFT's rank_pattern and alpha_pattern
// (peft, `utils/other.py`, get_pattern_key). The first key that matches `(.*\.)?(KEY)$` counts.

import { UsageError } from "../core/error.ts";
import { isMap } from "../core/realm.ts";
import { optionName } from "../core/wording.ts";
import { wrong } from "./option.ts";
import { Pattern, Steps } from "./pattern.ts";

/** Numbers by patterns, in order. */
export type KeyedNumbers = ReadonlyMap<string, number>;

/** Letters of all patterns of an option, each of which is compiled. */
const MAX_LETTERS = 500_000;

/** Throws when it has been given too many letters. */
export function letterCounter(option: string): (pattern: string) => void {
  let letters = 0;
  return (pattern) => {
    letters += pattern.length;
    if (letters <= MAX_LETTERS) return;
    throw new UsageError(
      `${option} holds patterns of more than ${MAX_LETTERS} letters together. Give fewer and shorter ones.`,
    );
  };
}

/** Checks an object, or a Map, from patterns to numbers. */
export function keyedNumbers(
  value: unknown,
  option: string,
  check: (value: unknown, option: string) => number,
): KeyedNumbers {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return wrong(option, value, "an object from module name patterns to numbers");
  }
  const entries: Iterable<[string, unknown]> = isMap(value)
    ? (value as ReadonlyMap<string, unknown>)
    : Object.entries(value);
  const result = new Map<string, number>();
  const count = letterCounter(option);
  for (const [key, number] of entries) {
    count(key);
    const name = `${option} ${JSON.stringify(key)}`;
    new Pattern(key, name);
    result.set(key, check(number, name));
  }
  return result;
}

/** The numbers of one option, ready to be asked for. */
export class FirstMatch {
  readonly #patterns: { readonly pattern: Pattern; readonly value: number }[];
  readonly #steps: Steps;
  readonly #used = new Set<Pattern>();

  /** @param steps what the patterns may take; a UsageError when they take more */
  constructor(values: KeyedNumbers, option: string, steps: Steps = new Steps()) {
    this.#patterns = [...values].map(([key, value]) => ({
      pattern: new Pattern(key, optionName(option)),
      value,
    }));
    this.#steps = steps;
  }

  /** The number for the module at a path; undefined when no key matches it. */
  of(path: string): number | undefined {
    const starts = startsOfParts(path);
    const found = this.#patterns.find(({ pattern }) =>
      pattern.matchesEnd(path, starts, this.#steps),
    );
    if (found !== undefined) this.#used.add(found.pattern);
    return found?.value;
  }

  /** Keys that match none of these paths, which are all that were asked for; others may have come before. */
  unused(paths: readonly string[]): string[] {
    const matchesNone = (pattern: Pattern): boolean =>
      !paths.some((path) => pattern.matchesEnd(path, startsOfParts(path), this.#steps));
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
