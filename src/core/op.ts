// What the front end knows of the engine's memory. The ops come from the engine's own list (scripts/ops.mjs); the rest is
// in the spelling of assembly/tensor/tensor.ts and memory/state.ts, and a test compares it.

export { Op } from "./binary/ops.ts";

import type { Op } from "./binary/ops.ts";

export type OpName = keyof typeof Op;

/** An op of the list, with the names of its attributes: whole numbers, then floats. */
export interface OpOf<Int extends string, Float extends string> {
  readonly name: string;
  readonly code: number;
  readonly ints: readonly Int[];
  readonly floats: readonly Float[];
}

/** What an op takes besides tensors, by name. */
export type Attributes<Name extends string> = Readonly<Record<Name, number>>;

/** Byte offsets of a tensor record's fields. */
export const Field = {
  op: 0,
  dtype: 4,
  rank: 8,
  flags: 12,
  dims: 16,
  size: 40,
  data: 44,
  grad: 48,
  previous: 52,
  next: 56,
  root: 60,
  sourceCount: 64,
  sources: 68,
  saved: 92,
  retainedGrad: 96,
  storage: 100,
  packedT: 104,
  plannedGrad: 108,
  /** Of the first attribute; as many words as the op has attributes. */
  attributes: 112,
} as const;

/** Codes of how a weight's elements are stored. */
export const Storage = {
  float32: 0,
  bfloat16: 1,
  float16: 2,
} as const;

export const Flag = {
  RequiresGrad: 1,
  Persistent: 2,
  Packed: 4,
  Unwritten: 8,
  Captured: 16,
  OwnsGrad: 32,
  HasGrad: 64,
  CheckpointResult: 128,
  Rerun: 256,
  Unreachable: 512,
  Dropped: 1024,
  Reused: 2048,
  Planned: 4096,
  Consumed: 8192,
  Replaced: 16384,
  LeavesSlope: 32768,
} as const;

/** Indices of the counters at the head of the engine's state. */
export const Counter = {
  persistentBytes: 0,
  arenaBytes: 1,
  arenaPeak: 2,
  scratchBytes: 3,
  records: 4,
  productForward: 5,
  productInputGradient: 6,
  productWeightGradient: 7,
  productLowRank: 8,
  leafGradientBytes: 9,
  intermediateGradients: 10,
  parallelJobs: 11,
  optimizerBytes: 12,
  unsharedNanoseconds: 13,
} as const;

export type CounterName = keyof typeof Counter;

export const MAX_RANK = 6;
/** Address of the engine's state, and in it of the first byte that belongs to no block. */
export const STATE = 64;
export const HEAP_TOP: number = STATE + 136;
