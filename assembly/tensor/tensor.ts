// The tensor record: what a tensor is, which op made it, from which sources, with which attributes.
// Records made in a scope, in order, are the tape: a record holds all that is needed to run it again.
// The front end fills in op, dims, sources and attributes; `commit` (tape.ts) gives it data and runs it.

import { Op } from "./op";

export const MAX_RANK: i32 = 6;

export const enum DType {
  Float32 = 0,
  Int32 = 1,
}

/** How the elements of a weight are stored: all compute in float32. */
export const enum Storage {
  F32 = 0,
  BF16 = 1,
  F16 = 2,
}

export const enum Flag {
  /** A gradient flows to this tensor: asked for by the user (leaf) or inherited from a source. */
  RequiresGrad = 1,
  /** Lives until disposed; otherwise in the arena. */
  Persistent = 2,
  /** Data [N, K] lies as packed panels [ceil(N/8)][K][8] (gemm/pack.ts). */
  Packed = 4,
  /** The gradient buffer holds nothing yet: the first writer stores, later ones add. Only while backward runs. */
  Unwritten = 8,
  /** A captured program reads this tensor: the front end notices when a persistent one changes or goes. */
  Captured = 16,
  /** The running backward pass has made this leaf's gradient buffer. */
  OwnsGrad = 32,
  /** Backward has added to the gradient since it was last dropped. */
  HasGrad = 64,
  /** The result of a segment that backward runs again: its values stay (recompute.ts). */
  CheckpointResult = 128,
  /** Backward is about to read these values: the op runs again. */
  Rerun = 256,
  // while a step is captured (memoryPlan.ts)
  /** The front end has left the function that made it. */
  Unreachable = 512,
  /** What a segment makes and does not keep. */
  Dropped = 1024,
  /** Hidden, and its memory is planned for other things as well. */
  Reused = 2048,
  /** A backward pass was planned to come here, and then has. */
  Planned = 4096,
  Consumed = 8192,
  /** Backward writes the gradient where the values are, which nothing reads any more. */
  Replaced = 16384,
  /** Forward leaves f'(x) in the place of x (ops/activation.ts). */
  LeavesSlope = 32768,
}

// @ts-ignore: decorator
@unmanaged
export class Tensor {
  op: i32;
  dtype: i32;
  rank: i32;
  flags: i32;
  // dims, outermost first; dim(t, i) reads them by index
  d0: i32;
  d1: i32;
  d2: i32;
  d3: i32;
  d4: i32;
  d5: i32;
  /** Number of elements. */
  size: i32;
  data: usize;
  /** Gradient buffer, float32, as large as the data; 0 when there is none. */
  grad: usize;
  /** Neighbours on the tape. */
  previous: usize;
  next: usize;
  /** The record whose gradient buffer this one uses: itself, or a view's root. */
  root: usize;
  sources: i32;
  s0: usize;
  s1: usize;
  s2: usize;
  s3: usize;
  s4: usize;
  s5: usize;
  /** What forward leaves for backward (row statistics, the low-rank bottleneck). */
  saved: usize;
  /** Copy of the gradient that outlives backward passes, their sum; 0 unless asked for. */
  retainedGrad: usize;
  /** One of Storage; where it is not F32, the tensor is a matrix in panels (gemm/stored.ts). */
  storage: i32;
  /** The panels of dX = dY·W that a packed weight may have besides (packedWeight.ts), or 0. */
  packedT: usize;
  /** Where the gradient of an op's result goes, if a plan says so (memoryPlan.ts); else 0. */
  plannedGrad: usize;
}

/** Bytes of a record: its fields, and behind them up to eight words of attributes, which a subclass names. */
export const RECORD_BYTES: usize = offsetof<Tensor>() + 32;

export function tensor(at: usize): Tensor {
  return changetype<Tensor>(at);
}

/** Size of axis `i`, 0 <= i < rank. */
export function dim(t: Tensor, i: i32): i32 {
  return load<i32>(changetype<usize>(t) + ((<usize>i) << 2), offsetof<Tensor>("d0"));
}

/** Source `i` of a record. */
export function source(t: Tensor, i: i32): Tensor {
  return tensor(load<usize>(changetype<usize>(t) + ((<usize>i) << 2), offsetof<Tensor>("s0")));
}

/** Length of the last axis; 1 for a scalar. */
export function width(t: Tensor): i32 {
  return t.rank == 0 ? 1 : dim(t, t.rank - 1);
}

/** Number of rows when all axes but the last are counted as one. */
export function height(t: Tensor): i32 {
  let rows = 1;
  for (let i = 0; i < t.rank - 1; i++) rows *= dim(t, i);
  return rows;
}

export function requiresGrad(t: Tensor): bool {
  return (t.flags & Flag.RequiresGrad) != 0;
}

/** The buffer to which a source's gradient is added, or 0 when the source needs none. */
export function gradient(t: Tensor): usize {
  return requiresGrad(t) ? tensor(t.root).grad : 0;
}

/** Does that buffer already hold something, so that a writer must add? */
export function accumulates(t: Tensor): bool {
  return (tensor(t.root).flags & Flag.Unwritten) == 0;
}

/** Bytes of the data in rows. */
export function dataBytes(t: Tensor): usize {
  return (<usize>t.size) << (t.storage == Storage.F32 ? 2 : 1);
}

export function isView(t: Tensor): bool {
  return t.op == Op.Reshape || t.op == Op.Detach;
}

/** Does backward run this record? The answer is known once all records behind it have been asked. */
export function takesPart(t: Tensor): bool {
  return t.root == changetype<usize>(t) && t.grad != 0 && requiresGrad(t) && t.op != Op.Leaf;
}

/** The record whose values a tensor shares: itself, or what a view looks at. */
export function ownerOf(t: Tensor): Tensor {
  while (isView(t)) t = source(t, 0);
  return t;
}

/** A thread's share [begin, end) of `n` items, in whole groups of `group` items. */
export class Share {
  // @ts-ignore: decorator
  @inline
  static begin(n: i32, group: i32, thread: i32, threads: i32): i32 {
    const groups = (n + group - 1) / group;
    return min<i32>(n, <i32>((<i64>groups * thread) / threads) * group);
  }

  // @ts-ignore: decorator
  @inline
  static end(n: i32, group: i32, thread: i32, threads: i32): i32 {
    return Share.begin(n, group, thread + 1, threads);
  }
}
