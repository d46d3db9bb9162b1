// The engine's own state: one record at a fixed address. Only the main thread writes it, and never while a job
// runs, so that kernels on every thread may read it.

import { STATE } from "./layout";

// @ts-ignore: decorator
@unmanaged
export class State {
  // Counters that the front end reads as float64, 16 of them (indices in `Counter`).
  c0: f64;
  c1: f64;
  c2: f64;
  c3: f64;
  c4: f64;
  c5: f64;
  c6: f64;
  c7: f64;
  c8: f64;
  c9: f64;
  c10: f64;
  c11: f64;
  c12: f64;
  c13: f64;
  c14: f64;
  c15: f64;
  /** Header of the physically last block, and of the first free one. */
  lastBlock: usize;
  firstFree: usize;
  /** First byte that belongs to no block. */
  heapTop: usize;
  /** Bytes asked for by the allocation that failed last; 0 when none has. */
  failedBytes: usize;
  /** The arena: first chunk, chunk in use, next free byte of it. */
  firstChunk: usize;
  chunk: usize;
  cursor: usize;
  /** The region of segments that run again (recompute.ts): the same three, in the same order. */
  regionFirst: usize;
  regionChunk: usize;
  regionCursor: usize;
  /** The open segment, the depth it lies at, and how many closed ones the tape has. */
  segment: usize;
  segmentDepth: i32;
  segments: i32;
  /** Innermost open scope's mark, and how many are open. */
  mark: usize;
  depth: i32;
  /** The tape's last record. */
  tail: usize;
  /** While a program is captured: the last record that has been run; the block of the last plan, and its bytes (memoryPlan.ts). */
  flushed: usize;
  plan: usize;
  planBytes: usize;
  /** While a program is captured: 1, or 2 when memory ran out for a record of it. */
  recording: i32;
  /** Is the arena in use that of a program? */
  inProgram: i32;
  /** 0 inside noGrad. */
  gradMode: i32;
  /** Scratch block of the running op. */
  scratch: usize;
  scratchBytes: usize;
  /** Gradient buffers of the running backward pass that are free for reuse, a linked list. */
  spareGradients: usize;
  /** Step block: what changes from step to step. Seed, scopes opened since seeding, dropouts drawn in this scope. */
  seedLow: u32;
  seedHigh: u32;
  stepCounter: u32;
  dropoutOrdinal: u32;
}

/** Indices of the counters at the head of the state. The front end has the same list (src/core/op.ts); a test compares them. */
export const enum Counter {
  PersistentBytes = 0,
  ArenaBytes = 1,
  ArenaPeak = 2,
  ScratchBytes = 3,
  /** Records made in scopes since the engine started. */
  Records = 4,
  /** Matrix products of linear layers: y, dX, dW, and the four of the low-rank branch counted together. */
  ProductForward = 5,
  ProductInputGradient = 6,
  ProductWeightGradient = 7,
  ProductLowRank = 8,
  /** Bytes of gradient buffers of leaves (parameters). */
  LeafGradientBytes = 9,
  /** Gradient buffers that backward passes have made for intermediate tensors. */
  IntermediateGradients = 10,
  /** Jobs that ran on more than one thread. */
  ParallelJobs = 11,
  /** Bytes of optimizers' moments. */
  OptimizerBytes = 12,
  /** Estimated time of the jobs that ran on one thread though they were worth more; the front end then starts workers. */
  UnsharedNanoseconds = 13,
}

export function state(): State {
  return changetype<State>(STATE);
}

export function count(counter: Counter, amount: f64): void {
  const at = STATE + ((<usize>counter) << 3);
  store<f64>(at, load<f64>(at) + amount);
}

export function counted(counter: Counter): f64 {
  return load<f64>(STATE + ((<usize>counter) << 3));
}
