// The wide tiles: C [mr, nr] = or += A · B for mr ≤ 4 rows and up to three neighbouring panels of B, A's rows where they
// lie: element (i, p) at a + i·aRow + p·aStep. Whole tiles are 2x24, or 4x16 (paired.ts): twelve sums markUnreachable the latency of madd, which eight
// cannot where two are begun a cycle: 99 % of the relaxed roof against 91 % of the 4x8 tile with shuffles and 87 % with
// splats (Node 24, operands in L1), and 108 % of Bun's baseline roof against 88 and 77. They take all 15 registers: V8
// before 13 spills (55 %), and where bounds are checked in code eight loads cost more than they bring (Deno: 80 % against
// 87). The baseline of Node 24 does as well with 4x8. Each vector of B is used as soon as it is loaded, and k is not
// unrolled: with all six first V8 spills as well (67 %).
import { Simd } from "../math/simd";
import { MR, NR } from "./blocking";
import { gemv3x8 } from "./gemvTile";
import { tile4x16 } from "./paired";
import { Sums } from "./sums";
import { storePartial } from "./tile";

/** C [mr, nr] = or += A · B over k ≥ 1 steps; nr is 24, 16 or at most 8, and `sums` is room for one tile (128 bytes). */
// biome-ignore format: one operand a line
export function wideTile(
  mr: i32, nr: i32, k: i32,
  a: usize, aRow: usize, aStep: usize,
  b: usize, panel: usize, bStep: usize,
  c: usize, ldc: usize,
  accumulate: bool,
  sums: usize,
): void {
  if (ASC_FEATURE_RELAXED_SIMD && nr == 2 * NR && mr == MR) {
    tile4x16(k, a, aRow, aStep, b, panel, bStep, c, ldc, accumulate);
    return;
  }
  if (nr == 3 * NR && mr != 3) {
    // A single row goes twice, into the same place: all of C is read before any of it is written.
    const pair: usize = mr > 1 ? 1 : 0;
    tile2x24(k, a, pair * aRow, aStep, b, panel, bStep, c, pair * ldc, accumulate);
    if (mr == MR) tile2x24(k, a + 2 * aRow, aRow, aStep, b, panel, bStep, c + 2 * ldc, ldc, accumulate);
    return;
  }
  for (; nr > 0; nr -= NR) {
    const columns = min(nr, NR);
    if (mr == MR && columns == NR) {
      tile4x8(k, a, aRow, aStep, b, bStep, c, ldc, accumulate);
    } else {
      const row1 = mr > 1 ? a + aRow : a;
      if (mr == MR) tile4x8(k, a, aRow, aStep, b, bStep, sums, 32, false);
      else gemv3x8(k, a, row1, mr > 2 ? row1 + aRow : a, aStep, b, bStep, sums);
      storePartial(mr, columns, sums, c, ldc, accumulate);
    }
    b += panel;
    c += 32;
  }
}

/** C [2, 24] = or += A · B; the panels of B are `panel` bytes apart. */
// biome-ignore format: one operand a line
function tile2x24(
  k: i32,
  a: usize, aRow: usize, aStep: usize,
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
  let other = a + aRow;
  let p1 = b + panel;
  let p2 = p1 + panel;
  const end = b + <usize>k * bStep;
  do {
    const x = v128.load32_splat(a);
    const y = v128.load32_splat(other);
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
    a += aStep;
    other += aStep;
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

/** C [4, 8] = or += A · B. */
// biome-ignore format: one operand a line
function tile4x8(
  k: i32,
  a: usize, aRow: usize, aStep: usize,
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
  let c30 = f32x4.splat(0);
  let c31 = f32x4.splat(0);
  let a1 = a + aRow;
  let a2 = a1 + aRow;
  let a3 = a2 + aRow;
  const end = b + <usize>k * bStep;
  do {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const x0 = v128.load32_splat(a);
    c00 = Simd.madd(x0, b0, c00);
    c01 = Simd.madd(x0, b1, c01);
    const x1 = v128.load32_splat(a1);
    c10 = Simd.madd(x1, b0, c10);
    c11 = Simd.madd(x1, b1, c11);
    const x2 = v128.load32_splat(a2);
    c20 = Simd.madd(x2, b0, c20);
    c21 = Simd.madd(x2, b1, c21);
    const x3 = v128.load32_splat(a3);
    c30 = Simd.madd(x3, b0, c30);
    c31 = Simd.madd(x3, b1, c31);
    a += aStep;
    a1 += aStep;
    a2 += aStep;
    a3 += aStep;
    b += bStep;
  } while (b < end);
  Sums.put(c, accumulate, c00, c01);
  Sums.put(c + ldc, accumulate, c10, c11);
  Sums.put(c + 2 * ldc, accumulate, c20, c21);
  Sums.put(c + 3 * ldc, accumulate, c30, c31);
}
