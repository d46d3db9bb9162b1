// The wide micro-tile: C [2, 24] = or += A · B over three neighbouring panels of B, for two rows of a panel of A. Its twelve
// sums hide the latency of madd, which eight cannot where two are begun a cycle: 99 % of the relaxed roof against 91 %
// of the 4x8 tile with shuffles and 87 % with splats (Node 24, 2 x 48 KB in L1); 104 % of Bun's baseline roof against
// 77 and 88. It takes all 15 registers: V8 before 13 spills (55 %), and where bounds are checked in code its eight
// loads cost more than they bring (Deno: 80 % against 87). The baseline of Node 24 does as well with 4x8.
// Each vector of B is used as soon as it is loaded: with all six first V8 spills as well (67 %).
import { Simd } from "../simd";
import { MR } from "./policy";

/** C [4, 24] = or += A · B: a whole panel of A. */
// biome-ignore format: one operand a line
export function tile4x24(
  k: i32,
  a: usize,
  b: usize, panel: usize, bStep: usize,
  c: usize, ldc: usize,
  accumulate: bool,
): void {
  tile2x24(k, a, b, panel, bStep, c, ldc, accumulate);
  tile2x24(k, a + 8, b, panel, bStep, c + 2 * ldc, ldc, accumulate);
}

/** C [2, 24] = or += A · B over k ≥ 1 steps; the panels of B are `panel` bytes apart. */
// biome-ignore format: one operand a line
function tile2x24(
  k: i32,
  a: usize,
  b: usize, panel: usize, bStep: usize,
  c: usize, ldc: usize,
  accumulate: bool,
): void {
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let c2 = f32x4.splat(0);
  let c3 = f32x4.splat(0);
  let c4 = f32x4.splat(0);
  let c5 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  let d1 = f32x4.splat(0);
  let d2 = f32x4.splat(0);
  let d3 = f32x4.splat(0);
  let d4 = f32x4.splat(0);
  let d5 = f32x4.splat(0);
  let p1 = b + panel;
  let p2 = p1 + panel;
  const end = b + <usize>k * bStep;
  do {
    const x = v128.load32_splat(a);
    const y = v128.load32_splat(a, 4);
    const b0 = v128.load(b);
    c0 = Simd.madd(x, b0, c0);
    d0 = Simd.madd(y, b0, d0);
    const b1 = v128.load(b, 16);
    c1 = Simd.madd(x, b1, c1);
    d1 = Simd.madd(y, b1, d1);
    const b2 = v128.load(p1);
    c2 = Simd.madd(x, b2, c2);
    d2 = Simd.madd(y, b2, d2);
    const b3 = v128.load(p1, 16);
    c3 = Simd.madd(x, b3, c3);
    d3 = Simd.madd(y, b3, d3);
    const b4 = v128.load(p2);
    c4 = Simd.madd(x, b4, c4);
    d4 = Simd.madd(y, b4, d4);
    const b5 = v128.load(p2, 16);
    c5 = Simd.madd(x, b5, c5);
    d5 = Simd.madd(y, b5, d5);
    a += 4 * MR;
    b += bStep;
    p1 += bStep;
    p2 += bStep;
  } while (b < end);
  const next = c + ldc;
  if (accumulate) {
    c0 = f32x4.add(v128.load(c), c0);
    c1 = f32x4.add(v128.load(c, 16), c1);
    c2 = f32x4.add(v128.load(c, 32), c2);
    c3 = f32x4.add(v128.load(c, 48), c3);
    c4 = f32x4.add(v128.load(c, 64), c4);
    c5 = f32x4.add(v128.load(c, 80), c5);
    d0 = f32x4.add(v128.load(next), d0);
    d1 = f32x4.add(v128.load(next, 16), d1);
    d2 = f32x4.add(v128.load(next, 32), d2);
    d3 = f32x4.add(v128.load(next, 48), d3);
    d4 = f32x4.add(v128.load(next, 64), d4);
    d5 = f32x4.add(v128.load(next, 80), d5);
  }
  v128.store(c, c0);
  v128.store(c, c1, 16);
  v128.store(c, c2, 32);
  v128.store(c, c3, 48);
  v128.store(c, c4, 64);
  v128.store(c, c5, 80);
  v128.store(next, d0);
  v128.store(next, d1, 16);
  v128.store(next, d2, 32);
  v128.store(next, d3, 48);
  v128.store(next, d4, 64);
  v128.store(next, d5, 80);
}
