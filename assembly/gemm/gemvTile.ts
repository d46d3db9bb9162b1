// The register tiles of a GEMV: enough columns a tile that eight sums run at once and markUnreachable the latency of madd.
// Sums as in gemv.ts. Panels are `panel` bytes apart and have steps of bStep bytes; W's rows are ldw bytes apart.
import { Simd } from "../math/simd";

export class Lanes {
  /** c + x·B for four steps of k, B being the transpose of four rows of W that start at w. */
  // @ts-expect-error: decorator
  @inline
  static steps4(w: usize, ldw: usize, x0: v128, x1: v128, x2: v128, x3: v128, c: v128): v128 {
    const r0 = v128.load(w);
    const r1 = v128.load(w + ldw);
    const r2 = v128.load(w + 2 * ldw);
    const r3 = v128.load(w + 3 * ldw);
    const lo01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
    const lo23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
    const hi01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
    const hi23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
    c = Simd.madd(x0, v128.shuffle<i64>(lo01, lo23, 0, 2), c);
    c = Simd.madd(x1, v128.shuffle<i64>(lo01, lo23, 1, 3), c);
    c = Simd.madd(x2, v128.shuffle<i64>(hi01, hi23, 0, 2), c);
    return Simd.madd(x3, v128.shuffle<i64>(hi01, hi23, 1, 3), c);
  }

  /** c + x·B for one step of k, B being one column of four rows of W that start at w. */
  // @ts-expect-error: decorator
  @inline
  static step(w: usize, ldw: usize, x: v128, c: v128): v128 {
    let b = v128.load32_zero(w);
    b = v128.load32_lane(w + ldw, b, 1);
    b = v128.load32_lane(w + 2 * ldw, b, 2);
    b = v128.load32_lane(w + 3 * ldw, b, 3);
    return Simd.madd(x, b, c);
  }

  /** C = or += c. */
  // @ts-expect-error: decorator
  @inline
  static put(p: usize, c: v128, accumulate: bool): void {
    v128.store(p, accumulate ? f32x4.add(v128.load(p), c) : c);
  }
}

/** One row, 32 columns: four panels (or pieces of B's rows) `panel` bytes apart, so that eight sums run at once. */
// biome-ignore format: one operand a line
export function gemv1x32(
  k: i32,
  x: usize, xStep: usize,
  b: usize, panel: usize, bStep: usize,
  c: usize,
  accumulate: bool,
): void {
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let c2 = f32x4.splat(0);
  let c3 = f32x4.splat(0);
  let c4 = f32x4.splat(0);
  let c5 = f32x4.splat(0);
  let c6 = f32x4.splat(0);
  let c7 = f32x4.splat(0);
  let p1 = b + panel;
  let p2 = p1 + panel;
  let p3 = p2 + panel;
  const end = b + <usize>k * bStep;
  do {
    const x0 = v128.load32_splat(x);
    c0 = Simd.madd(x0, v128.load(b), c0);
    c1 = Simd.madd(x0, v128.load(b, 16), c1);
    c2 = Simd.madd(x0, v128.load(p1), c2);
    c3 = Simd.madd(x0, v128.load(p1, 16), c3);
    c4 = Simd.madd(x0, v128.load(p2), c4);
    c5 = Simd.madd(x0, v128.load(p2, 16), c5);
    c6 = Simd.madd(x0, v128.load(p3), c6);
    c7 = Simd.madd(x0, v128.load(p3, 16), c7);
    x += xStep;
    b += bStep;
    p1 += bStep;
    p2 += bStep;
    p3 += bStep;
  } while (b < end);
  Lanes.put(c, c0, accumulate);
  Lanes.put(c + 16, c1, accumulate);
  Lanes.put(c + 32, c2, accumulate);
  Lanes.put(c + 48, c3, accumulate);
  Lanes.put(c + 64, c4, accumulate);
  Lanes.put(c + 80, c5, accumulate);
  Lanes.put(c + 96, c6, accumulate);
  Lanes.put(c + 112, c7, accumulate);
}

/** One row, 16 columns of a weight in 16 bits: two panels of [k][8] numbers of type `T`, widened in registers. */
// biome-ignore format: one operand a line
export function gemvHalves16<T>(
  k: i32, x: usize, xStep: usize, b: usize, panel: usize, c: usize, accumulate: bool,
): void {
  const type = changetype<T>(0);
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let c2 = f32x4.splat(0);
  let c3 = f32x4.splat(0);
  let p1 = b + panel;
  const end = b + ((<usize>k) << 4);
  do {
    const x0 = v128.load32_splat(x);
    const h0 = v128.load(b);
    const h1 = v128.load(p1);
    if (type.areRegular(h0)) {
      c0 = Simd.madd(x0, type.lowOf(h0), c0);
      c1 = Simd.madd(x0, type.highOf(h0), c1);
    } else {
      c0 = Simd.madd(x0, type.low(b), c0);
      c1 = Simd.madd(x0, type.high(b), c1);
    }
    if (type.areRegular(h1)) {
      c2 = Simd.madd(x0, type.lowOf(h1), c2);
      c3 = Simd.madd(x0, type.highOf(h1), c3);
    } else {
      c2 = Simd.madd(x0, type.low(p1), c2);
      c3 = Simd.madd(x0, type.high(p1), c3);
    }
    x += xStep;
    b += 16;
    p1 += 16;
  } while (b < end);
  Lanes.put(c, c0, accumulate);
  Lanes.put(c + 16, c1, accumulate);
  Lanes.put(c + 32, c2, accumulate);
  Lanes.put(c + 48, c3, accumulate);
}

