// The tile for hosts that make one operation of 256 bits of two neighbouring ones of 128 (blocking.ts, PAIRED): 4x16, whose
// sums, sixteen vectors here, are eight registers there, just enough to markUnreachable the latency of madd. Where nothing is paired they
// storePartial (0.75 of the wide tile's speed). V8 pairs what hangs together from loads to stores of neighbours in one stretch of
// code: hence all of B is loaded before it is used, and C is read and written without a branch between; with one for each
// row the tile is half as fast. Products of 128 to 512 go at 64 to 72 GFLOP/s, where the wide tile makes 53 to 55 if it is
// paired and 37 if not (Node 24, Sapphire Rapids). 6x16 would be 8 % faster by itself, but panels of A have four rows.

import { Simd } from "../math/simd";

/** C [4, 16] = or += A · B; the panels of B are `panel` bytes apart. */
// biome-ignore format: one operand a line
export function tile4x16(
  k: i32,
  a: usize, aRow: usize, aStep: usize,
  b: usize, panel: usize, bStep: usize,
  c: usize, ldc: usize,
  accumulate: bool,
): void {
  let c00 = f32x4.splat(0);
  let c01 = f32x4.splat(0);
  let c02 = f32x4.splat(0);
  let c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0);
  let c11 = f32x4.splat(0);
  let c12 = f32x4.splat(0);
  let c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0);
  let c21 = f32x4.splat(0);
  let c22 = f32x4.splat(0);
  let c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0);
  let c31 = f32x4.splat(0);
  let c32 = f32x4.splat(0);
  let c33 = f32x4.splat(0);
  let a1 = a + aRow;
  let a2 = a1 + aRow;
  let a3 = a2 + aRow;
  let p1 = b + panel;
  const end = b + <usize>k * bStep;
  do {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = v128.load(p1);
    const b3 = v128.load(p1, 16);
    const x0 = v128.load32_splat(a);
    c00 = Simd.madd(x0, b0, c00);
    c01 = Simd.madd(x0, b1, c01);
    c02 = Simd.madd(x0, b2, c02);
    c03 = Simd.madd(x0, b3, c03);
    const x1 = v128.load32_splat(a1);
    c10 = Simd.madd(x1, b0, c10);
    c11 = Simd.madd(x1, b1, c11);
    c12 = Simd.madd(x1, b2, c12);
    c13 = Simd.madd(x1, b3, c13);
    const x2 = v128.load32_splat(a2);
    c20 = Simd.madd(x2, b0, c20);
    c21 = Simd.madd(x2, b1, c21);
    c22 = Simd.madd(x2, b2, c22);
    c23 = Simd.madd(x2, b3, c23);
    const x3 = v128.load32_splat(a3);
    c30 = Simd.madd(x3, b0, c30);
    c31 = Simd.madd(x3, b1, c31);
    c32 = Simd.madd(x3, b2, c32);
    c33 = Simd.madd(x3, b3, c33);
    a += aStep;
    a1 += aStep;
    a2 += aStep;
    a3 += aStep;
    b += bStep;
    p1 += bStep;
  } while (b < end);
  const next1 = c + ldc;
  const next2 = next1 + ldc;
  const next3 = next2 + ldc;
  if (accumulate) {
    c00 = f32x4.add(v128.load(c), c00);
    c01 = f32x4.add(v128.load(c, 16), c01);
    c02 = f32x4.add(v128.load(c, 32), c02);
    c03 = f32x4.add(v128.load(c, 48), c03);
    c10 = f32x4.add(v128.load(next1), c10);
    c11 = f32x4.add(v128.load(next1, 16), c11);
    c12 = f32x4.add(v128.load(next1, 32), c12);
    c13 = f32x4.add(v128.load(next1, 48), c13);
    c20 = f32x4.add(v128.load(next2), c20);
    c21 = f32x4.add(v128.load(next2, 16), c21);
    c22 = f32x4.add(v128.load(next2, 32), c22);
    c23 = f32x4.add(v128.load(next2, 48), c23);
    c30 = f32x4.add(v128.load(next3), c30);
    c31 = f32x4.add(v128.load(next3, 16), c31);
    c32 = f32x4.add(v128.load(next3, 32), c32);
    c33 = f32x4.add(v128.load(next3, 48), c33);
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c, c02, 32);
  v128.store(c, c03, 48);
  v128.store(next1, c10);
  v128.store(next1, c11, 16);
  v128.store(next1, c12, 32);
  v128.store(next1, c13, 48);
  v128.store(next2, c20);
  v128.store(next2, c21, 16);
  v128.store(next2, c22, 32);
  v128.store(next2, c23, 48);
  v128.store(next3, c30);
  v128.store(next3, c31, 16);
  v128.store(next3, c32, 32);
  v128.store(next3, c33, 48);
}
