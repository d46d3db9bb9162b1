// The export table, by theme. Pointers and integers in, pointers and integers out.

import { writeConstants } from "./constants";
import { setupMemory } from "./memory";
import { state } from "./state";

// tensors and the tape
export { backward } from "./backward";
export { begin } from "./record";
export {
  closeScope,
  commit,
  dispose,
  dropGradient,
  hide,
  openScope,
  retainGradient,
  reveal,
} from "./tape";
// segments that backward runs again
export { closeSegment, keepResult, openSegment } from "./segment";
// programs
export { settle } from "./plan";
export { beginProgram, endProgram, releaseProgram, replay, rerun, runProgram } from "./program";
// frozen weights
export { copyDense, fillPanels, pack, prepack, readsPanels, unpack } from "./frozen";
// memory
export { allocate, release } from "./memory";
// matrix products
export { batched, batchedScratch } from "./gemm/batched";
export { gemm, gemmLowRank, gemmLowRankScratch, gemmScratch } from "./gemm/gemm";
export { packWeight, panelFloats, panelRow, unpackWeight } from "./gemm/panels";
export { readRoof, roof } from "./gemm/roof";
export { setTileForm } from "./gemm/tile";
// transcendental functions
export { f64Cos, f64Exp, f64Log, f64Pow, f64Sin } from "./double";
export { cos32, erf32, exp32, log32, sigmoid32, sin32, tanh32 } from "./math";
// optimizers
export {
  adamw,
  allocateMoment,
  clipGradients,
  releaseMoment,
  sgd,
} from "./optim";
// model pieces: index checks and tables
export { fillRopeTable } from "./ops/rope";
export { firstOutside } from "./range";
// random numbers
export { nextDropout } from "./ops/dropout";
export {
  dropoutThreshold,
  fillNormal,
  fillUniform,
  philox,
  storeDropoutMask4,
  storeDropoutMask16,
} from "./random";
// threads
export {
  abandon,
  gatherThreads,
  serve,
  setThreads,
  shutdown,
  threadReady,
  workDone,
} from "./parallel";

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
