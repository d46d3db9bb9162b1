// Matmul: y = a · b, a [..., M, K], b [..., K, N], leading axes broadcast as in NumPy.
//   da = dy · bᵀ     db = aᵀ · dy     each summed over the batches that a or b was broadcast to, in batch order
//
// Three ways, chosen by shape alone: b has one batch (then the rows of all batches of a are one product), a and b
// advance evenly (batched), or any other broadcast, batch by batch. In the last, every product of a given size is
// split among the threads alike, so that a gradient summed over batches has one writer for each element. Products of
// different shapes divide the scratch differently: a barrier parts da from db.

import { Product } from "../gemm/product";
import { batched, batchedScratch } from "../gemm/batched";
import { A_COLS, A_ROWS, B_COLS, B_ROWS } from "../gemm/blocking";
import { gemm, gemmScratch } from "../gemm/gemm";
import { state } from "../memory/state";
import { dim, gradient, source, Tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { addWork, barrier } from "../threads/threads";

class Shape {
  // @ts-ignore: decorator
  @inline
  static m(y: Tensor): i32 {
    return dim(y, y.rank - 2);
  }
  // @ts-ignore: decorator
  @inline
  static n(y: Tensor): i32 {
    return dim(y, y.rank - 1);
  }
  // @ts-ignore: decorator
  @inline
  static k(y: Tensor): i32 {
    const a = source(y, 0);
    return dim(a, a.rank - 1);
  }
}

/** Number of matrices in a tensor [..., R, C]. */
function batches(t: Tensor): i32 {
  let n = 1;
  for (let i = 0; i < t.rank - 2; i++) n *= dim(t, i);
  return n;
}

/** Which matrix of `from` belongs to matrix `batch` of `y`. */
function batchOf(y: Tensor, from: Tensor, batch: i32): i32 {
  let index = 0;
  let step = 1;
  for (let i = 1; i <= from.rank - 2; i++) {
    const length = dim(y, y.rank - 2 - i);
    const own = dim(from, from.rank - 2 - i);
    if (own != 1) index += (batch % length) * step;
    step *= own;
    batch /= length;
  }
  return index;
}

/** Matrices of `from` advance one by one with those of `y`, or stand still. */
function even(y: Tensor, from: Tensor): bool {
  const n = batches(from);
  return n == 1 || n == batches(y);
}

function flat(y: Tensor): bool {
  return batches(source(y, 1)) == 1 && batches(source(y, 0)) == batches(y);
}

// @ts-ignore: decorator
@unmanaged
export class Matmul extends Tensor {
  nanoseconds(job: Job): f64 {
    return matmulNanoseconds(this, job);
  }

  savedBytes(): usize {
    return 0;
  }

  scratchBytes(job: Job, threads: i32): usize {
    return matmulScratch(this, job, threads);
  }

  readsSource(_i: i32): bool {
    return true;
  }

  readsResult(): bool {
    return false;
  }

  forward(thread: i32, threads: i32): void {
    matmulForward(this, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    matmulBackward(this, thread, threads);
  }
}

function matmulScratch(y: Tensor, job: Job, threads: i32): usize {
  const m = Shape.m(y) * (flat(y) ? batches(y) : 1);
  const n = Shape.n(y);
  const k = Shape.k(y);
  const count = flat(y) ? 1 : batches(y);
  if (job == Job.Forward)
    return max(
      gemmScratch(m, n, k, B_ROWS, threads),
      batchedScratch(count, m, n, k, B_ROWS, 1, threads),
    );
  const da = max(
    gemmScratch(m, k, n, B_COLS, threads),
    batchedScratch(count, m, k, n, B_COLS, 1, threads),
  );
  const db = max(
    gemmScratch(k, n, m, B_ROWS, threads),
    batchedScratch(count, k, n, m, B_ROWS, 1, threads),
  );
  return max(da, db);
}

function matmulNanoseconds(y: Tensor, job: Job): f64 {
  const one = (<f64>y.size * <f64>Shape.k(y)) / 12;
  return job == Job.Forward ? one : 2 * one;
}

function matmulForward(y: Tensor, thread: i32, threads: i32): void {
  const a = source(y, 0);
  const b = source(y, 1);
  const m = Shape.m(y);
  const n = Shape.n(y);
  const k = Shape.k(y);
  const count = batches(y);
  const scratch = state().scratch;
  if (flat(y)) {
    const p = Product.of(thread, count * m, n, k, y.data, n, false);
    p.a.set(a.data, A_ROWS, k);
    p.b.set(b.data, B_ROWS, n);
    gemm(p, scratch, thread, threads);
  } else if (even(y, a) && even(y, b)) {
    const aStep = batches(a) == 1 ? 0 : m * k;
    const bStep = batches(b) == 1 ? 0 : k * n;
    const p = Product.of(thread, m, n, k, y.data, n, false);
    p.a.set(a.data, A_ROWS, k);
    p.b.set(b.data, B_ROWS, n);
    batched(p, count, aStep, bStep, m * n, scratch, thread, threads);
  } else {
    for (let i = 0; i < count; i++) {
      const ai = a.data + ((<usize>batchOf(y, a, i) * <usize>(m * k)) << 2);
      const bi = b.data + ((<usize>batchOf(y, b, i) * <usize>(k * n)) << 2);
      const yi = y.data + ((<usize>i * <usize>(m * n)) << 2);
      const p = Product.of(thread, m, n, k, yi, n, false);
      p.a.set(ai, A_ROWS, k);
      p.b.set(bi, B_ROWS, n);
      gemm(p, scratch, thread, threads);
    }
  }
  addWork(thread, (<u64>y.size * <u64>k) / <u64>threads);
}

function matmulBackward(y: Tensor, thread: i32, threads: i32): void {
  const a = source(y, 0);
  const b = source(y, 1);
  const m = Shape.m(y);
  const n = Shape.n(y);
  const k = Shape.k(y);
  const count = batches(y);
  const scratch = state().scratch;
  const g = y.grad;
  const da = gradient(a);
  const db = gradient(b);
  addWork(thread, (<u64>y.size * <u64>k * <u64>(i32(da != 0) + i32(db != 0))) / <u64>threads);
  if (flat(y)) {
    if (da != 0) {
      const p = Product.of(thread, count * m, k, n, da, k, true);
      p.a.set(g, A_ROWS, n);
      p.b.set(b.data, B_COLS, n);
      gemm(p, scratch, thread, threads);
    }
    barrier(thread, threads);
    if (db != 0) {
      const p = Product.of(thread, k, n, count * m, db, n, true);
      p.a.set(a.data, A_COLS, k);
      p.b.set(g, B_ROWS, n);
      gemm(p, scratch, thread, threads);
    }
    return;
  }
  const aStep = batches(a) == 1 ? 0 : m * k;
  const bStep = batches(b) == 1 ? 0 : k * n;
  const together = even(y, a) && even(y, b);
  if (da != 0 && together) {
    const p = Product.of(thread, m, k, n, da, k, true);
    p.a.set(g, A_ROWS, n);
    p.b.set(b.data, B_COLS, n);
    batched(p, count, m * n, bStep, aStep, scratch, thread, threads);
  } else if (da != 0) {
    for (let i = 0; i < count; i++) {
      const gi = g + ((<usize>i * <usize>(m * n)) << 2);
      const bi = b.data + ((<usize>batchOf(y, b, i) * <usize>(k * n)) << 2);
      const di = da + ((<usize>batchOf(y, a, i) * <usize>(m * k)) << 2);
      const p = Product.of(thread, m, k, n, di, k, true);
      p.a.set(gi, A_ROWS, n);
      p.b.set(bi, B_COLS, n);
      gemm(p, scratch, thread, threads);
    }
  }
  barrier(thread, threads);
  if (db != 0 && together) {
    const p = Product.of(thread, k, n, m, db, n, true);
    p.a.set(a.data, A_COLS, k);
    p.b.set(g, B_ROWS, n);
    batched(p, count, aStep, m * n, bStep, scratch, thread, threads);
  } else if (db != 0) {
    for (let i = 0; i < count; i++) {
      const gi = g + ((<usize>i * <usize>(m * n)) << 2);
      const ai = a.data + ((<usize>batchOf(y, a, i) * <usize>(m * k)) << 2);
      const di = db + ((<usize>batchOf(y, b, i) * <usize>(k * n)) << 2);
      const p = Product.of(thread, k, n, m, di, n, true);
      p.a.set(ai, A_COLS, k);
      p.b.set(gi, B_ROWS, n);
      gemm(p, scratch, thread, threads);
    }
  }
}
