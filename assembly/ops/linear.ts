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
// Sources: x, W, then b if i0, then A, B if i1.   i2: the dropout's ordinal   f0: s   f1: p

import { A_COLS, A_ROWS, B_COLS, B_ROWS, MR, NR, Split } from "../gemm/blocking";
import { gemm, gemmLowRank, gemmLowRankScratch, gemmScratch } from "../gemm/gemm";
import { layoutOf, transposedData, transposedLayout } from "../gemm/weight";
import { bounded, lines } from "../memory/size";
import { count, Counter, state } from "../memory/state";
import { accumulates, dim, gradient, requiresGrad, Share, source, Tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { addWork, barrier } from "../threads/threads";
import { dropoutRange } from "./dropout";

class Parts {
  // @ts-ignore: decorator
  @inline
  static rank(y: Tensor): i32 {
    return y.i1 != 0 ? dim(Parts.a(y), 0) : 0;
  }
  // @ts-ignore: decorator
  @inline
  static bias(y: Tensor): usize {
    return y.i0 != 0 ? source(y, 2).data : 0;
  }
  // @ts-ignore: decorator
  @inline
  static a(y: Tensor): Tensor {
    return source(y, 2 + y.i0);
  }
  // @ts-ignore: decorator
  @inline
  static b(y: Tensor): Tensor {
    return source(y, 3 + y.i0);
  }
  // @ts-ignore: decorator
  @inline
  static n(y: Tensor): i32 {
    return dim(source(y, 1), 0);
  }
  // @ts-ignore: decorator
  @inline
  static k(y: Tensor): i32 {
    return dim(source(y, 1), 1);
  }
  // @ts-ignore: decorator
  @inline
  static m(y: Tensor): i32 {
    const n = Parts.n(y);
    return n == 0 ? 0 : y.size / n;
  }
}

/** t [M, r]. */
export function linearSaved(y: Tensor): usize {
  return lines(Parts.m(y), Parts.rank(y));
}

/** | products | dt [M, r] | drop(x) [M, K] | */
export function linearScratch(y: Tensor, job: Job, threads: i32): usize {
  const dropped = y.i1 != 0 && y.f1 > 0 ? lines(source(y, 0).size, 1) : 0;
  const dt = job == Job.Backward ? linearSaved(y) : 0;
  return bounded(<u64>productScratch(y, job, threads) + <u64>dt + <u64>dropped);
}

function productScratch(y: Tensor, job: Job, threads: i32): usize {
  const m = Parts.m(y);
  const n = Parts.n(y);
  const k = Parts.k(y);
  const r = Parts.rank(y);
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

export function linearNanoseconds(y: Tensor, job: Job): f64 {
  const one = (<f64>y.size * <f64>Parts.k(y)) / 12;
  return job == Job.Forward ? one : 2 * one;
}

/** This thread's share of out = mask∘x/(1−p), or of out += mask∘x/(1−p), for x [n]. */
function masked(
  y: Tensor,
  out: usize,
  x: usize,
  n: i32,
  adds: bool,
  thread: i32,
  threads: i32,
): void {
  const begin = Share.begin(n, 16, thread, threads);
  dropoutRange(adds, out, x, y.i2, y.f1, begin, Share.end(n, 16, thread, threads));
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

export function linearForward(y: Tensor, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const w = source(y, 1);
  const m = Parts.m(y);
  const n = Parts.n(y);
  const k = Parts.k(y);
  const r = Parts.rank(y);
  const scratch = state().scratch;
  let b: usize = 0;
  if (y.i1 != 0) {
    let input = x.data;
    if (y.f1 > 0) {
      input = scratch + productScratch(y, Job.Forward, threads);
      masked(y, input, x.data, m * k, false, thread, threads);
      barrier(thread, threads);
    }
    const a = Parts.a(y);
    gemm(m, r, k, input, A_ROWS, k, a.data, B_COLS, k, y.saved, r, false, scratch, thread, threads);
    scaled(y.saved, m, r, y.f0, thread, threads);
    barrier(thread, threads);
    b = Parts.b(y).data;
  }
  // biome-ignore format: one operand after the other
  gemmLowRank(
    m, n, k, x.data, A_ROWS, k, w.data, layoutOf(w), k, y.data, n, false, Parts.bias(y),
    r, y.saved, r, b, B_COLS, r, scratch, thread, threads,
  );
  addWork(thread, (<u64>y.size * <u64>k) / <u64>threads);
  if (thread != 0) return;
  count(Counter.ProductForward, 1);
  if (y.i1 != 0) count(Counter.ProductLowRank, 2);
}

export function linearBackward(y: Tensor, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const w = source(y, 1);
  const m = Parts.m(y);
  const n = Parts.n(y);
  const k = Parts.k(y);
  const r = Parts.rank(y);
  const g = y.grad;
  const dx = gradient(x);
  const dw = gradient(w);
  const rooms = productScratch(y, Job.Backward, threads);
  const dt = state().scratch + rooms;
  const apart = repeats(y) || dx == x.data ? threads : 1;
  let products = 0;
  if (y.i1 != 0) {
    const a = Parts.a(y);
    const b = Parts.b(y);
    const da = gradient(a);
    const db = gradient(b);
    const dropped = dt + lines(m, r);
    const drops = y.f1 > 0;
    if (da != 0 || dx != 0) {
      if (drops && da != 0) masked(y, dropped, x.data, m * k, false, thread, threads);
      const room = roomFor(gemmScratch(m, r, n, B_ROWS, threads), rooms, thread, threads);
      gemm(m, r, n, g, A_ROWS, n, b.data, B_ROWS, r, dt, r, false, room, thread, threads);
      scaled(dt, m, r, y.f0, thread, threads);
      products += 1;
    }
    if (db != 0) {
      const room = roomFor(gemmScratch(n, r, m, B_ROWS, threads), rooms, thread, threads);
      // biome-ignore format: one operand after the other
      gemm(n, r, m, g, A_COLS, n, y.saved, B_ROWS, r, db, r, accumulates(b), room, thread, threads);
      products += 1;
    }
    barrier(thread, threads);
    if (da != 0) {
      const input = drops ? dropped : x.data;
      const room = roomFor(gemmScratch(r, k, m, B_ROWS, threads), rooms, thread, threads);
      // biome-ignore format: one operand after the other
      gemm(r, k, m, dt, A_COLS, r, input, B_ROWS, k, da, k, accumulates(a), room, thread, threads);
      barrier(thread, apart);
      products += 1;
    }
    if (dx != 0) {
      const fused = drops ? 0 : r;
      inputGradient(y, dx, fused, dt, a.data, rooms, thread, threads);
      if (drops) {
        barrier(thread, threads);
        const room = roomFor(gemmScratch(m, k, r, B_ROWS, threads), rooms, thread, threads);
        // biome-ignore format: one operand after the other
        gemm(m, k, r, dt, A_ROWS, r, a.data, B_ROWS, k, dropped, k, false, room, thread, threads);
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
    gemm(n, k, m, g, A_COLS, n, x.data, B_ROWS, k, dw, k, accumulates(w), room, thread, threads);
  }
  if (y.i0 != 0 && gradient(source(y, 2)) != 0) {
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
  y: Tensor,
  dx: usize,
  r: i32,
  dt: usize,
  a: usize,
  rooms: usize,
  thread: i32,
  threads: i32,
): void {
  const w = source(y, 1);
  const m = Parts.m(y);
  const n = Parts.n(y);
  const k = Parts.k(y);
  const layout = transposedLayout(w);
  const bytes = gemmLowRankScratch(m, k, n, layout, r, threads);
  // biome-ignore format: one operand after the other
  gemmLowRank(
    m, k, n, y.grad, A_ROWS, n, transposedData(w), layout, k, dx, k, accumulates(source(y, 0)), 0, r, dt, r, a, B_ROWS, k,
    roomFor(bytes, rooms, thread, threads), thread, threads,
  );
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
