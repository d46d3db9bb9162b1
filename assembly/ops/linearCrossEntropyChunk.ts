// A chunk of rows of linearCrossEntropy.ts: where its parts lie, its logits, and the gradients that follow from them. Every
// thread does its share of each product; products of different shapes divide the scratch differently, so barriers part them.

import { Product } from "../gemm/product";
import { A_COLS, A_ROWS, B_COLS, B_ROWS } from "../gemm/blocking";
import { gemm, gemmLowRankScratch, gemmScratch } from "../gemm/gemm";
import { layoutOf, transposedData, transposedLayout } from "../gemm/weight";
import { bounded, lines } from "../memory/size";
import { state } from "../memory/state";
import { dim, requiresGrad, Share, source, Tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { addWork, barrier } from "../threads/threads";
import { copyRow } from "./copy";
import { scaled } from "./linear";
import { Entry, rowGradient, rowLoss } from "./targets";

/** Rows of a chunk. */
export const CHUNK: i32 = 128;

// @ts-ignore: decorator
@unmanaged
export class HeadRecord extends Tensor {
  ignoreIndex: i32;
  /** 1 for the mean, 0 for the sum. */
  mean: i32;
  hasBranch: i32;
  /** 1 if W was frozen in forward. It may be thawed or frozen before backward; what is saved stays what it is. */
  frozen: i32;
  /** 1 if the last source is a factor of the loss. */
  hasFactor: i32;
  /** s of the branch. */
  scale: f32;

  // @ts-ignore: decorator
  @inline
  get v(): i32 {
    return dim(source(this, 1), 0);
  }

  // @ts-ignore: decorator
  @inline
  get k(): i32 {
    return dim(source(this, 1), 1);
  }

  /** The rank of the branch; 0 for none. */
  get r(): i32 {
    return this.hasBranch != 0 ? dim(source(this, 3), 0) : 0;
  }

  /** Rows of x, counted or not. */
  // @ts-ignore: decorator
  @inline
  get rows(): i32 {
    return source(this, 2).size;
  }

  get chunk(): i32 {
    return min(CHUNK, this.rows);
  }

  /** What the loss is multiplied by. */
  get factor(): f32 {
    return this.hasFactor != 0 ? load<f32>(source(this, this.sources - 1).data) : 1;
  }

  /**
   * Where dA and dB are added to those of other losses, which a factor is for, the chunks would be added to each
   * other first: other bits.
   */
  get takesGradientsInForward(): bool {
    const worth = this.hasFactor != 0 ? this.hasBranch == 0 : this.mean != 0;
    return worth && this.frozen != 0 && requiresGrad(this);
  }
}

/** Where the parts of scratch or of what is saved lie. */
export class Parts {
  static x(y: HeadRecord, job: Job, threads: i32): usize {
    return state().scratch + productScratch(y, job, threads);
  }

  static l(y: HeadRecord, x: usize): usize {
    return x + lines(y.chunk, y.k);
  }

  static t(y: HeadRecord, x: usize): usize {
    return Parts.l(y, x) + lines(y.chunk, y.v);
  }

  static dt(y: HeadRecord, x: usize): usize {
    return Parts.t(y, x) + lines(y.chunk, y.r);
  }

  static dx(y: HeadRecord, x: usize): usize {
    return Parts.dt(y, x) + lines(y.chunk, y.r);
  }

  static savedX(y: HeadRecord): usize {
    return y.saved + ((Entry.bytes(y.rows) + 63) & ~63);
  }

  static savedA(y: HeadRecord): usize {
    return Parts.savedX(y) + lines(y.rows, y.k);
  }

  static savedB(y: HeadRecord): usize {
    return Parts.savedA(y) + lines(y.r, y.k);
  }
}

/** Scratch of the products of a chunk, for all threads together. */
export function productScratch(y: HeadRecord, job: Job, threads: i32): usize {
  const c = y.chunk;
  const v = y.v;
  const k = y.k;
  const r = y.r;
  const w = source(y, 1);
  // How many rows count is not known yet, and fewer rows may be shared out otherwise. What a thread needs for all
  // of c rows and all columns is enough for every share of them.
  let each = gemmLowRankScratch(c, v, k, layoutOf(w), r, 1);
  let all: usize = 0;
  if (r > 0) each = max(each, gemmScratch(c, r, k, B_COLS, 1));
  if (job == Job.Backward || y.takesGradientsInForward) {
    each = max(each, gemmLowRankScratch(c, k, v, transposedLayout(w), r, 1));
    if (requiresGrad(w)) all = gemmScratch(v, k, c, B_ROWS, threads);
    if (r > 0) {
      each = max(each, gemmScratch(c, r, v, B_ROWS, 1));
      all = max(all, gemmScratch(v, r, c, B_ROWS, threads));
      all = max(all, gemmScratch(r, k, c, B_ROWS, threads));
    }
  }
  return bounded(max(<u64>all, <u64>threads * each));
}

/** This thread's share of: chunk [n, K] = the entries' rows of all, or the other way when `back`. */
export function moveRows(
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
export function logits(
  y: HeadRecord,
  first: i32,
  n: i32,
  x: usize,
  thread: i32,
  threads: i32,
): void {
  const v = y.v;
  const k = y.k;
  const r = y.r;
  const w = source(y, 1);
  const t = Parts.t(y, x);
  const scratch = state().scratch;
  let b: usize = 0;
  moveRows(false, x, source(y, 0).data, k, y.saved, first, n, thread, threads);
  barrier(thread, threads);
  if (r > 0) {
    b = source(y, 4).data;
    const p = Product.of(thread, n, r, k, t, r, false);
    p.a.set(x, A_ROWS, k);
    p.b.set(source(y, 3).data, B_COLS, k);
    gemm(p, scratch, thread, threads);
    scaled(t, n, r, y.scale, thread, threads);
    barrier(thread, threads);
  }
  const p = Product.of(thread, n, v, k, Parts.l(y, x), v, false);
  p.a.set(x, A_ROWS, k);
  p.b.set(w.data, layoutOf(w), k);
  p.r = r;
  p.t.set(t, A_ROWS, r);
  p.bt.set(b, B_COLS, r);
  gemm(p, scratch, thread, threads);
  addWork(thread, (<u64>n * <u64>v * <u64>k) / <u64>threads);
  barrier(thread, threads);
}

/** This thread's rows of L: their statistics when `inForward`, then, unless forward stops there, dL of a loss of which each row has the factor c. */
export function rowsOf(
  y: HeadRecord,
  first: i32,
  n: i32,
  l: usize,
  inForward: bool,
  c: f32,
  thread: i32,
  threads: i32,
): void {
  const v = y.v;
  const end = Share.end(n, 1, thread, threads);
  const differentiates = !inForward || y.takesGradientsInForward;
  for (let i = Share.begin(n, 1, thread, threads); i < end; i++) {
    const entry = Entry.of(y.saved, first + i);
    const row = l + ((<usize>i * <usize>v) << 2);
    if (inForward) rowLoss(entry, row, v);
    if (differentiates) rowGradient(entry, row, row, v, c, false);
  }
  barrier(thread, threads);
}

/**
 * From dL in the place of L, where they are not 0: dX' [n, K] = or +=, which goes to the rows of `back` if that is not 0; dW, dA
 * and dB = or +=. Ends with a barrier.
 */
export function gradients(
  y: HeadRecord,
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
  const v = y.v;
  const k = y.k;
  const r = y.r;
  const l = Parts.l(y, x);
  const dt = Parts.dt(y, x);
  const w = source(y, 1);
  const scratch = state().scratch;
  let a: usize = 0;
  if (r > 0) {
    a = source(y, 3).data;
    const p = Product.of(thread, n, r, v, dt, r, false);
    p.a.set(l, A_ROWS, v);
    p.b.set(source(y, 4).data, B_ROWS, r);
    gemm(p, scratch, thread, threads);
    scaled(dt, n, r, y.scale, thread, threads);
    barrier(thread, threads);
  }
  if (dx != 0) {
    const p = Product.of(thread, n, k, v, dx, k, addX);
    p.a.set(l, A_ROWS, v);
    p.b.set(transposedData(w), transposedLayout(w), k);
    p.r = r;
    p.t.set(dt, A_ROWS, r);
    p.bt.set(a, B_ROWS, k);
    gemm(p, scratch, thread, threads);
    barrier(thread, threads);
    if (back != 0) {
      moveRows(true, dx, back, k, y.saved, first, n, thread, threads);
      // One tensor may be x and W at once.
      barrier(thread, threads);
    }
  }
  if (dw != 0) {
    const p = Product.of(thread, v, k, n, dw, k, addW);
    p.a.set(l, A_COLS, v);
    p.b.set(x, B_ROWS, k);
    gemm(p, scratch, thread, threads);
    barrier(thread, threads);
  }
  if (da != 0) {
    const p = Product.of(thread, r, k, n, da, k, addA);
    p.a.set(dt, A_COLS, r);
    p.b.set(x, B_ROWS, k);
    gemm(p, scratch, thread, threads);
    barrier(thread, threads);
  }
  if (db != 0) {
    const t = Parts.t(y, x);
    const p = Product.of(thread, v, r, n, db, r, addB);
    p.a.set(l, A_COLS, v);
    p.b.set(t, B_ROWS, r);
    gemm(p, scratch, thread, threads);
    barrier(thread, threads);
  }
}
