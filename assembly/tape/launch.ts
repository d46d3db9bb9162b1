// Jobs: one at a time, its slices done by all threads, thread 0 (the caller) included.
//
// To launch, thread 0 writes the job into the line of each thread it needs, then raises the order word there. A
// worker does its slice and copies the order into its done word. One cache line goes there and back, and a worker
// that lags behind can never read half of the next job.
// An op slices only its output, and no sum is split by thread, so every number of threads gives the same bits.

import {
  ASLEEP,
  availableThreads,
  BROKEN,
  DONE,
  gatherThreads,
  KIND,
  lineOf,
  MAY_WAIT,
  ORDER,
  pause,
  POOL,
  READY,
  RECORD,
  THREADS,
} from "../threads/threads";
import { execute } from "./execute";

/**
 * Runs `execute(kind, record, thread, threads)` on threads 0 .. threads − 1 and returns when all are done. New threads
 * are taken in at its end, so that between the planning of a job (its scratch depends on the threads) and the job they
 * stay as many.
 */
export function launch(kind: i32, record: usize, threads: i32): void {
  share(kind, record, threads);
  gatherThreads();
}

function share(kind: i32, record: usize, threads: i32): void {
  threads = min(threads, availableThreads());
  if (threads <= 1) {
    execute(kind, record, 0, 1);
    return;
  }
  if (atomic.load<i32>(POOL, BROKEN)) unreachable();
  for (let t = 1; t < threads; t++) {
    const line = lineOf(t);
    store<i32>(line, kind, KIND);
    store<i32>(line, threads, THREADS);
    store<usize>(line, record, RECORD);
    atomic.store<i32>(line, (load<i32>(line, ORDER) + 1) & i32.MAX_VALUE, ORDER);
    if (atomic.load<i32>(line, ASLEEP)) atomic.notify(line + ORDER, 1);
  }
  execute(kind, record, 0, threads);
  for (let t = 1; t < threads; t++) join(lineOf(t));
}

/** Returns when a worker's done word has reached its order; traps when the worker is lost. */
function join(line: usize): void {
  const order = load<i32>(line, ORDER);
  const mayWait = load<i32>(POOL, MAY_WAIT) != 0;
  while (true) {
    const done = atomic.load<i32>(line, DONE);
    if (done == order) return;
    if (done < 0) unreachable();
    pause(mayWait, lineOf(0) + ASLEEP, line + DONE, done);
  }
}

/** A worker's life: announce itself, then do its slice of every job until `shutdown`. */
export function serve(thread: i32): void {
  const line = lineOf(thread);
  let order = 0;
  atomic.store<i32>(line, 1, READY);
  while (true) {
    const next = atomic.load<i32>(line, ORDER);
    if (next == order) {
      pause(true, line + ASLEEP, line + ORDER, order);
      continue;
    }
    if (next < 0) return;
    order = next;
    execute(load<i32>(line, KIND), load<usize>(line, RECORD), thread, load<i32>(line, THREADS));
    atomic.store<i32>(line, order, DONE);
    if (atomic.load<i32>(lineOf(0), ASLEEP)) atomic.notify(line + DONE, 1);
  }
}
