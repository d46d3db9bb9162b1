// Output head and loss in one op: crossEntropy(x·Wᵀ + s·(x·Aᵀ)·Bᵀ, targets) with x [..., K] and W [V, K] in rows or panels,
// A [r, K] and B [V, r] if there is a low-rank branch. Logits are made for 128 rows at a time and never stored whole. Rows
// that do not count (targets.ts) are not multiplied at all. The bits of the loss and of dX are those of linear and
// crossEntropy; dW, dA and dB are sums over chunks.
//   forward    per chunk: X' = its rows of x, t = s·X'·Aᵀ, L = X'·Wᵀ + t·Bᵀ, statistics of L's rows
//   gradients  per chunk: L = dL in place, dt = s·dL·B, dX' = dL·W + dt·A, dW += dLᵀ·X', dA += dtᵀ·X', dB += dLᵀ·t
// Backward makes L again, unless forward went ahead: if W is frozen and the loss a mean, whose own gradient is 1 where
// training starts from it, forward takes the gradients of a loss with gradient 1 from L while it is there.
//
// Sources: x, W, targets, and A, B if i2   i0: ignoreIndex   i1: 1 for the mean, 0 for the sum   f0: s
// scratch: | products | X' [128, K] | L [128, V] | t [128, r] | dt [128, r] | dX' [128, K], backward only |
// saved:   | rows that count | if ahead: dX' of all chunks [rows, K] | dA | dB |

import { layoutOf, turnedData, turnedLayout } from "../frozen";
import { gemm, gemmLowRank, gemmLowRankScratch, gemmScratch } from "../gemm/gemm";
import { A_COLS, A_ROWS, B_COLS, B_ROWS } from "../gemm/policy";
import { Job } from "../job";
import { addWork, barrier } from "../parallel";
import { bounded, lines } from "../size";
import { Counter, count, state } from "../state";
import { accumulates, dim, gradient, requiresGrad, Share, source, Tensor } from "../tensor";
import { scaled } from "./linear";
import { addRow, copyRow } from "./move";
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

  static rank(y: Tensor): i32 {
    return y.i2 != 0 ? dim(source(y, 3), 0) : 0;
  }

  /** Rows of x, counted or not. */
  // @ts-ignore: decorator
  @inline
  static rows(y: Tensor): i32 {
    return source(y, 2).size;
  }

  static chunk(y: Tensor): i32 {
    return min(CHUNK, Head.rows(y));
  }

  /** Does forward take the gradients? */
  static goesAhead(y: Tensor): bool {
    return y.i1 != 0 && requiresGrad(y) && !requiresGrad(source(y, 1));
  }
}

/** Where the parts of scratch or of what is saved lie. */
class Parts {
  static x(y: Tensor, job: Job, threads: i32): usize {
    return state().scratch + productScratch(y, job, threads);
  }

  static l(y: Tensor, x: usize): usize {
    return x + lines(Head.chunk(y), Head.k(y));
  }

  static t(y: Tensor, x: usize): usize {
    return Parts.l(y, x) + lines(Head.chunk(y), Head.v(y));
  }

  static dt(y: Tensor, x: usize): usize {
    return Parts.t(y, x) + lines(Head.chunk(y), Head.rank(y));
  }

  static dx(y: Tensor, x: usize): usize {
    return Parts.dt(y, x) + lines(Head.chunk(y), Head.rank(y));
  }

  static savedX(y: Tensor): usize {
    return y.saved + ((Entry.bytes(Head.rows(y)) + 63) & ~63);
  }

  static savedA(y: Tensor): usize {
    return Parts.savedX(y) + lines(Head.rows(y), Head.k(y));
  }

  static savedB(y: Tensor): usize {
    return Parts.savedA(y) + lines(Head.rank(y), Head.k(y));
  }
}

export function linearCrossEntropySaved(y: Tensor): usize {
  const rows = Head.rows(y);
  let bytes = <u64>((Entry.bytes(rows) + 63) & ~63);
  if (Head.goesAhead(y)) {
    const r = Head.rank(y);
    const k = Head.k(y);
    bytes += <u64>lines(rows, k) + lines(r, k) + lines(Head.v(y), r);
  }
  return bounded(bytes);
}

export function linearCrossEntropyScratch(y: Tensor, job: Job, threads: i32): usize {
  const c = Head.chunk(y);
  const k = Head.k(y);
  const copies: u64 = job == Job.Forward ? 1 : 2;
  return bounded(
    <u64>productScratch(y, job, threads) +
      copies * lines(c, k) +
      <u64>lines(c, Head.v(y)) +
      2 * lines(c, Head.rank(y)),
  );
}

