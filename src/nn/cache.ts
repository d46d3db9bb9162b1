// The key/value cache of decoding: what attention has seen so far, so that a new token costs one row.

import { ShapeError, UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { Field } from "../core/op.ts";
import { recording } from "../core/recording.ts";
import { zeros } from "../tensor/create.ts";
import { allOrNothing } from "../tensor/record.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkConfig, type ModelConfig } from "./config.ts";

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
    checkConfig(config);
    for (const [name, value] of Object.entries({ batchSize, capacity })) {
      if (Number.isInteger(value) && value >= 0) continue;
      throw new UsageError(
        `The ${name} of a cache is ${kindOf(value)}; it must be a whole number of at least 0.`,
      );
    }
    if (config.window !== undefined) expectInWindow(capacity, config.window);
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

  /** A cache with more room that holds the same; this one stays, and is to be disposed of. */
  grown(config: ModelConfig, capacity: number): KvCache {
    const cache = new KvCache(config, this.batchSize, capacity);
    const row = config.kvHeads * config.headDim;
    cache.layers.forEach((layer, i) => {
      for (const name of ["keys", "values"] as const) {
        const [from, to] = [startOf(this.layers[i]![name]), startOf(layer[name])];
        for (let b = 0; b < this.batchSize; b++) {
          const begin = from + b * this.capacity * row;
          layer[name].engine.f32.copyWithin(
            to + b * capacity * row,
            begin,
            begin + this.length * row,
          );
        }
      }
    });
    cache.length = this.length;
    return cache;
  }

  dispose(): void {
    for (const { keys, values } of this.layers) {
      keys.dispose();
      values.dispose();
    }
  }
}

/** Where a tensor's float32 numbers begin. */
function startOf({ engine, address }: Tensor): number {
  return ((engine.i32[(address + Field.data) >>> 2] ?? 0) >>> 0) / 4;
}

/** Throws unless so many tokens lie in the window over which a model's attention slides. */
export function expectInWindow(tokens: number, window: number): void {
  if (tokens <= window) return;
  throw new ShapeError(
    `${tokens} tokens go past the window of ${window} tokens over which this model's attention slides. Past it attention ` +
      `is not supported: give at most ${window} tokens, those that are to be generated among them.`,
  );
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
