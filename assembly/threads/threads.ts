// The lines through which threads meet, and the barrier inside a job. Jobs are handed out in tape/launch.ts.
//
//   line 0         threads that serve, may thread 0 sleep, broken, threads that may come
//   line 1 + t     thread t: order, done, ready, asleep | work done | its job: kind, threads, record
//   last line      the barrier: arrived, phase, sleepers
//
// Everybody waits alike: a bounded spin, then asleep on the word itself. The sleeper raises a flag before it
// sleeps, the waker reads the flag after it wrote the word, and WASM atomics are sequentially consistent: no
// wake-up is lost, and none is sent that nobody needs.

import { MAX_THREADS, THREAD_LINES } from "../memory/layout";

export const LINE: usize = 64;

export const POOL: usize = THREAD_LINES;
export const AVAILABLE: usize = 0;
export const MAY_WAIT: usize = 4;
export const BROKEN: usize = 8;
export const EXPECTED: usize = 12;

export const ORDER: usize = 0;
export const DONE: usize = 4;
export const READY: usize = 8;
export const ASLEEP: usize = 12;
export const WORK: usize = 16;
export const KIND: usize = 24;
export const THREADS: usize = 28;
export const RECORD: usize = 32;

const BARRIER: usize = THREAD_LINES + LINE * (1 + <usize>MAX_THREADS);
const ARRIVED: usize = 0;
const PHASE: usize = 4;
const SLEEPERS: usize = 8;

/**
 * Loads before a thread goes to sleep, about 20 µs (1.1 ns each in Node 20 on a 3 GHz Xeon): longer than the gaps
 * between the ops of a step. When two threads share one core each job costs a whole spin, 18 µs with 5000 loads
 * and 105 µs with 50000, so more would hurt busy machines.
 */
const SPIN: i32 = 20000;

export function lineOf(thread: i32): usize {
  return THREAD_LINES + LINE * (1 + <usize>thread);
}

/** How many threads a job may use; 1 until workers have reported and after `shutdown`. */
export function availableThreads(): i32 {
  return max(1, load<i32>(POOL, AVAILABLE));
}

/** Takes in the expected threads that have reported meanwhile; returns how many a job may use now. */
export function gatherThreads(): i32 {
  const expected = load<i32>(POOL, EXPECTED);
  let count = availableThreads();
  if (count >= expected) return count;
  // A job needs threads 1, 2, ... without a gap.
  while (count < expected && threadReady(count)) count++;
  store<i32>(POOL, count, AVAILABLE);
  return count;
}

/**
 * Says that jobs may use threads 1 .. count − 1, each from when it serves and those before it do, and whether the host
 * lets thread 0 sleep (a page's main thread may not).
 */
export function setThreads(count: i32, mayWait: bool): void {
  store<i32>(POOL, 1, AVAILABLE);
  store<i32>(POOL, min(count, MAX_THREADS), EXPECTED);
  store<i32>(POOL, i32(mayWait), MAY_WAIT);
  gatherThreads();
}

/** Whether a worker has reached `serve`. */
export function threadReady(thread: i32): bool {
  return atomic.load<i32>(lineOf(thread), READY) != 0;
}

/** Counts what a thread has done (bytes, elements or flops, as the op likes); each thread writes its own line only. */
export function addWork(thread: i32, amount: u64): void {
  const line = lineOf(thread);
  store<u64>(line, load<u64>(line, WORK) + amount, WORK);
}

/** The sum of `addWork` so far. */
export function workDone(thread: i32): f64 {
  return <f64>load<u64>(lineOf(thread), WORK);
}

/**
 * Spins, then sleeps if it may, until the word may hold something else than `value`; `asleep` is raised meanwhile.
 * After the wait nothing but `asleep` may be read, and this function must not be inlined into others: the first
 * compiler tier of V8 11 (Node 20) saves the 32-bit address of a wait as 64 bits, which zeroes the last local.
 * That the function calls itself, to spin, keeps it on its own.
 */
export function pause(maySleep: bool, asleep: usize, word: usize, value: i32): void {
  if (!maySleep) {
    for (let i = 0; i < SPIN; i++) {
      if (atomic.load<i32>(word) != value) return;
    }
    return;
  }
  pause(false, asleep, word, value);
  if (atomic.load<i32>(word) != value) return;
  atomic.add<i32>(asleep, 1);
  atomic.wait<i32>(word, value, -1);
  atomic.sub<i32>(asleep, 1);
}

/**
 * Inside a job: nobody goes on before all `threads` of it have come here. Every thread of the job must call it
 * equally often. What was written before it is visible to all after it.
 */
export function barrier(thread: i32, threads: i32): void {
  if (threads <= 1) return;
  const phase = atomic.load<i32>(BARRIER, PHASE);
  // Read after the phase: a thread lost before now has raised the flag, one lost later will change the phase.
  if (atomic.load<i32>(POOL, BROKEN)) unreachable();
  if (atomic.add<i32>(BARRIER, 1, ARRIVED) == threads - 1) {
    atomic.store<i32>(BARRIER, 0, ARRIVED);
    openBarrier();
    return;
  }
  const mayWait = thread > 0 || load<i32>(POOL, MAY_WAIT) != 0;
  while (atomic.load<i32>(BARRIER, PHASE) == phase) {
    pause(mayWait, BARRIER + SLEEPERS, BARRIER + PHASE, phase);
  }
  if (atomic.load<i32>(POOL, BROKEN)) unreachable();
}

function openBarrier(): void {
  atomic.add<i32>(BARRIER, 1, PHASE);
  if (atomic.load<i32>(BARRIER, SLEEPERS)) atomic.notify(BARRIER + PHASE, -1);
}

/** A worker's last words after a trap: whoever waits for it traps too, instead of waiting for ever. */
export function abandon(thread: i32): void {
  const line = lineOf(thread);
  atomic.store<i32>(POOL, 1, BROKEN);
  atomic.store<i32>(line, -1, DONE);
  atomic.notify(line + DONE, -1);
  openBarrier();
}

/** Lets every worker return from `serve`, those too that have not reached it yet; jobs run on one thread from now on. */
export function shutdown(): void {
  store<i32>(POOL, 1, AVAILABLE);
  store<i32>(POOL, 1, EXPECTED);
  for (let t = 1; t < MAX_THREADS; t++) {
    const line = lineOf(t);
    atomic.store<i32>(line, -1, ORDER);
    atomic.notify(line + ORDER, -1);
  }
}
