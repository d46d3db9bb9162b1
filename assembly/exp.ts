// e^x of many numbers: what Vec.exp (math.ts) computes, bit for bit, with the latency of four vectors side by side and each
// constant loaded once for all of them. Vec.exp loads its thirteen constants for every vector anew, and loading is what then
// takes longest: 0.85 (relaxed) and 0.81 (baseline) of its time, and half of it where V8 pairs vectors (wideVectors), which
// it does for loads that splat and are shared.

import {
  EXP,
  EXP_GREATEST,
  EXP_LEAST,
  EXP_ROUND,
  LN2_HIGH,
  LN2_LOW,
  LOG2E,
  TWO,
} from "./constants";
import { Vec } from "./math";
import { Simd } from "./simd";

class Line {
  /** Vec.expRange. */
  // @ts-expect-error: decorator
  @inline
  static range(x: v128, greatest: v128, least: v128): v128 {
    return f32x4.pmax(f32x4.pmin(x, greatest), least);
  }

  /** Vec.expRest. */
  // @ts-expect-error: decorator
  @inline
  static rest(x: v128, power: v128, round: v128, high: v128, low: v128): v128 {
    const n = f32x4.sub(power, round);
    return Simd.nmadd(n, low, Simd.nmadd(n, high, x));
  }

  /** P(r), the polynomial of Vec.expOf. */
  // biome-ignore format: pairs of coefficients
  // @ts-expect-error: decorator
  @inline
  static polynomial(
    r: v128, r2: v128, e0: v128, e1: v128, e2: v128, e3: v128, e4: v128, e5: v128,
  ): v128 {
    const p01 = Simd.madd(e1, r, e0);
    const p23 = Simd.madd(e3, r, e2);
    return Simd.madd(Simd.madd(Simd.madd(e5, r, e4), r2, p23), r2, p01);
  }

  /** 2^n·(1 + r + r²·p). */
  // @ts-expect-error: decorator
  @inline
  static scaled(power: v128, r: v128, r2: v128, p: v128, two: v128): v128 {
    return f32x4.mul(Simd.madd(Simd.madd(p, r2, r), two, two), i32x4.shl(power, 23));
  }
}

/** y = e^x until y is at `end`, a multiple of 16 bytes away; y may be x. */
export function expAll(y: usize, x: usize, end: usize): void {
  for (; y + 64 <= end; y += 64, x += 64) {
    const greatest = v128.load32_splat(EXP_GREATEST);
    const least = v128.load32_splat(EXP_LEAST);
    const c0 = Line.range(v128.load(x), greatest, least);
    const c1 = Line.range(v128.load(x, 16), greatest, least);
    const c2 = Line.range(v128.load(x, 32), greatest, least);
    const c3 = Line.range(v128.load(x, 48), greatest, least);
    const scale = v128.load32_splat(LOG2E);
    const round = v128.load32_splat(EXP_ROUND);
    const n0 = Simd.madd(c0, scale, round);
    const n1 = Simd.madd(c1, scale, round);
    const n2 = Simd.madd(c2, scale, round);
    const n3 = Simd.madd(c3, scale, round);
    const high = v128.load32_splat(LN2_HIGH);
    const low = v128.load32_splat(LN2_LOW);
    const r0 = Line.rest(c0, n0, round, high, low);
    const r1 = Line.rest(c1, n1, round, high, low);
    const r2 = Line.rest(c2, n2, round, high, low);
    const r3 = Line.rest(c3, n3, round, high, low);
    const e0 = v128.load32_splat(EXP);
    const e1 = v128.load32_splat(EXP + 16);
    const e2 = v128.load32_splat(EXP + 32);
    const e3 = v128.load32_splat(EXP + 48);
    const e4 = v128.load32_splat(EXP + 64);
    const e5 = v128.load32_splat(EXP + 80);
    const s0 = f32x4.mul(r0, r0);
    const s1 = f32x4.mul(r1, r1);
    const s2 = f32x4.mul(r2, r2);
    const s3 = f32x4.mul(r3, r3);
    const p0 = Line.polynomial(r0, s0, e0, e1, e2, e3, e4, e5);
    const p1 = Line.polynomial(r1, s1, e0, e1, e2, e3, e4, e5);
    const p2 = Line.polynomial(r2, s2, e0, e1, e2, e3, e4, e5);
    const p3 = Line.polynomial(r3, s3, e0, e1, e2, e3, e4, e5);
    const two = v128.load32_splat(TWO);
    const y0 = Line.scaled(n0, r0, s0, p0, two);
    const y1 = Line.scaled(n1, r1, s1, p1, two);
    const y2 = Line.scaled(n2, r2, s2, p2, two);
    const y3 = Line.scaled(n3, r3, s3, p3, two);
    // Behind all loads: V8 pairs stores with nothing between.
    v128.store(y, y0);
    v128.store(y, y1, 16);
    v128.store(y, y2, 32);
    v128.store(y, y3, 48);
  }
  for (; y < end; y += 16, x += 16) v128.store(y, Vec.exp(v128.load(x)));
}
