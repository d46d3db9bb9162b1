// Tensors of random numbers: element i depends on the seed, the stream and i alone (Philox4x32-10), so that the
// values are the same on every machine and for any number of threads.

import { current } from "../core/engine.ts";
import { UsageError } from "../core/error.ts";
import { expectNumber, kindOf } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { recording } from "../core/recording.ts";
import { optionName } from "../core/wording.ts";
import { LEAF_OPTIONS, type LeafOptions, leaf } from "./record.ts";
import type { Tensor } from "./tensor.ts";

/** How random numbers are drawn. */
export interface RandomOptions extends LeafOptions {
  /** A whole number from 0 to 2^53 − 1. */
  readonly seed: number;
  /** Which of the seed's independent streams; default 0. */
  readonly stream?: number;
}

const RANDOM_OPTIONS: OptionNames<RandomOptions> = { ...LEAF_OPTIONS, seed: true, stream: true };

type NormalOptions = RandomOptions & { readonly mean?: number; readonly std?: number };
type UniformOptions = RandomOptions & { readonly low?: number; readonly high?: number };

const NORMAL_OPTIONS: OptionNames<NormalOptions> = { ...RANDOM_OPTIONS, mean: true, std: true };
const UNIFORM_OPTIONS: OptionNames<UniformOptions> = { ...RANDOM_OPTIONS, low: true, high: true };

/** The seed's low and high 32 bits. */
export function splitSeed(seed: number): readonly [number, number] {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new UsageError(
      `${optionName("seed")} is ${kindOf(seed)}; it must be a whole number from 0 to 2^53 - 1.`,
    );
  }
  return [seed >>> 0, Math.floor(seed / 4294967296)];
}

type Fill = (address: number, count: number, low: number, high: number, stream: number) => void;

function filled(shape: readonly number[], options: RandomOptions, fill: Fill): Tensor {
  const [low, high] = splitSeed(options.seed);
  const { stream = 0 } = options;
  if (!Number.isInteger(stream) || stream < 0 || stream >= 4294967296) {
    throw new UsageError(
      `stream is ${kindOf(stream)}; it must be a whole number from 0 to 2^32 - 1.`,
    );
  }
  return leaf(shape, (data) => fill(data.byteOffset, data.length, low, high, stream), options);
}

/** Normal values of the given mean (default 0) and standard deviation (default 1). */
export function normal(shape: readonly number[], options: NormalOptions): Tensor {
  expectOptions(options, NORMAL_OPTIONS, "normal");
  const { mean = 0, std = 1 } = options;
  expectNumber("mean", mean);
  expectNumber("std", std);
  const { wasm } = current();
  return filled(shape, options, (address, count, low, high, stream) => {
    wasm.fillNormal(address, count, low, high, stream, 0, mean, std);
  });
}

/** Uniform values in [low, high); by default [0, 1). */
export function uniform(shape: readonly number[], options: UniformOptions): Tensor {
  expectOptions(options, UNIFORM_OPTIONS, "uniform");
  const { low = 0, high = 1 } = options;
  expectNumber("low", low);
  expectNumber("high", high);
  const { wasm } = current();
  return filled(shape, options, (address, count, word0, word1, stream) => {
    wasm.fillUniform(address, count, word0, word1, stream, 0, low, high);
  });
}

/**
 * Seeds dropout; `step` is the number of scopes opened since, for going on where another run stopped. Call it between
 * steps: backward makes the masks of its scope again, from the seed of that time.
 */
export function manualSeed(seed: number, step = 0): void {
  const [low, high] = splitSeed(seed);
  if (!Number.isSafeInteger(step) || step < 0) {
    throw new UsageError(`step is ${kindOf(step)}; it must be a whole number of at least 0.`);
  }
  if (recording() !== null) {
    throw new UsageError(
      "A captured function cannot seed: replays would not. Call manualSeed before the step.",
    );
  }
  current().wasm.seedDropout(low, high, step);
}
