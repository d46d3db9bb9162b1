// Running a record's op on as many threads as it is worth.

import { reserveScratch } from "../memory/allocate";
import { bounded } from "../memory/size";
import { count, Counter, state } from "../memory/state";
import { isView, requiresGrad, tensor, Tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { availableThreads } from "../threads/threads";
import { launch } from "./launch";
import * as ops from "./dispatch";

/** Below this a job stays on one thread: waking a second one costs about as much (kernels of ~4 µs break even). */
const WORTH_THREADS: f64 = 4000;

/** On how many threads a record's op is worth running. */
export function threadsFor(t: Tensor, job: Job): i32 {
  return threadsAt(ops.nanoseconds(t, job));
}

function threadsAt(nanoseconds: f64): i32 {
  return nanoseconds < WORTH_THREADS ? 1 : availableThreads();
}

/** Runs a record's op on as many threads as it is worth. False when there is no memory for it. */
export function run(t: Tensor, job: Job): bool {
  const nanoseconds = ops.nanoseconds(t, job);
  let threads = threadsAt(nanoseconds);
  let saved: usize = 0;
  // Without a backward pass to come, what forward would save is scratch.
  if (job == Job.Forward && !requiresGrad(t)) saved = (ops.savedBytes(t) + 63) & ~63;
  while (!reserveScratch(bounded(<u64>saved + ops.scratchBytes(t, job, threads)))) {
    // Backward has reserved what fewer threads need: some may have come since.
    if (threads == 1) return false;
    threads = 1;
  }
  const s = state();
  if (saved != 0) {
    t.saved = s.scratch;
    s.scratch += saved;
  }
  if (threads > 1) count(Counter.ParallelJobs, 1);
  else if (nanoseconds >= WORTH_THREADS) count(Counter.UnsharedNanoseconds, nanoseconds);
  launch(job, changetype<usize>(t), threads);
  if (saved != 0) {
    s.scratch -= saved;
    t.saved = 0;
  }
  return true;
}

/** Computes the values of one record of an op again. False when out of memory. */
export function rerun(at: usize): bool {
  const t = tensor(at);
  return isView(t) || t.size == 0 || run(t, Job.Forward);
}
