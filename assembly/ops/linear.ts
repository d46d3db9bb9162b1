// Linear with the low-rank branch: one record a layer (Hu et al. 2021, arXiv:2106.09685, eq. 3).
//   y = x·Wᵀ + b + t·Bᵀ,   t = s·drop(x)·Aᵀ
//   x [M, K]   W [N, K] rows or packed panels   b [N]   A [r, K]   B [N, r]   t [M, r], saved for backward
// Backward, with dt = s·dY·B [M, r]:
//   dB = dYᵀ·t     dA = dtᵀ·drop(x)     dX = dY·W + mask∘(dt·A)/(1−p)     dW = dYᵀ·x     db = Σ rows of dY
// Only what a source asks for is computed: a frozen W has no dW. Without dropout both terms of dX are one fused
// product. A thread has one room of the scratch for all products, so that threads meet only where one reads what
// another wrote (t, dt, drop(x)), where dX takes the place of x, which dA reads, or where one tensor is several sources,
// whose gradients are shared out differently.
// Nothing asks whether B is zero. The mask is recomputed from its counter, never stored.
//
// Sources: x, W, then b if there is a bias, then A, B if there is a branch

import { Product } from "../gemm/product";
import { A_COLS, A_ROWS, B_COLS, B_ROWS, MR, NR, Split } from "../gemm/blocking";
import { gemm, gemmLowRankScratch, gemmScratch } from "../gemm/gemm";
import { layoutOf, transposedData, transposedLayout } from "../gemm/weight";
import { bounded, lines } from "../memory/size";
import { count, Counter, state } from "../memory/state";
import { accumulates, dim, gradient, requiresGrad, Share, source, Tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { addWork, barrier } from "../threads/threads";
import { dropoutRange } from "./dropout";

// @ts-ignore: decorator
@unmanaged
export class Linear extends Tensor {
  hasBias: i32;
  hasBranch: i32;
  /** Which dropout of its scope that of the branch is. */
  ordinal: i32;
  /** s. */
  scale: f32;
  /** p of the branch's dropout, 0 for none. */
  dropout: f32;

  /** A [r, K]; only with a branch. */
  // @ts-ignore: decorator
  @inline
  get a(): Tensor {
    return source(this, 2 + this.hasBias);
  }

  /** B [N, r]; only with a branch. */
  // @ts-ignore: decorator
  @inline
  get b(): Tensor {
    return source(this, 3 + this.hasBias);
  }

  /** Address of b [N], or 0. */
  // @ts-ignore: decorator
  @inline
  get bias(): usize {
    return this.hasBias != 0 ? source(this, 2).data : 0;
  }

  // @ts-ignore: decorator
  @inline
  get n(): i32 {
    return dim(source(this, 1), 0);
  }

  // @ts-ignore: decorator
  @inline
  get k(): i32 {
    return dim(source(this, 1), 1);
  }

  // @ts-ignore: decorator
  @inline
  get m(): i32 {
    const n = this.n;
    return n == 0 ? 0 : this.size / n;
  }

  // @ts-ignore: decorator
  @inline
  get r(): i32 {
    return this.hasBranch != 0 ? dim(this.a, 0) : 0;
  }

  nanoseconds(job: Job): f64 {
    const one = (<f64>this.size * <f64>this.k) / 12;
    return job == Job.Forward ? one : 2 * one;
  }

  /** t [M, r]. */
  savedBytes(): usize {
    return lines(this.m, this.r);
  }

  /** | products | dt [M, r] | drop(x) [M, K] | */
  scratchBytes(job: Job, threads: i32): usize {
    const drops = this.hasBranch != 0 && this.dropout > 0;
    const dropped = drops ? lines(source(this, 0).size, 1) : 0;
    const dt = job == Job.Backward ? this.savedBytes() : 0;
    return bounded(<u64>productScratch(this, job, threads) + <u64>dt + <u64>dropped);
  }

  /** x is a factor of dW and of dA, and of nothing else. */
  readsSource(i: i32): bool {
    return i > 0 || requiresGrad(source(this, 1)) || (this.hasBranch != 0 && requiresGrad(this.a));
  }

  readsResult(): bool {
    return false;
  }

  storesGradients(): bool {
    return true;
  }

  /** dW comes after dX and reads x. */
  replacesInput(): bool {
    return !requiresGrad(source(this, 1));
  }

  readsPanels(i: i32): bool {
    return i == 1;
  }

  forward(thread: i32, threads: i32): void {
    linearForward(this, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    linearBackward(this, thread, threads);
  }
}

function productScratch(y: Linear, job: Job, threads: i32): usize {
  const m = y.m;
  const n = y.n;
  const k = y.k;
  const r = y.r;
  const w = source(y, 1);
  let bytes: usize;
  if (job == Job.Forward) {
    bytes = gemmLowRankScratch(m, n, k, layoutOf(w), r, threads);
    if (r > 0) bytes = max(bytes, gemmScratch(m, r, k, B_COLS, threads));
  } else {
    bytes = gemmLowRankScratch(m, k, n, transposedLayout(w), r, threads);
    if (r > 0) {
      bytes = max(bytes, gemmScratch(m, r, n, B_ROWS, threads));
      bytes = max(bytes, gemmScratch(n, r, m, B_ROWS, threads));
      bytes = max(bytes, gemmScratch(r, k, m, B_ROWS, threads));
      bytes = max(bytes, gemmScratch(m, k, r, B_ROWS, threads));
    }
    if (requiresGrad(w)) bytes = max(bytes, gemmScratch(n, k, m, B_ROWS, threads));
  }
  return bytes;
}

/** This thread's share of out = mask∘x/(1−p), or of out += mask∘x/(1−p), for x [n]. */
function masked(
  y: Linear,
  out: usize,
  x: usize,
  n: i32,
  adds: bool,
  thread: i32,
  threads: i32,
): void {
  const begin = Share.begin(n, 16, thread, threads);
  dropoutRange(adds, out, x, y.ordinal, y.dropout, begin, Share.end(n, 16, thread, threads));
}

/** x *= s for what this thread has of a product x [m, n]. */
export function scaled(x: usize, m: i32, n: i32, s: f32, thread: i32, threads: i32): void {
  if (!Split.byRows(m, n)) {
    const panels = (n + NR - 1) / NR;
    const begin = Split.first(panels, thread, threads) * NR;
    const end = min(n, Split.first(panels, thread + 1, threads) * NR);
    for (let i = 0; i < m; i++) scaleRange(x, i * n + begin, i * n + end, s);
    return;
  }
  const panels = (m + MR - 1) / MR;
  const begin = Split.first(panels, thread, threads) * MR;
  scaleRange(x, begin * n, min(m, Split.first(panels, thread + 1, threads) * MR) * n, s);
}

function scaleRange(x: usize, begin: i32, end: i32, s: f32): void {
  const factor = f32x4.splat(s);
  const stop = x + ((<usize>end) << 2);
  let at = x + ((<usize>begin) << 2);
  for (; at + 16 <= stop; at += 16) v128.store(at, f32x4.mul(v128.load(at), factor));
  for (; at < stop; at += 4) store<f32>(at, load<f32>(at) * s);
}

function linearForward(y: Linear, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const w = source(y, 1);
  const m = y.m;
  const n = y.n;
  const k = y.k;
  const r = y.r;
  const scratch = state().scratch;
  let b: usize = 0;
  if (y.hasBranch != 0) {
    let input = x.data;
    if (y.dropout > 0) {
      input = scratch + productScratch(y, Job.Forward, threads);
      masked(y, input, x.data, m * k, false, thread, threads);
      barrier(thread, threads);
    }
    const a = y.a;
    const p = Product.of(thread, m, r, k, y.saved, r, false);
    p.a.set(input, A_ROWS, k);
    p.b.set(a.data, B_COLS, k);
    gemm(p, scratch, thread, threads);
    scaled(y.saved, m, r, y.scale, thread, threads);
    barrier(thread, threads);
    b = y.b.data;
  }
  const p = Product.of(thread, m, n, k, y.data, n, false);
  p.a.set(x.data, A_ROWS, k);
  p.b.set(w.data, layoutOf(w), k);
  p.bias = y.bias;
  p.r = r;
  p.t.set(y.saved, A_ROWS, r);
  p.bt.set(b, B_COLS, r);
  gemm(p, scratch, thread, threads);
  addWork(thread, (<u64>y.size * <u64>k) / <u64>threads);
  if (thread != 0) return;
  count(Counter.ProductForward, 1);
  if (y.hasBranch != 0) count(Counter.ProductLowRank, 2);
}

function linearBackward(y: Linear, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const w = source(y, 1);
  const m = y.m;
  const n = y.n;
  const k = y.k;
  const r = y.r;
  const g = y.grad;
  const dx = gradient(x);
  const dw = gradient(w);
  const rooms = productScratch(y, Job.Backward, threads);
  const dt = state().scratch + rooms;
  const apart = repeats(y) || dx == x.data ? threads : 1;
  let products = 0;
  if (y.hasBranch != 0) {
    const a = y.a;
    const b = y.b;
    const da = gradient(a);
    const db = gradient(b);
    const dropped = dt + lines(m, r);
    const drops = y.dropout > 0;
    if (da != 0 || dx != 0) {
      if (drops && da != 0) masked(y, dropped, x.data, m * k, false, thread, threads);
      const room = roomFor(gemmScratch(m, r, n, B_ROWS, threads), rooms, thread, threads);
      const p = Product.of(thread, m, r, n, dt, r, false);
      p.a.set(g, A_ROWS, n);
      p.b.set(b.data, B_ROWS, r);
      gemm(p, room, thread, threads);
      scaled(dt, m, r, y.scale, thread, threads);
      products += 1;
    }
    if (db != 0) {
      const room = roomFor(gemmScratch(n, r, m, B_ROWS, threads), rooms, thread, threads);
      const p = Product.of(thread, n, r, m, db, r, accumulates(b));
      p.a.set(g, A_COLS, n);
      p.b.set(y.saved, B_ROWS, r);
      gemm(p, room, thread, threads);
      products += 1;
    }
    barrier(thread, threads);
    if (da != 0) {
      const input = drops ? dropped : x.data;
      const room = roomFor(gemmScratch(r, k, m, B_ROWS, threads), rooms, thread, threads);
      const p = Product.of(thread, r, k, m, da, k, accumulates(a));
      p.a.set(dt, A_COLS, r);
      p.b.set(input, B_ROWS, k);
      gemm(p, room, thread, threads);
      barrier(thread, apart);
      products += 1;
    }
    if (dx != 0) {
      const fused = drops ? 0 : r;
      inputGradient(y, dx, fused, dt, a.data, rooms, thread, threads);
      if (drops) {
        barrier(thread, threads);
        const room = roomFor(gemmScratch(m, k, r, B_ROWS, threads), rooms, thread, threads);
        const p = Product.of(thread, m, k, r, dropped, k, false);
        p.a.set(dt, A_ROWS, r);
        p.b.set(a.data, B_ROWS, k);
        gemm(p, room, thread, threads);
        barrier(thread, threads);
        masked(y, dx, dropped, m * k, true, thread, threads);
      }
      products += 1;
    }
  } else if (dx != 0) {
    inputGradient(y, dx, 0, 0, 0, rooms, thread, threads);
  }
  if (dw != 0) {
    barrier(thread, apart);
    const room = roomFor(gemmScratch(n, k, m, B_ROWS, threads), rooms, thread, threads);
    const p = Product.of(thread, n, k, m, dw, k, accumulates(w));
    p.a.set(g, A_COLS, n);
    p.b.set(x.data, B_ROWS, k);
    gemm(p, room, thread, threads);
  }
  if (y.hasBias != 0 && gradient(source(y, 2)) != 0) {
    barrier(thread, apart);
    biasGradient(source(y, 2), g, m, n, thread, threads);
  }
  addWork(thread, (<u64>y.size * <u64>k * <u64>(i32(dx != 0) + i32(dw != 0))) / <u64>threads);
  if (thread != 0) return;
  count(Counter.ProductLowRank, products);
  if (dx != 0) count(Counter.ProductInputGradient, 1);
  if (dw != 0) count(Counter.ProductWeightGradient, 1);
}

/** Is one tensor several sources of `y`? */
function repeats(y: Tensor): bool {
  for (let i = 1; i < y.sources; i++) {
    for (let j = 0; j < i; j++) if (source(y, i).root == source(y, j).root) return true;
  }
  return false;
}

/** The scratch to give to a product that needs `bytes` of it, so that this thread's part lies in its room of `rooms`. */
function roomFor(bytes: usize, rooms: usize, thread: i32, threads: i32): usize {
  return state().scratch + <usize>thread * ((rooms - bytes) / <usize>threads);
}

/** dX = or += dY·W + dt·A. */
function inputGradient(
  y: Linear,
  dx: usize,
  r: i32,
  dt: usize,
  a: usize,
  rooms: usize,
  thread: i32,
  threads: i32,
): void {
  const w = source(y, 1);
  const m = y.m;
  const n = y.n;
  const k = y.k;
  const layout = transposedLayout(w);
  const bytes = gemmLowRankScratch(m, k, n, layout, r, threads);
  const p = Product.of(thread, m, k, n, dx, k, accumulates(source(y, 0)));
  p.a.set(y.grad, A_ROWS, n);
  p.b.set(transposedData(w), layout, k);
  p.r = r;
  p.t.set(dt, A_ROWS, r);
  p.bt.set(a, B_ROWS, k);
  gemm(p, roomFor(bytes, rooms, thread, threads), thread, threads);
}

/** This thread's columns of db [N] = or += Σ over the rows of dY [M, N], in row order. */
function biasGradient(b: Tensor, g: usize, m: i32, n: i32, thread: i32, threads: i32): void {
  const db = gradient(b);
  const begin = Share.begin(n, 4, thread, threads);
  const end = Share.end(n, 4, thread, threads);
  if (!accumulates(b)) memory.fill(db + ((<usize>begin) << 2), 0, (<usize>(end - begin)) << 2);
  for (let i = 0; i < m; i++) {
    const row = g + ((<usize>(i * n)) << 2);
    for (let j = begin; j < end; j++) {
      const at = db + ((<usize>j) << 2);
      store<f32>(at, load<f32>(at) + load<f32>(row + ((<usize>j) << 2)));
    }
  }
}
