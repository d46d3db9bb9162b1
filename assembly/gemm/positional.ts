// Products with their operands one by one, for callers outside of the engine: tests of the kernels and the bench.

import * as batches from "./batched";
import * as products from "./gemm";
import { Product } from "./product";

/** C [m, n] = or += A · B; layouts and leading dimensions as in blocking.ts, in elements. */
// biome-ignore format: one operand a line
export function gemm(
  m: i32, n: i32, k: i32,
  a: usize, aLayout: i32, lda: i32,
  b: usize, bLayout: i32, ldb: i32,
  c: usize, ldc: i32,
  accumulate: bool,
  scratch: usize, thread: i32, threads: i32,
): void {
  gemmLowRank(
    m, n, k, a, aLayout, lda, b, bLayout, ldb, c, ldc, accumulate, 0, 0, 0, 0, 0, 0, 0, scratch, thread, threads,
  );
}

/** The same, then + bias [n] (none if 0), then + t [m, r] · Bt (none if r = 0). */
// biome-ignore format: one operand a line
export function gemmLowRank(
  m: i32, n: i32, k: i32,
  a: usize, aLayout: i32, lda: i32,
  b: usize, bLayout: i32, ldb: i32,
  c: usize, ldc: i32,
  accumulate: bool,
  bias: usize,
  r: i32, t: usize, ldt: i32, bt: usize, btLayout: i32, ldbt: i32,
  scratch: usize, thread: i32, threads: i32,
): void {
  const p = Product.of(thread, m, n, k, c, ldc, accumulate);
  p.a.set(a, aLayout, lda);
  p.b.set(b, bLayout, ldb);
  p.bias = bias;
  p.r = r;
  p.t.set(t, 0, ldt);
  p.bt.set(bt, btLayout, ldbt);
  products.gemm(p, scratch, thread, threads);
}

/** Many products of one shape, see batched.ts. */
// biome-ignore format: one operand a line
export function batched(
  count: i32, m: i32, n: i32, k: i32,
  a: usize, aLayout: i32, lda: i32, strideA: i32,
  b: usize, bLayout: i32, ldb: i32, strideB: i32,
  c: usize, ldc: i32, strideC: i32,
  accumulate: bool,
  scratch: usize, thread: i32, threads: i32,
): void {
  const p = Product.of(thread, m, n, k, c, ldc, accumulate);
  p.a.set(a, aLayout, lda);
  p.b.set(b, bLayout, ldb);
  batches.batched(p, count, strideA, strideB, strideC, scratch, thread, threads);
}
