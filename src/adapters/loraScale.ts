// Rank, alpha and scale of each adapted module: s = alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA
// (Kalajdzievski 2023, arXiv:2312.03732).

import { optionName } from "../core/wording.ts";
import type { LinearLike } from "../nn/linear.ts";
import type { LoraConfig } from "./loraConfig.ts";
import type { Site } from "./method.ts";
import { Steps } from "./pattern.ts";
import { FirstMatch } from "./patternMap.ts";
import { capped, existing } from "./target.ts";

/** Rank, alpha and scale s of one module. */
export interface LoraScale {
  readonly r: number;
  readonly alpha: number;
  readonly scale: number;
}

/** The ranks and scales that a config gives. */
export class LoraScales {
  readonly #config: LoraConfig;
  readonly #ranks: FirstMatch;
  readonly #alphas: FirstMatch;

  constructor(config: LoraConfig) {
    const steps = new Steps();
    this.#config = config;
    this.#ranks = new FirstMatch(config.rankPattern, "rankPattern", steps);
    this.#alphas = new FirstMatch(config.alphaPattern, "alphaPattern", steps);
  }

  /** Those of the module at a path. */
  of(path: string): LoraScale {
    const { r: rank, loraAlpha, useRslora } = this.#config;
    const r = this.#ranks.of(path) ?? rank;
    const alpha = this.#alphas.of(path) ?? loraAlpha;
    return { r, alpha, scale: alpha / (useRslora ? Math.sqrt(r) : r) };
  }

  /** Remarks on keys that match none of the adapted modules, and on ranks that say more than a weight can hold. */
  remarks(sites: readonly Site[]): string[] {
    const paths = sites.map(({ path }) => path);
    const scales = paths.map((path) => this.of(path));
    const remarks: string[] = [];
    for (const [option, match] of [
      ["rankPattern", this.#ranks],
      ["alphaPattern", this.#alphas],
    ] as const) {
      const unused = match.unused(paths);
      for (const key of capped(
        unused,
        remarks,
        `keys of ${optionName(option)} match no adapted module`,
      )) {
        remarks.push(
          `${optionName(option)} ${JSON.stringify(key)} matches no adapted module; ${existing(sites, key)}.`,
        );
      }
    }
    const wide = sites.filter(({ module }, i) => {
      const { inFeatures, outFeatures } = module as LinearLike;
      return (scales[i]?.r ?? 0) > Math.min(inFeatures, outFeatures);
    });
    return wide.length === 0 ? remarks : [...remarks, wideRemark(wide)];
  }
}

/** A product of B [N, r] and A [r, K] has no more independent rows than the smaller of N and K. */
function wideRemark([first, ...others]: readonly Site[]): string {
  if (first === undefined) return "";
  const { inFeatures, outFeatures } = first.module as LinearLike;
  const more = others.length > 0 ? ` and ${others.length} more` : "";
  return (
    `The rank for ${first.path} [${outFeatures}, ${inFeatures}]${more} is above the smaller side of the weight: it takes ` +
    "memory and time, and cannot express more than that side."
  );
}
