// Rank and effective scale of every module that an adapter's file holds, without the model it was made for: the paths
// are those of the tensors, the rank is a side of A.

import type { LoraConfig } from "../adapters/config.ts";
import { Scales } from "../adapters/scale.ts";
import { bareName } from "../io/tensor-names.ts";
import type { TensorEntry } from "./tensorTable.ts";

/** A module that the adapter changes. */
export interface InspectedTarget {
  readonly path: string;
  readonly r: number;
  readonly alpha: number;
  readonly scale: number;
}

export function resolveTargets(
  tensors: readonly TensorEntry[],
  config: LoraConfig,
): InspectedTarget[] {
  const paths = new Set<string>();
  for (const { name } of tensors) {
    const path = /^(.+)\.lora_[AB](?:\.[^.]+)?\.weight$/.exec(bareName(name))?.[1];
    if (path !== undefined) paths.add(path);
  }
  // The file holds what was adapted: only ranks and alphas are left to find.
  const scales = new Scales(config);
  return [...paths].map((path) => scales.of(path));
}
