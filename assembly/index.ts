// The export table, by theme. Pointers and integers in, pointers and integers out.

import { writeConstants } from "./math/constants";
import { setupMemory } from "./memory/heap";
import { state } from "./memory/state";

// tensors and the tape
export { backward } from "./tape/backward";
export { begin } from "./tape/record";
export {
  closeScope,
  commit,
  dispose,
  dropGradient,
  markUnreachable,
  openScope,
  retainGradient,
  markReachable,
} from "./tape/tape";
// segments that backward runs again
export { closeSegment, keepResult, openSegment } from "./tape/recompute";
// captured steps
export { flush } from "./tape/flush";
export { beginProgram, endProgram, releaseProgram, replay, runProgram } from "./tape/capture";
export { rerun } from "./tape/run";
// frozen weights
export { readsPanels } from "./tape/dispatch";
export { fillPanels, moveStored, pack, prepack, unpack, widen } from "./tape/packedWeight";
// actions
export { adamw, clipGradients, copyDense, firstOutside, sgd } from "./tape/actions";
// memory
export { allocate } from "./memory/allocate";
export { release } from "./memory/heap";
// matrix products
export { batchedScratch } from "./gemm/batched";
export { gemmLowRankScratch, gemmScratch } from "./gemm/gemm";
export { batched, gemm, gemmLowRank } from "./gemm/positional";
export { packWeight, panelFloats, panelRow, unpackWeight } from "./gemm/panels";
export { readRoof, roof } from "./gemm/roof";
export { setTileForm } from "./gemm/tile";
// transcendental functions
export { f64Cos, f64Exp, f64Log, f64Pow, f64Sin } from "./math/math64";
export { cos32, erf32, exp32, log32, sigmoid32, sin32, tanh32 } from "./math/functions";
// optimizers' moments
export { allocateMoment, releaseMoment } from "./ops/optimizer";
// model pieces: tables
export { fillRopeTable } from "./ops/rope";
// random numbers
export { nextDropout } from "./ops/dropout";
export {
  dropoutThreshold,
  fillNormal,
  fillUniform,
  philox,
  storeDropoutMask4,
  storeDropoutMask16,
} from "./math/random";
// threads
export {
  abandon,
  gatherThreads,
  setThreads,
  shutdown,
  threadReady,
  workDone,
} from "./threads/threads";
export { serve } from "./tape/launch";

/** Prepares a fresh memory; called once, by the main instance. */
export function setup(): void {
  setupMemory();
  writeConstants();
  state().gradMode = 1;
}

/** The tape's last record; 0 when there is none. */
export function lastRecord(): usize {
  return state().tail;
}

/** Bytes asked for by the allocation that failed last. */
export function failedBytes(): usize {
  return state().failedBytes;
}

/** Switches recording of gradients on or off; returns what it was. */
export function setGradMode(on: bool): bool {
  const s = state();
  const before = s.gradMode != 0;
  s.gradMode = on ? 1 : 0;
  return before;
}

/** Sets the seed of dropout and the number of scopes opened since. */
export function seedDropout(low: u32, high: u32, step: u32): void {
  const s = state();
  s.seedLow = low;
  s.seedHigh = high;
  s.stepCounter = step;
}
