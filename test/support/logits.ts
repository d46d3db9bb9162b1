// Logits of a model for a batch, read out of the engine.

import type { TokenBatch } from "../../src/nn/batch.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { tensor } from "../../src/tensor/create.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";

/** Logits [B, T, V] of a batch, its documents kept apart. */
export function logitsOf(model: Transformer, batch: TokenBatch): Float32Array {
  const shape = [batch.batchSize, batch.blockSize];
  return scope(() =>
    noGrad(
      () =>
        model
          .forward(tensor(batch.inputs, { shape }), {
            positions: tensor(batch.positions, { shape }),
            starts: tensor(batch.starts, { shape }),
          })
          .toArray() as Float32Array,
    ),
  );
}
