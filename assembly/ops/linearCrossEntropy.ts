// Output head and loss in one op: crossEntropy(x·Wᵀ, targets) with x [..., K] and W [V, K] in rows or panels, whose
// logits are made for 128 rows at a time and never stored whole. Rows that do not count (targets.ts) are not
// multiplied at all. The bits of the loss and of dX are those of linear and crossEntropy; dW is a sum over chunks.
//   forward    per chunk: X' = its rows of x, L = X'·Wᵀ, statistics of L's rows
//   backward   per chunk: X' and L again, L = dL in place, dX' = dL·W, dW += dLᵀ·X'
//
// Sources: x, W, targets   i0: ignoreIndex   i1: 1 for the mean, 0 for the sum
// scratch: | products | X' [128, K] | L [128, V] | dX' [128, K], backward only |

import { layoutOf, turnedData, turnedLayout } from "../frozen";
import { gemm, gemmScratch } from "../gemm/gemm";
import { A_COLS, A_ROWS, B_ROWS } from "../gemm/policy";
import { Job } from "../job";
import { addWork, barrier } from "../parallel";
import { bounded, lines } from "../size";
import { Counter, count, state } from "../state";
import { accumulates, dim, gradient, requiresGrad, Share, source, Tensor } from "../tensor";
import { copyRow } from "./move";
import {
  clearOthers,
  countedRows,
  Entry,
  listRows,
  rowFactor,
  rowGradient,
  rowLoss,
  totalLoss,
} from "./targets";

/** Rows of a chunk. */
const CHUNK: i32 = 128;

class Head {
  // @ts-ignore: decorator
  @inline
  static v(y: Tensor): i32 {
    return dim(source(y, 1), 0);
  }

  // @ts-ignore: decorator
  @inline
  static k(y: Tensor): i32 {
    return dim(source(y, 1), 1);
  }

  /** Rows of x, counted or not. */
  // @ts-ignore: decorator
  @inline
  static rows(y: Tensor): i32 {
    return source(y, 2).size;
  }
}

export function linearCrossEntropySaved(y: Tensor): usize {
  return Entry.bytes(Head.rows(y));
}

export function linearCrossEntropyScratch(y: Tensor, job: Job, threads: i32): usize {
  const c = min(CHUNK, Head.rows(y));
  const k = Head.k(y);
  const copies: u64 = job == Job.Forward ? 1 : 2;
  return bounded(
    <u64>productScratch(y, job, threads) + copies * lines(c, k) + <u64>lines(c, Head.v(y)),
  );
}

function productScratch(y: Tensor, job: Job, threads: i32): usize {
  const c = min(CHUNK, Head.rows(y));
  const v = Head.v(y);
  const k = Head.k(y);
  const w = source(y, 1);
  // How many rows count is not known yet, and fewer rows may be shared out otherwise. What a thread needs for all
  // of c rows and all columns is enough for every share of them.
  const ofAll = <u64>threads;
  let bytes = ofAll * gemmScratch(c, v, k, layoutOf(w), 1);
  if (job == Job.Backward) {
    bytes = max(bytes, ofAll * gemmScratch(c, k, v, turnedLayout(w), 1));
    if (requiresGrad(w)) bytes = max(bytes, gemmScratch(v, k, c, B_ROWS, threads));
  }
  return bounded(bytes);
}

export function linearCrossEntropyNanoseconds(y: Tensor, job: Job): f64 {
  const one = (<f64>Head.rows(y) * <f64>Head.v(y) * <f64>Head.k(y)) / 12;
  return job == Job.Forward ? one : 3 * one;
}

/** This thread's share of: chunk [n, K] = the entries' rows of all, or the other way when `back`. */
function moveRows(
  back: bool,
  chunk: usize,
  all: usize,
  k: i32,
  saved: usize,
  first: i32,
  n: i32,
  thread: i32,
  threads: i32,
): void {
  const bytes = (<usize>k) << 2;
  const end = Share.end(n, 1, thread, threads);
  for (let i = Share.begin(n, 1, thread, threads); i < end; i++) {
    const packed = chunk + <usize>i * bytes;
    const loose = all + <usize>Entry.of(saved, first + i).row * bytes;
    if (back) copyRow(loose, packed, k);
    else copyRow(packed, loose, k);
  }
}

