// Tensors of random numbers: element i depends on the seed, the stream and i alone (Philox4x32-10), so that the
// values are the same on every machine and for any number of threads.

import { current } from "../core/engine.ts";
import { UsageError } from "../core/error.ts";
import { recording } from "../core/recording.ts";
import { type LeafOptions, leaf } from "./record.ts";
import type { Tensor } from "./tensor.ts";

/** How random numbers are drawn. */
export interface RandomOptions extends LeafOptions {
  /** A whole number from 0 to 2^53 − 1. */
  readonly seed: number;
  /** Which of the seed's independent streams; default 0. */
  readonly stream?: number;
}

/** The seed's low and high 32 bits. */
export function splitSeed(seed: number): readonly [number, number] {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new UsageError(`The seed is ${seed}; it must be a whole number from 0 to 2^53 - 1.`);
  }
  return [seed >>> 0, Math.floor(seed / 4294967296)];
}

type Fill = (address: number, count: number, low: number, high: number, stream: number) => void;

function filled(shape: readonly number[], options: RandomOptions, fill: Fill): Tensor {
  const [low, high] = splitSeed(options.seed);
  return leaf(
    shape,
    (data) => fill(data.byteOffset, data.length, low, high, options.stream ?? 0),
    options,
  );
}

/** Normal values of the given mean (default 0) and standard deviation (default 1). */
export function normal(
  shape: readonly number[],
  options: RandomOptions & { readonly mean?: number; readonly std?: number },
): Tensor {
  const { wasm } = current();
  return filled(shape, options, (address, count, low, high, stream) => {
    wasm.fillNormal(address, count, low, high, stream, 0, options.mean ?? 0, options.std ?? 1);
  });
}

/** Uniform values in [low, high); by default [0, 1). */
export function uniform(
  shape: readonly number[],
  options: RandomOptions & { readonly low?: number; readonly high?: number },
): Tensor {
  const { wasm } = current();
  return filled(shape, options, (address, count, low, high, stream) => {
    wasm.fillUniform(address, count, low, high, stream, 0, options.low ?? 0, options.high ?? 1);
  });
}

/**
 * Seeds dropout; `step` is the number of scopes opened since, for going on where another run stopped. Call it between
 * steps: backward makes the masks of its scope again, from the seed of that time.
 */
export function manualSeed(seed: number, step = 0): void {
  const [low, high] = splitSeed(seed);
  if (recording() !== null) {
    throw new UsageError(
      "A captured function cannot seed: replays would not. Call manualSeed before the step.",
    );
  }
  current().wasm.seedDropout(low, high, step);
}
