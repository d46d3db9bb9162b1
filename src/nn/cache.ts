// The key/value cache of decoding: what attention has seen so far, so that a new token costs one row.

import { UsageError } from "../core/error.ts";
import { allOrNothing } from "../tensor/apply.ts";
import { zeros } from "../tensor/create.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ModelConfig } from "./config.ts";

/** Keys and values of one layer, [B, capacity, G, d]. */
export interface LayerCache {
  readonly keys: Tensor;
  readonly values: Tensor;
}

/** Keys and values of all layers, for B sequences that grow together. */
export class KvCache {
  readonly batchSize: number;
  readonly capacity: number;
  readonly layers: readonly LayerCache[];
  /** Tokens seen so far. */
  length = 0;

  constructor(config: ModelConfig, batchSize: number, capacity: number) {
    if (capacity > config.maxPositions) {
      throw new UsageError(
        `A cache of ${capacity} positions was asked for, but the model has ${config.maxPositions}.`,
      );
    }
    this.batchSize = batchSize;
    this.capacity = capacity;
    const shape = [batchSize, capacity, config.kvHeads, config.headDim];
    this.layers = allOrNothing(() =>
      Array.from({ length: config.layers }, () => ({
        keys: zeros(shape, { persistent: true }),
        values: zeros(shape, { persistent: true }),
      })),
    );
  }

  dispose(): void {
    for (const { keys, values } of this.layers) {
      keys.dispose();
      values.dispose();
    }
  }
}