/** L [n, V] = the logits of the entries from `first` on; ends with a barrier. */
function logits(
  y: Tensor,
  first: i32,
  n: i32,
  x: usize,
  l: usize,
  thread: i32,
  threads: i32,
): void {
  const v = Head.v(y);
  const k = Head.k(y);
  const w = source(y, 1);
  moveRows(false, x, source(y, 0).data, k, y.saved, first, n, thread, threads);
  barrier(thread, threads);
  gemm(
    n,
    v,
    k,
    x,
    A_ROWS,
    k,
    w.data,
    layoutOf(w),
    k,
    l,
    v,
    false,
    state().scratch,
    thread,
    threads,
  );
  addWork(thread, (<u64>n * <u64>v * <u64>k) / <u64>threads);
  barrier(thread, threads);
}

export function linearCrossEntropyForward(y: Tensor, thread: i32, threads: i32): void {
  const v = Head.v(y);
  const k = Head.k(y);
  const saved = y.saved;
  const x = state().scratch + productScratch(y, Job.Forward, threads);
  const l = x + lines(min(CHUNK, Head.rows(y)), k);
  if (thread == 0) listRows(saved, source(y, 2).data, Head.rows(y), y.i0);
  barrier(thread, threads);
  const counted = countedRows(saved);
  for (let first = 0; first < counted; first += CHUNK) {
    const n = min(CHUNK, counted - first);
    logits(y, first, n, x, l, thread, threads);
    const end = Share.end(n, 1, thread, threads);
    for (let i = Share.begin(n, 1, thread, threads); i < end; i++) {
      rowLoss(Entry.of(saved, first + i), l + ((<usize>i * <usize>v) << 2), v);
    }
    barrier(thread, threads);
  }
  if (thread != 0) return;
  store<f32>(y.data, totalLoss(saved, y.i1 != 0));
  count(Counter.ProductForward, 1);
}

export function linearCrossEntropyBackward(y: Tensor, thread: i32, threads: i32): void {
  const input = source(y, 0);
  const weight = source(y, 1);
  const dx = gradient(input);
  const dw = gradient(weight);
  const v = Head.v(y);
  const k = Head.k(y);
  const saved = y.saved;
  const scratch = state().scratch;
  const chunk = min(CHUNK, Head.rows(y));
  const x = scratch + productScratch(y, Job.Backward, threads);
  const l = x + lines(chunk, k);
  const d = l + lines(chunk, v);
  const counted = countedRows(saved);
  const c = rowFactor(saved, load<f32>(y.grad), y.i1 != 0);
  const addX = accumulates(input);
  let addW = accumulates(weight);
  if (dx != 0 && !addX) clearOthers(saved, dx, Head.rows(y), k, thread, threads);
  for (let first = 0; first < counted; first += CHUNK) {
    const n = min(CHUNK, counted - first);
    logits(y, first, n, x, l, thread, threads);
    const end = Share.end(n, 1, thread, threads);
    for (let i = Share.begin(n, 1, thread, threads); i < end; i++) {
      const row = l + ((<usize>i * <usize>v) << 2);
      rowGradient(Entry.of(saved, first + i), row, row, v, c, false);
    }
    if (dx != 0 && addX) moveRows(false, d, dx, k, saved, first, n, thread, threads);
    barrier(thread, threads);
    if (dx != 0) {
      const layout = turnedLayout(weight);
      const w = turnedData(weight);
      gemm(n, k, v, l, A_ROWS, v, w, layout, k, d, k, addX, scratch, thread, threads);
      barrier(thread, threads);
      moveRows(true, d, dx, k, saved, first, n, thread, threads);
      // One tensor may be x and W at once.
      barrier(thread, threads);
    }
    if (dw != 0) {
      gemm(v, k, n, l, A_COLS, v, x, B_ROWS, k, dw, k, addW, scratch, thread, threads);
      addW = true;
      barrier(thread, threads);
    }
  }
  if (dw != 0 && !addW) {
    const end = Share.end(weight.size, 16, thread, threads);
    const begin = Share.begin(weight.size, 16, thread, threads);
    memory.fill(dw + ((<usize>begin) << 2), 0, (<usize>(end - begin)) << 2);
  }
  const products = <u64>(i32(dx != 0) + i32(dw != 0));
  addWork(thread, (<u64>counted * <u64>v * <u64>k * products) / <u64>threads);
  if (thread != 0) return;
  if (dx != 0) count(Counter.ProductInputGradient, 1);
  if (dw != 0) count(Counter.ProductWeightGradient, 1);
}
