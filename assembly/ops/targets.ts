// What cross-entropy needs for each row that counts; crossEntropy.ts and linearCrossEntropy.ts differ only in where
// the logits x [V] of a row come from. With m the largest logit and t the row's target:
//   loss = ln Σ e^(x − m) − (x[t] − m)            (nats)
//   dx   = c·(e^(x − m) / Σ e^(x − m) − [j = t])  c: the gradient of the loss, over the number of rows for a mean
// Rows whose target is ignoreIndex are left out. The rows that count are listed first, by one thread, in order:
//
//   saved  | number of rows, 60 unused | entry | entry | ...     an entry holds statistics, no probabilities
//
// An unknown target is refused by the front end; should targets be written anew, the loss of such a row is NaN.

import { log32 } from "../math/functions";
import { rowExpScaled, rowExpSum, rowMax } from "../math/rowReduce";
import { bounded } from "../memory/size";
import { Share } from "../tensor/tensor";

const HEAD: usize = 64;

// @ts-ignore: decorator
@unmanaged
export class Entry {
  row: i32;
  target: i32;
  /** m. */
  greatest: f32;
  /** 1 / Σ e^(x − m). */
  inverse: f32;
  loss: f32;

  static bytes(rows: i32): usize {
    return bounded(HEAD + <u64>rows * offsetof<Entry>());
  }

  /** Entry `i` of the list at `saved`. */
  // @ts-ignore: decorator
  @inline
  static of(saved: usize, i: i32): Entry {
    return changetype<Entry>(saved + HEAD + <usize>i * offsetof<Entry>());
  }
}

/** How many rows count. */
export function countedRows(saved: usize): i32 {
  return load<i32>(saved);
}

/** Makes the list of rows that count from targets [rows]. */
export function listRows(saved: usize, targets: usize, rows: i32, ignoreIndex: i32): void {
  let n = 0;
  for (let i = 0; i < rows; i++) {
    const target = load<i32>(targets + ((<usize>i) << 2));
    if (target == ignoreIndex) continue;
    const entry = Entry.of(saved, n);
    entry.row = i;
    entry.target = target;
    n += 1;
  }
  store<i32>(saved, n);
}

/** The statistics and the loss of one row of logits [v]. */
export function rowLoss(entry: Entry, x: usize, v: i32): void {
  if (<u32>entry.target >= <u32>v) {
    entry.inverse = f32.NaN;
    entry.loss = f32.NaN;
    return;
  }
  const greatest = rowMax(x, v);
  const sum = rowExpSum(x, v, greatest);
  entry.greatest = greatest;
  entry.inverse = 1 / sum;
  entry.loss = log32(sum) - (load<f32>(x + ((<usize>entry.target) << 2)) - greatest);
}

/** dx [v] = or += the gradient of one row; dx may be x. */
export function rowGradient(entry: Entry, dx: usize, x: usize, v: i32, c: f32, add: bool): void {
  rowExpScaled(dx, x, v, entry.greatest, entry.inverse * c, add);
  if (<u32>entry.target >= <u32>v) return;
  const at = dx + ((<usize>entry.target) << 2);
  store<f32>(at, load<f32>(at) - c);
}

/** The sum or mean over the list, in order and in f64; 0 when no row counts. */
export function totalLoss(saved: usize, mean: bool): f32 {
  const n = countedRows(saved);
  let total: f64 = 0;
  for (let i = 0; i < n; i++) total += <f64>Entry.of(saved, i).loss;
  return <f32>(mean && n > 0 ? total / <f64>n : total);
}

/** c: what reaches each row of the loss's gradient g. */
export function rowFactor(saved: usize, g: f32, mean: bool): f32 {
  return mean ? g / <f32>countedRows(saved) : g;
}

/**
 * This thread's zeros in dx [rows, v]: the rows left out that come before its share of the list (and, for the last
 * thread, after it), so that every row of a fresh buffer is written once.
 */
export function clearOthers(
  saved: usize,
  dx: usize,
  rows: i32,
  v: i32,
  thread: i32,
  threads: i32,
): void {
  const n = countedRows(saved);
  // Gap i lies before entry i; gap n behind the last one.
  const gaps = Share.end(n, 1, thread, threads) + i32(thread == threads - 1);
  for (let i = Share.begin(n, 1, thread, threads); i < gaps; i++) {
    const from = i == 0 ? 0 : Entry.of(saved, i - 1).row + 1;
    const to = i == n ? rows : Entry.of(saved, i).row;
    const start = dx + ((<usize>from * <usize>v) << 2);
    memory.fill(start, 0, (<usize>(to - from) * <usize>v) << 2);
  }
}
