// Where a layer's parameters come from: an initializer makes the persistent tensor for a shape and a role.

import { expectNumber } from "../core/kind.ts";
import { normal, splitSeed } from "../tensor/random.ts";
import { leaf } from "../tensor/record.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What a parameter is for: it decides the initial values. */
export type Role = "weight" | "bias" | "gain" | "embedding";

/** Makes a parameter. */
export type Initializer = (shape: readonly number[], role: Role) => Tensor;

/** Gains 1, everything else 0: for parameters whose values are about to be loaded. */
export const emptyParameter: Initializer = (shape, role) =>
  leaf(shape, (data) => data.fill(role === "gain" ? 1 : 0), {
    persistent: true,
    requiresGrad: true,
  });

/**
 * Normal values of standard deviation `std` for weights and embeddings (GPT-2's choice is 0.02), gains 1, biases 0.
 * Each parameter draws from a stream of its own, so that adding a layer does not shift the others.
 */
export function normalInitializer(seed: number, std = 0.02): Initializer {
  splitSeed(seed);
  expectNumber("std", std);
  let stream = 0;
  return (shape, role) => {
    const own = stream++;
    if (role === "gain" || role === "bias") return emptyParameter(shape, role);
    return normal(shape, { std, seed, stream: own, persistent: true, requiresGrad: true });
  };
}
