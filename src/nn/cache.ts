// The key/value cache of decoding: what attention has seen so far, so that a new token costs one row.

import { ShapeError, UsageError } from "../core/error.ts";
import { recording } from "../core/recording.ts";
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

/** Throws unless t tokens fit behind `before` others into `room` positions. */
export function expectRoom(t: number, before: number, room: number): void {
  if (before + t <= room) return;
  throw new ShapeError(
    `${before} + ${t} tokens do not fit into ${room} positions. Use shorter rows, or a window of the last tokens.`,
  );
}

/** Takes in that t more tokens of each sequence are in the cache; replays of a captured step each add as many. */
export function lengthen(cache: KvCache, t: number): void {
  const before = (): void => expectRoom(t, cache.length, cache.capacity);
  const after = (complete: boolean): void => {
    if (complete) cache.length += t;
  };
  recording()?.around(cache, { before, after });
  after(true);
}