/** Two rows xRow bytes apart, 16 columns: two panels `panel` bytes apart. */
// biome-ignore format: one operand a line
export function gemv2x16(
  k: i32, x: usize, xRow: usize, xStep: usize, b: usize, panel: usize, bStep: usize, c: usize, ldc: usize, accumulate: bool,
): void {
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let c2 = f32x4.splat(0);
  let c3 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  let d1 = f32x4.splat(0);
  let d2 = f32x4.splat(0);
  let d3 = f32x4.splat(0);
  let y = x + xRow;
  let p1 = b + panel;
  const end = b + <usize>k * bStep;
  do {
    const x0 = v128.load32_splat(x);
    const x1 = v128.load32_splat(y);
    const b0 = v128.load(b);
    c0 = Simd.madd(x0, b0, c0);
    d0 = Simd.madd(x1, b0, d0);
    const b1 = v128.load(b, 16);
    c1 = Simd.madd(x0, b1, c1);
    d1 = Simd.madd(x1, b1, d1);
    const b2 = v128.load(p1);
    c2 = Simd.madd(x0, b2, c2);
    d2 = Simd.madd(x1, b2, d2);
    const b3 = v128.load(p1, 16);
    c3 = Simd.madd(x0, b3, c3);
    d3 = Simd.madd(x1, b3, d3);
    x += xStep;
    y += xStep;
    b += bStep;
    p1 += bStep;
  } while (b < end);
  Lanes.put(c, c0, accumulate);
  Lanes.put(c + 16, c1, accumulate);
  Lanes.put(c + 32, c2, accumulate);
  Lanes.put(c + 48, c3, accumulate);
  const next = c + ldc;
  Lanes.put(next, d0, accumulate);
  Lanes.put(next + 16, d1, accumulate);
  Lanes.put(next + 32, d2, accumulate);
  Lanes.put(next + 48, d3, accumulate);
}

/** sums [3][8] of one panel with three rows at x0, x1, x2 (which may coincide). */
// biome-ignore format: one operand a line
export function gemv3x8(
  k: i32,
  x0: usize, x1: usize, x2: usize, xStep: usize,
  b: usize, bStep: usize,
  sums: usize,
): void {
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  let d1 = f32x4.splat(0);
  let e0 = f32x4.splat(0);
  let e1 = f32x4.splat(0);
  const end = b + <usize>k * bStep;
  do {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const s0 = v128.load32_splat(x0);
    c0 = Simd.madd(s0, b0, c0);
    c1 = Simd.madd(s0, b1, c1);
    const s1 = v128.load32_splat(x1);
    d0 = Simd.madd(s1, b0, d0);
    d1 = Simd.madd(s1, b1, d1);
    const s2 = v128.load32_splat(x2);
    e0 = Simd.madd(s2, b0, e0);
    e1 = Simd.madd(s2, b1, e1);
    x0 += xStep;
    x1 += xStep;
    x2 += xStep;
    b += bStep;
  } while (b < end);
  v128.store(sums, c0);
  v128.store(sums, c1, 16);
  v128.store(sums, d0, 32);
  v128.store(sums, d1, 48);
  v128.store(sums, e0, 64);
  v128.store(sums, e1, 80);
}

/** One row, 16 columns that are 16 rows of W. */
// biome-ignore format: one operand a line
export function gemvRows16(
  k: i32,
  x: usize, xStep: usize,
  w: usize, ldw: usize,
  c: usize,
  accumulate: bool,
): void {
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let c2 = f32x4.splat(0);
  let c3 = f32x4.splat(0);
  const four = ldw << 2;
  let p = 0;
  for (; p + 4 <= k; p += 4) {
    const x0 = v128.load32_splat(x);
    const x1 = v128.load32_splat(x + xStep);
    const x2 = v128.load32_splat(x + 2 * xStep);
    const x3 = v128.load32_splat(x + 3 * xStep);
    c0 = Lanes.steps4(w, ldw, x0, x1, x2, x3, c0);
    c1 = Lanes.steps4(w + four, ldw, x0, x1, x2, x3, c1);
    c2 = Lanes.steps4(w + 2 * four, ldw, x0, x1, x2, x3, c2);
    c3 = Lanes.steps4(w + 3 * four, ldw, x0, x1, x2, x3, c3);
    x += 4 * xStep;
    w += 16;
  }
  for (; p < k; p++) {
    const x0 = v128.load32_splat(x);
    c0 = Lanes.step(w, ldw, x0, c0);
    c1 = Lanes.step(w + four, ldw, x0, c1);
    c2 = Lanes.step(w + 2 * four, ldw, x0, c2);
    c3 = Lanes.step(w + 3 * four, ldw, x0, c3);
    x += xStep;
    w += 4;
  }
  Lanes.put(c, c0, accumulate);
  Lanes.put(c + 16, c1, accumulate);
  Lanes.put(c + 32, c2, accumulate);
  Lanes.put(c + 48, c3, accumulate);
}
