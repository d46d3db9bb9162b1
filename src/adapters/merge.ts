// What merging puts in the place of a module's parameters: new tensors, made of the module's own ones and its adapters'
// `merged`, so that unmerging restores every bit.

import { LowrankError, UsageError } from "../core/error.ts";
import { isLinear } from "../nn/linear.ts";
import { allOrNothing, leaf } from "../tensor/record.ts";
import { noGrad, scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdaptedModule } from "./adaptedModule.ts";
import type { Merged } from "./layer.ts";

/**
 * New parameters of a module with the named adapters merged in, one after the other; none when no adapter is on it.
 * @throws LowrankError when one would not be finite, UsageError for an adapter that cannot be merged
 */
export function mergedParameters(
  module: AdaptedModule,
  names: readonly string[],
  path: string,
): Map<string, Tensor> {
  const merges = names.flatMap((name) => {
    const layer = module.layers.get(name);
    if (layer === undefined) return [];
    if (layer.merged !== undefined && isLinear(module)) return [layer.merged.bind(layer)];
    throw new UsageError(
      `The adapter "${name}" cannot be merged: what it does at ${path} is not what any other weight does. ` +
        "Use it unmerged.",
    );
  });
  if (merges.length === 0 || !isLinear(module)) return new Map();
  const weight = module.original("weight");
  const bias = module.bias === null ? null : module.original("bias");
  const values = weight.engine.run(() =>
    noGrad(() =>
      scope(() => {
        const base: Merged = { weight: weight.detach(), bias: bias?.detach() ?? null };
        const sum = merges.reduce((so, merged) => merged(so.weight, so.bias), base);
        return [
          ["weight", weight, changed(base.weight, sum.weight)],
          ["bias", bias, changed(base.bias, sum.bias)],
        ] as const;
      }),
    ),
  );
  return allOrNothing(() => {
    const parameters = new Map<string, Tensor>();
    for (const [name, original, data] of values) {
      if (original === null || data === null) continue;
      parameters.set(name, mergedTensor(original, data, `${name} of ${path}`));
    }
    return parameters;
  });
}

function changed(before: Tensor | null, after: Tensor | null): ArrayLike<number> | null {
  return after === before || after === null ? null : after.toArray();
}

function mergedTensor(original: Tensor, data: ArrayLike<number>, what: string): Tensor {
  if (!Array.prototype.every.call(data, Number.isFinite)) {
    throw new LowrankError(
      `Merging would make the ${what} infinite or NaN. Nothing was changed; check the adapter's tensors and its scale.`,
    );
  }
  const { engine, shape, prepack, packed } = original;
  const merged = leaf(shape, (out) => out.set(data), { persistent: true }, engine);
  merged.readOnly = `The ${what} holds merged adapters and cannot be written. Call unmerge() on them first.`;
  if (packed || shape.length === 2) merged.pack({ prepack: prepack ?? "forward" });
  return merged;
}
