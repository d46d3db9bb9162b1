// e^x of many numbers: Vec.exp (functions.ts) bit for bit, with the latencies of four vectors side by side and each constant
// loaded once for all of them. Vec.exp loads thirteen for every vector, and loading is what then takes longest: here it is
// 0.85 (relaxed) and 0.81 (baseline) of its time, and half of it where V8 pairs vectors (wideVectors), as it does with loads
// that splat and are shared.

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
import { Exp, Vec } from "./functions";

/** Bytes of the pieces for callers with loops before and behind: one stays in the first cache from loop to loop. */
export const PIECE: usize = 4096;

/** y = e^x until y is at `end`, a multiple of 16 bytes away; y may be x. */
export function expAll(y: usize, x: usize, end: usize): void {
  for (; y + 64 <= end; y += 64, x += 64) {
    const greatest = v128.load32_splat(EXP_GREATEST);
    const least = v128.load32_splat(EXP_LEAST);
    const x0 = Exp.range(v128.load(x), greatest, least);
    const x1 = Exp.range(v128.load(x, 16), greatest, least);
    const x2 = Exp.range(v128.load(x, 32), greatest, least);
    const x3 = Exp.range(v128.load(x, 48), greatest, least);
    const log2e = v128.load32_splat(LOG2E);
    const round = v128.load32_splat(EXP_ROUND);
    const n0 = Exp.power(x0, log2e, round);
    const n1 = Exp.power(x1, log2e, round);
    const n2 = Exp.power(x2, log2e, round);
    const n3 = Exp.power(x3, log2e, round);
    const high = v128.load32_splat(LN2_HIGH);
    const low = v128.load32_splat(LN2_LOW);
    const r0 = Exp.rest(x0, n0, round, high, low);
    const r1 = Exp.rest(x1, n1, round, high, low);
    const r2 = Exp.rest(x2, n2, round, high, low);
    const r3 = Exp.rest(x3, n3, round, high, low);
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
    const p0 = Exp.series(r0, s0, e0, e1, e2, e3, e4, e5);
    const p1 = Exp.series(r1, s1, e0, e1, e2, e3, e4, e5);
    const p2 = Exp.series(r2, s2, e0, e1, e2, e3, e4, e5);
    const p3 = Exp.series(r3, s3, e0, e1, e2, e3, e4, e5);
    const two = v128.load32_splat(TWO);
    const y0 = Exp.scaled(n0, r0, s0, p0, two);
    const y1 = Exp.scaled(n1, r1, s1, p1, two);
    const y2 = Exp.scaled(n2, r2, s2, p2, two);
    const y3 = Exp.scaled(n3, r3, s3, p3, two);
    // Behind all loads: V8 pairs stores with nothing between.
    v128.store(y, y0);
    v128.store(y, y1, 16);
    v128.store(y, y2, 32);
    v128.store(y, y3, 48);
  }
  for (; y < end; y += 16, x += 16) v128.store(y, Vec.exp(v128.load(x)));
}
