// The micro-tiles of C's edges: one to three rows by eight columns, and four rows by four columns for a tallSkinny C.
// Sums and operands as in tile.ts; a 4x4 tile also leaves its result to be brought into place by `storePartial`.
import { Simd } from "../math/simd";
import { Sums } from "./sums";

/** C [3, 8] = or += A · B over k ≥ 1 steps. */
// biome-ignore format: one operand a line
export function tile3x8(
  k: i32,
  a: usize, aStep: usize,
  b: usize, bStep: usize,
  c: usize, ldc: usize,
  accumulate: bool,
): void {
  let c00 = f32x4.splat(0);
  let c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0);
  let c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0);
  let c21 = f32x4.splat(0);
  const end = b + <usize>k * bStep;
  do {
    const row = v128.load(a);
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = v128.shuffle<f32>(row, row, 0, 0, 0, 0);
    c00 = Simd.madd(a0, b0, c00);
    c01 = Simd.madd(a0, b1, c01);
    const a1 = v128.shuffle<f32>(row, row, 1, 1, 1, 1);
    c10 = Simd.madd(a1, b0, c10);
    c11 = Simd.madd(a1, b1, c11);
    const a2 = v128.shuffle<f32>(row, row, 2, 2, 2, 2);
    c20 = Simd.madd(a2, b0, c20);
    c21 = Simd.madd(a2, b1, c21);
    a += aStep;
    b += bStep;
  } while (b < end);
  Sums.put(c, accumulate, c00, c01);
  Sums.put(c + ldc, accumulate, c10, c11);
  Sums.put(c + 2 * ldc, accumulate, c20, c21);
}

/** C [2, 8] = or += A · B over k ≥ 1 steps. */
// biome-ignore format: one operand a line
export function tile2x8(
  k: i32,
  a: usize, aStep: usize,
  b: usize, bStep: usize,
  c: usize, ldc: usize,
  accumulate: bool,
): void {
  let c00 = f32x4.splat(0);
  let c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0);
  let c11 = f32x4.splat(0);
  const end = b + <usize>k * bStep;
  do {
    const row = v128.load(a);
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = v128.shuffle<f32>(row, row, 0, 0, 0, 0);
    c00 = Simd.madd(a0, b0, c00);
    c01 = Simd.madd(a0, b1, c01);
    const a1 = v128.shuffle<f32>(row, row, 1, 1, 1, 1);
    c10 = Simd.madd(a1, b0, c10);
    c11 = Simd.madd(a1, b1, c11);
    a += aStep;
    b += bStep;
  } while (b < end);
  Sums.put(c, accumulate, c00, c01);
  Sums.put(c + ldc, accumulate, c10, c11);
}

/** C [1, 8] = or += A · B over k ≥ 1 steps. */
// biome-ignore format: one operand a line
export function tile1x8(
  k: i32,
  a: usize, aStep: usize,
  b: usize, bStep: usize,
  c: usize,
  accumulate: bool,
): void {
  let c00 = f32x4.splat(0);
  let c01 = f32x4.splat(0);
  const end = b + <usize>k * bStep;
  do {
    const row = v128.load(a);
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = v128.shuffle<f32>(row, row, 0, 0, 0, 0);
    c00 = Simd.madd(a0, b0, c00);
    c01 = Simd.madd(a0, b1, c01);
    a += aStep;
    b += bStep;
  } while (b < end);
  Sums.put(c, accumulate, c00, c01);
}

/** C [4, 4] = A · B over k ≥ 1 steps, from the first four lanes of the B panel. */
// biome-ignore format: one operand a line
export function tile4x4(
  k: i32,
  a: usize, aStep: usize,
  b: usize, bStep: usize,
  c: usize, ldc: usize,
): void {
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let c2 = f32x4.splat(0);
  let c3 = f32x4.splat(0);
  const end = b + <usize>k * bStep;
  do {
    const row = v128.load(a);
    const b0 = v128.load(b);
    c0 = Simd.madd(v128.shuffle<f32>(row, row, 0, 0, 0, 0), b0, c0);
    c1 = Simd.madd(v128.shuffle<f32>(row, row, 1, 1, 1, 1), b0, c1);
    c2 = Simd.madd(v128.shuffle<f32>(row, row, 2, 2, 2, 2), b0, c2);
    c3 = Simd.madd(v128.shuffle<f32>(row, row, 3, 3, 3, 3), b0, c3);
    a += aStep;
    b += bStep;
  } while (b < end);
  v128.store(c, c0);
  v128.store(c + ldc, c1);
  v128.store(c + 2 * ldc, c2);
  v128.store(c + 3 * ldc, c3);
}
