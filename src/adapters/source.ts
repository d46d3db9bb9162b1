// Where the tensors of a new adapter come from: fresh values, each tensor from a random stream of its own.

import { full } from "../tensor/create.ts";
import { normal, uniform } from "../tensor/random.ts";
import { leaf } from "../tensor/record.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Init, TensorSource } from "./method.ts";

/** A tensor of an adapter, and whether it trains. */
export interface AdapterTensor {
  readonly tensor: Tensor;
  readonly trains: boolean;
}

/** Tensors by their keys, in the order in which they were asked for. */
export type AdapterTensors = Map<string, AdapterTensor>;

/** A source that puts all that it makes into `made`. `make` gets the tensor's number among those of its layer. */
export function noting(
  made: AdapterTensors,
  make: (key: string, shape: readonly number[], init: Init, ordinal: number) => Tensor,
): TensorSource {
  return (key, shape, init, { trains = true } = {}) => {
    const tensor = make(key, shape, init, made.size);
    made.set(key, { tensor, trains });
    return tensor;
  };
}

/** A stream of random numbers for a name (FNV-1a, 32 bits), so that adding a layer does not shift the others. */
function streamOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/**
 * Fresh tensors of one layer. Tensor i of the layer draws from stream 2·h + i, with h the hash of `name`: LoRA, which has
 * two, shares none with another layer unless their names have one hash.
 */
export function freshSource(made: AdapterTensors, name: string, seed: number): TensorSource {
  const first = streamOf(name) * 2;
  return noting(made, (_, shape, init, ordinal) =>
    fresh(shape, init, { seed, stream: (first + ordinal) >>> 0, persistent: true }),
  );
}

function fresh(
  shape: readonly number[],
  init: Init,
  options: { readonly seed: number; readonly stream: number; readonly persistent: true },
): Tensor {
  const { persistent } = options;
  switch (init.kind) {
    case "constant":
      return full(shape, init.value, { persistent });
    case "uniform":
      return uniform(shape, { ...options, low: -init.bound, high: init.bound });
    case "normal":
      return normal(shape, { ...options, std: init.std });
    case "copy":
      return leaf(shape, (out) => out.set(init.of.toArray()), { persistent });
  }
}