function productScratch(y: Tensor, job: Job, threads: i32): usize {
  const c = Head.chunk(y);
  const v = Head.v(y);
  const k = Head.k(y);
  const r = Head.rank(y);
  const w = source(y, 1);
  // How many rows count is not known yet, and fewer rows may be shared out otherwise. What a thread needs for all
  // of c rows and all columns is enough for every share of them.
  let each = gemmLowRankScratch(c, v, k, layoutOf(w), r, 1);
  let all: usize = 0;
  if (r > 0) each = max(each, gemmScratch(c, r, k, B_COLS, 1));
  if (job == Job.Backward || Head.goesAhead(y)) {
    each = max(each, gemmLowRankScratch(c, k, v, turnedLayout(w), r, 1));
    if (requiresGrad(w)) all = gemmScratch(v, k, c, B_ROWS, threads);
    if (r > 0) {
      each = max(each, gemmScratch(c, r, v, B_ROWS, 1));
      all = max(all, gemmScratch(v, r, c, B_ROWS, threads));
      all = max(all, gemmScratch(r, k, c, B_ROWS, threads));
    }
  }
  return bounded(max(<u64>all, <u64>threads * each));
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

/** L [n, V] = the logits of the entries from `first` on, with X' and t beside it; ends with a barrier. */
function logits(y: Tensor, first: i32, n: i32, x: usize, thread: i32, threads: i32): void {
  const v = Head.v(y);
  const k = Head.k(y);
  const r = Head.rank(y);
  const w = source(y, 1);
  const t = Parts.t(y, x);
  const scratch = state().scratch;
  let b: usize = 0;
  moveRows(false, x, source(y, 0).data, k, y.saved, first, n, thread, threads);
  barrier(thread, threads);
  if (r > 0) {
    b = source(y, 4).data;
    // biome-ignore format: one operand after the other
    gemm(n, r, k, x, A_ROWS, k, source(y, 3).data, B_COLS, k, t, r, false, scratch, thread, threads);
    barrier(thread, threads);
    scaled(t, n * r, y.f0, thread, threads);
    barrier(thread, threads);
  }
  // biome-ignore format: one operand after the other
  gemmLowRank(
    n, v, k, x, A_ROWS, k, w.data, layoutOf(w), k, Parts.l(y, x), v, false, 0,
    r, t, r, b, B_COLS, r, scratch, thread, threads,
  );
  addWork(thread, (<u64>n * <u64>v * <u64>k) / <u64>threads);
  barrier(thread, threads);
}

/** This thread's rows of L: their statistics when `looks`, then dL of a loss of which each row has the factor c, if not 0. */
function rowsOf(
  y: Tensor,
  first: i32,
  n: i32,
  l: usize,
  looks: bool,
  c: f32,
  thread: i32,
  threads: i32,
): void {
  const v = Head.v(y);
  const end = Share.end(n, 1, thread, threads);
  for (let i = Share.begin(n, 1, thread, threads); i < end; i++) {
    const entry = Entry.of(y.saved, first + i);
    const row = l + ((<usize>i * <usize>v) << 2);
    if (looks) rowLoss(entry, row, v);
    if (!looks || c != 0) rowGradient(entry, row, row, v, c, false);
  }
  barrier(thread, threads);
}

/**
 * From dL in the place of L, where they are not 0: dX' [n, K] = or +=, which goes to the rows of `back` if that is not 0; dW, dA
 * and dB = or +=. Ends with a barrier.
 */
function gradients(
  y: Tensor,
  first: i32,
  n: i32,
  x: usize,
  dx: usize,
  addX: bool,
  back: usize,
  dw: usize,
  addW: bool,
  da: usize,
  addA: bool,
  db: usize,
  addB: bool,
  thread: i32,
  threads: i32,
): void {
  const v = Head.v(y);
  const k = Head.k(y);
  const r = Head.rank(y);
  const l = Parts.l(y, x);
  const dt = Parts.dt(y, x);
  const w = source(y, 1);
  const scratch = state().scratch;
  let a: usize = 0;
  if (r > 0) {
    a = source(y, 3).data;
    // biome-ignore format: one operand after the other
    gemm(n, r, v, l, A_ROWS, v, source(y, 4).data, B_ROWS, r, dt, r, false, scratch, thread, threads);
    barrier(thread, threads);
    scaled(dt, n * r, y.f0, thread, threads);
    barrier(thread, threads);
  }
  if (dx != 0) {
    // biome-ignore format: one operand after the other
    gemmLowRank(
      n, k, v, l, A_ROWS, v, turnedData(w), turnedLayout(w), k, dx, k, addX, 0,
      r, dt, r, a, B_ROWS, k, scratch, thread, threads,
    );
    barrier(thread, threads);
    if (back != 0) {
      moveRows(true, dx, back, k, y.saved, first, n, thread, threads);
      // One tensor may be x and W at once.
      barrier(thread, threads);
    }
  }
  if (dw != 0) {
    gemm(v, k, n, l, A_COLS, v, x, B_ROWS, k, dw, k, addW, scratch, thread, threads);
    barrier(thread, threads);
  }
  if (da != 0) {
    gemm(r, k, n, dt, A_COLS, r, x, B_ROWS, k, da, k, addA, scratch, thread, threads);
    barrier(thread, threads);
  }
  if (db != 0) {
    const t = Parts.t(y, x);
    gemm(v, r, n, l, A_COLS, v, t, B_ROWS, r, db, r, addB, scratch, thread, threads);
    barrier(thread, threads);
  }
}

/** This thread's share of n zeros. */
function clear(at: usize, n: i32, thread: i32, threads: i32): void {
  const begin = Share.begin(n, 16, thread, threads);
  const end = Share.end(n, 16, thread, threads);
  memory.fill(at + ((<usize>begin) << 2), 0, (<usize>(end - begin)) << 2);
}

export function linearCrossEntropyForward(y: Tensor, thread: i32, threads: i32): void {
  const k = Head.k(y);
  const saved = y.saved;
  const x = Parts.x(y, Job.Forward, threads);
  if (thread == 0) listRows(saved, source(y, 2).data, Head.rows(y), y.i0);
  barrier(thread, threads);
  const counted = countedRows(saved);
  const ahead = Head.goesAhead(y);
  const c: f32 = ahead ? rowFactor(saved, 1, true) : 0;
  for (let first = 0; first < counted; first += CHUNK) {
    const n = min(CHUNK, counted - first);
    logits(y, first, n, x, thread, threads);
    rowsOf(y, first, n, Parts.l(y, x), true, c, thread, threads);
    if (!ahead) continue;
    const dx = Parts.savedX(y) + ((<usize>first * <usize>k) << 2);
    const da: usize = y.i2 != 0 ? Parts.savedA(y) : 0;
    const db: usize = y.i2 != 0 ? Parts.savedB(y) : 0;
    const add = first > 0;
    gradients(y, first, n, x, dx, false, 0, 0, false, da, add, db, add, thread, threads);
  }
  if (thread != 0) return;
  store<f32>(y.data, totalLoss(saved, y.i1 != 0));
  count(Counter.ProductForward, 1);
}

/** Takes the gradients that forward has made, for a loss whose own gradient is 1. */
function takeAhead(y: Tensor, dx: usize, thread: i32, threads: i32): void {
  const counted = countedRows(y.saved);
  const k = Head.k(y);
  if (dx != 0) moveRows(true, Parts.savedX(y), dx, k, y.saved, 0, counted, thread, threads);
  for (let i = 3; i < y.sources; i++) {
    const to = gradient(source(y, i));
    if (to == 0) continue;
    barrier(thread, threads);
    const n = source(y, i).size;
    const begin = Share.begin(n, 16, thread, threads);
    const at = (<usize>begin) << 2;
    const from = i == 3 ? Parts.savedA(y) : Parts.savedB(y);
    if (!accumulates(source(y, i))) clear(to, n, thread, threads);
    if (counted > 0) addRow(to + at, from + at, Share.end(n, 16, thread, threads) - begin);
  }
}

export function linearCrossEntropyBackward(y: Tensor, thread: i32, threads: i32): void {
  const input = source(y, 0);
  const weight = source(y, 1);
  const k = Head.k(y);
  const saved = y.saved;
  const dx = gradient(input);
  const dw = gradient(weight);
  const da: usize = y.i2 != 0 ? gradient(source(y, 3)) : 0;
  const db: usize = y.i2 != 0 ? gradient(source(y, 4)) : 0;
  const x = Parts.x(y, Job.Backward, threads);
  const d = Parts.dx(y, x);
  const counted = countedRows(saved);
  const g = load<f32>(y.grad);
  const c = rowFactor(saved, g, y.i1 != 0);
  const addX = accumulates(input);
  if (dx != 0 && !addX) clearOthers(saved, dx, Head.rows(y), k, thread, threads);
  if (thread == 0) {
    if (dx != 0) count(Counter.ProductInputGradient, 1);
    if (dw != 0) count(Counter.ProductWeightGradient, 1);
  }
  if (Head.goesAhead(y) && g == 1 && !addX) {
    takeAhead(y, dx, thread, threads);
    return;
  }
  let addW = accumulates(weight);
  let addA = da == 0 || accumulates(source(y, 3));
  let addB = db == 0 || accumulates(source(y, 4));
  for (let first = 0; first < counted; first += CHUNK) {
    const n = min(CHUNK, counted - first);
    logits(y, first, n, x, thread, threads);
    if (dx != 0 && addX) moveRows(false, d, dx, k, saved, first, n, thread, threads);
    rowsOf(y, first, n, Parts.l(y, x), false, c, thread, threads);
    const own: usize = dx == 0 ? 0 : d;
    gradients(y, first, n, x, own, addX, dx, dw, addW, da, addA, db, addB, thread, threads);
    addW = true;
    addA = true;
    addB = true;
  }
  if (dw != 0 && !addW) clear(dw, weight.size, thread, threads);
  if (!addA) clear(da, source(y, 3).size, thread, threads);
  if (!addB) clear(db, source(y, 4).size, thread, threads);
  const products = <u64>(i32(dx != 0) + i32(dw != 0));
  addWork(thread, (<u64>counted * <u64>Head.v(y) * <u64>k * products) / <u64>threads);
}
