// How far a merged model is from the unmerged one: both compute the logits of the same held-out tokens. They differ by
// rounding alone, since x·(W + s·B·A)ᵀ and x·Wᵀ + s·(x·Aᵀ)·Bᵀ are the same sums in another order.

import type { Adapter } from "../adapters/adapter.ts";
import type { Dataset } from "../data/dataset.ts";
import type { TokenBatch } from "../nn/batch.ts";
import type { Transformer } from "../nn/transformer.ts";
import { tensor } from "../tensor/create.ts";
import { noGrad, scope } from "../tensor/scope.ts";

// 64 MB of logits.
const MOST_LOGITS = 1 << 24;

export interface MergeDifference {
  /** Largest difference of two logits, and the largest logit beside it. */
  readonly largestDifference: number;
  readonly largestLogit: number;
  /** Tokens that were compared. */
  readonly tokens: number;
}

/** Merges the adapter, and leaves it merged. */
export function mergeAndCompare(adapter: Adapter, data: Dataset): MergeDifference {
  const { model } = adapter;
  const batch = firstTokens(
    held(data),
    Math.max(1, Math.floor(MOST_LOGITS / model.config.vocabSize)),
  );
  model.eval();
  const unmerged = logits(model, batch);
  adapter.merge();
  const merged = logits(model, batch);
  let largestDifference = 0;
  let largestLogit = 0;
  for (let i = 0; i < merged.length; i++) {
    largestDifference = Math.max(
      largestDifference,
      Math.abs((merged[i] ?? 0) - (unmerged[i] ?? 0)),
    );
    largestLogit = Math.max(largestLogit, Math.abs(merged[i] ?? 0));
  }
  return { largestDifference, largestLogit, tokens: batch.inputs.length };
}

/** Held-out tokens, or with nothing held out the first ones. */
function held(data: Dataset): TokenBatch {
  for (const batch of data.validationBatches()) return batch;
  return data.batchAt(0);
}

/** The upper left part of a batch with at most so many tokens, at least one. */
function firstTokens(batch: TokenBatch, most: number): TokenBatch {
  const blockSize = Math.min(batch.blockSize, most);
  const batchSize = Math.max(1, Math.min(batch.batchSize, Math.floor(most / blockSize)));
  const cut = (values: Int32Array) =>
    Int32Array.from(
      { length: batchSize * blockSize },
      (_, i) => values[Math.floor(i / blockSize) * batch.blockSize + (i % blockSize)] ?? 0,
    );
  return {
    batchSize,
    blockSize,
    inputs: cut(batch.inputs),
    targets: cut(batch.targets),
    starts: cut(batch.starts),
    positions: cut(batch.positions),
  };
}

/** Logits [B, T, V]. */
function logits(model: Transformer, batch: TokenBatch): Float32Array {
  const shape = [batch.batchSize, batch.blockSize];
  return scope(() =>
    noGrad(() => {
      const positions = tensor(batch.positions, { shape });
      const starts = tensor(batch.starts, { shape });
      const ids = tensor(batch.inputs, { shape });
      return model.forward(ids, { positions, starts }).toArray() as Float32Array;
    }),
  );
}
