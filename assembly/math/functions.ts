// exp, log, tanh, sigmoid, erf, sin and cos on four f32 lanes, and twins for one f32 that give a lane's bits.
// Nothing comes from the host, whose functions differ between engines. The sign is split off first where a
// function is odd, so it is odd to the bit; NaN stays NaN; constants are loaded (constants.ts).
//
//   exp   2^n·(1 + r + r²·P(r)), n = round(x / ln 2). Flushes to 0 below 2^−125.5 (x < −86.99), ∞ above 88.7229
//   log   n·ln 2 + f − f²/2 + f³·P(f), 1 + f in [sqrt(1/2), sqrt 2). Subnormals are scaled up first
//   tanh  x + x³·P(x²) below 0.625, 1 − 2 / (exp(2x) + 1) above
//   erf   x + x·P(x²) below 0.925, 1 − exp(Q(x)) above
//   sin, cos   x − n·π/2 and the polynomials in f64; |x| above 2²⁷ (floats are 16 rad apart there) gives NaN
//
// Greatest error in ulps, baseline / relaxed: exp 1.004 / 1.028, log 0.876, tanh 1.331, erf 1.443 / 1.175, sigmoid
// 1.499 above 0 and 2.481 below, sin and cos 0.5001; measured on every float where they are not yet linear (above
// 1e-4, erf 1e-3, exp 2⁻²⁶; sin and cos on every third). exp, tanh, sigmoid and erf are fused in the relaxed build;
// log, sin and cos have the same bits in both. What NaN carries (sign, payload) is the engine's choice, as always.

import {
  ANGLE_GREATEST,
  ANGLE_ROUND,
  COS,
  ERF,
  ERF_GREATEST,
  ERF_SMALL,
  ERF_TAIL,
  EXP,
  EXP_GREATEST,
  EXP_LEAST,
  EXP_ROUND,
  HALF,
  HALF_64,
  INFINITE,
  INTEGER_ONE_64,
  LEAST_NORMAL,
  LN2_HIGH,
  LN2_LOW,
  LOG,
  LOG2E,
  ONE,
  ONE_64,
  QUARTER,
  SIGN,
  SIGN_64,
  SIN,
  SQRT_HALF,
  TANH,
  TANH_SMALL,
  TWENTY_THREE,
  TWO,
  TWO_OVER_PI,
  TWO_TO_23,
} from "./constants";
import { Simd } from "./simd";

/** exp in stages that are given their constants, for loops that share these among vectors (exp.ts). */
export class Exp {
  /** x within the range. */
  // @ts-expect-error: decorator
  @inline
  static range(x: v128, greatest: v128, least: v128): v128 {
    // pmin(a, b) is b < a ? b : a, so a NaN in the first place stays.
    return f32x4.pmax(f32x4.pmin(x, greatest), least);
  }

  /** n of x in range: the sum rounds to an integer and leaves n + 126 in the low bits; shifted, they are the float 2^(n−1). */
  // @ts-expect-error: decorator
  @inline
  static power(x: v128, log2e: v128, round: v128): v128 {
    return Simd.madd(x, log2e, round);
  }

  /** r = x − n·ln 2. */
  // @ts-expect-error: decorator
  @inline
  static rest(x: v128, power: v128, round: v128, high: v128, low: v128): v128 {
    const n = f32x4.sub(power, round);
    return Simd.nmadd(n, low, Simd.nmadd(n, high, x));
  }

  /** P(r). */
  // biome-ignore format: coefficients in a line
  // @ts-expect-error: decorator
  @inline
  static series(
    r: v128, r2: v128, e0: v128, e1: v128, e2: v128, e3: v128, e4: v128, e5: v128,
  ): v128 {
    const p01 = Simd.madd(e1, r, e0);
    const p23 = Simd.madd(e3, r, e2);
    return Simd.madd(Simd.madd(Simd.madd(e5, r, e4), r2, p23), r2, p01);
  }

  /** 2^n·e^r. */
  // @ts-expect-error: decorator
  @inline
  static scaled(power: v128, r: v128, r2: v128, p: v128, two: v128): v128 {
    // 2·e^r · 2^(n−1): the doubled factor keeps n = 128 in range; n = −126 becomes a factor of 0.
    return f32x4.mul(Simd.madd(Simd.madd(p, r2, r), two, two), i32x4.shl(power, 23));
  }
}

export class Vec {
  /** e^x. exp(0) = 1, exp(−∞) = 0, exp(∞) = ∞. */
  // @ts-expect-error: decorator
  @inline
  static exp(x: v128): v128 {
    const c = Exp.range(x, v128.load(EXP_GREATEST), v128.load(EXP_LEAST));
    const round = v128.load(EXP_ROUND);
    const n = Exp.power(c, v128.load(LOG2E), round);
    const r = Exp.rest(c, n, round, v128.load(LN2_HIGH), v128.load(LN2_LOW));
    const r2 = f32x4.mul(r, r);
    const e0 = v128.load(EXP);
    const e1 = v128.load(EXP, 16);
    const e2 = v128.load(EXP, 32);
    const e3 = v128.load(EXP, 48);
    const e4 = v128.load(EXP, 64);
    const e5 = v128.load(EXP, 80);
    const p = Exp.series(r, r2, e0, e1, e2, e3, e4, e5);
    return Exp.scaled(n, r, r2, p, v128.load(TWO));
  }

  /** ln x. log(0) = −∞, log(x < 0) = NaN, log(∞) = ∞. */
  // @ts-expect-error: decorator
  @inline
  static log(x: v128): v128 {
    const small = f32x4.lt(x, v128.load(LEAST_NORMAL));
    const s = v128.bitselect(f32x4.mul(x, v128.load(TWO_TO_23)), x, small);
    const n = i32x4.shr_s(i32x4.sub(s, v128.load(SQRT_HALF)), 23);
    const f = f32x4.sub(i32x4.sub(s, i32x4.shl(n, 23)), v128.load(ONE));
    const k = f32x4.sub(f32x4.convert_i32x4_s(n), v128.and(small, v128.load(TWENTY_THREE)));
    const f2 = f32x4.mul(f, f);
    const p01 = f32x4.add(v128.load(LOG), f32x4.mul(v128.load(LOG, 16), f));
    const p23 = f32x4.add(v128.load(LOG, 32), f32x4.mul(v128.load(LOG, 48), f));
    const p45 = f32x4.add(v128.load(LOG, 64), f32x4.mul(v128.load(LOG, 80), f));
    const p67 = f32x4.add(v128.load(LOG, 96), f32x4.mul(v128.load(LOG, 112), f));
    const p47 = f32x4.add(p45, f32x4.mul(p67, f2));
    const p = f32x4.add(f32x4.add(p01, f32x4.mul(p23, f2)), f32x4.mul(p47, f32x4.mul(f2, f2)));
    const tail = f32x4.add(f32x4.mul(f32x4.mul(f, f2), p), f32x4.mul(k, v128.load(LN2_LOW)));
    const rest = f32x4.sub(tail, f32x4.mul(f2, v128.load(HALF)));
    const y = f32x4.add(f32x4.add(f, rest), f32x4.mul(k, v128.load(LN2_HIGH)));
    // Outside (0, ∞): ∞ and NaN give themselves, 0 gives −∞ (the or of ∞ and the sign), less gives NaN (all ones).
    const infinite = v128.load(INFINITE);
    const inside = v128.bitselect(y, x, f32x4.lt(x, infinite));
    const zero = f32x4.eq(x, i32x4.splat(0));
    const pole = v128.bitselect(v128.or(infinite, v128.load(SIGN)), inside, zero);
    return v128.or(pole, f32x4.lt(x, i32x4.splat(0)));
  }

  /** (e^x − e^−x) / (e^x + e^−x). */
  // @ts-expect-error: decorator
  @inline
  static tanh(x: v128): v128 {
    const sign = v128.and(x, v128.load(SIGN));
    const a = v128.xor(x, sign);
    const s = f32x4.mul(a, a);
    const s2 = f32x4.mul(s, s);
    const p01 = Simd.madd(v128.load(TANH, 16), s, v128.load(TANH));
    const p23 = Simd.madd(v128.load(TANH, 48), s, v128.load(TANH, 32));
    const p = Simd.madd(Simd.madd(v128.load(TANH, 64), s2, p23), s2, p01);
    const near = Simd.madd(f32x4.mul(a, s), p, a);
    const one = v128.load(ONE);
    const grown = f32x4.add(Vec.exp(f32x4.add(a, a)), one);
    const far = f32x4.sub(one, f32x4.div(v128.load(TWO), grown));
    return v128.or(v128.bitselect(near, far, f32x4.lt(a, v128.load(TANH_SMALL))), sign);
  }

  /** 1 / (1 + e^−x). */
  // @ts-expect-error: decorator
  @inline
  static sigmoid(x: v128): v128 {
    const one = v128.load(ONE);
    return f32x4.div(one, f32x4.add(one, Vec.exp(f32x4.neg(x))));
  }

  /** 2/sqrt(π) · the integral of e^(−t²) from 0 to x. */
  // @ts-expect-error: decorator
  @inline
  static erf(x: v128): v128 {
    const sign = v128.and(x, v128.load(SIGN));
    const a = f32x4.pmin(v128.xor(x, sign), v128.load(ERF_GREATEST));
    const s = f32x4.mul(a, a);
    const s2 = f32x4.mul(s, s);
    const p01 = Simd.madd(v128.load(ERF, 16), s, v128.load(ERF));
    const p23 = Simd.madd(v128.load(ERF, 48), s, v128.load(ERF, 32));
    const p45 = Simd.madd(v128.load(ERF, 80), s, v128.load(ERF, 64));
    const p46 = Simd.madd(v128.load(ERF, 96), s2, p45);
    const near = Simd.madd(a, Simd.madd(Simd.madd(p46, s2, p23), s2, p01), a);
    const q01 = Simd.madd(v128.load(ERF_TAIL, 16), a, v128.load(ERF_TAIL));
    const q23 = Simd.madd(v128.load(ERF_TAIL, 48), a, v128.load(ERF_TAIL, 32));
    const q45 = Simd.madd(v128.load(ERF_TAIL, 80), a, v128.load(ERF_TAIL, 64));
    const q67 = Simd.madd(v128.load(ERF_TAIL, 112), a, v128.load(ERF_TAIL, 96));
    const q = Simd.madd(Simd.madd(Simd.madd(q67, s, q45), s, q23), s, q01);
    const far = f32x4.sub(v128.load(ONE), Vec.exp(q));
    return v128.or(v128.bitselect(near, far, f32x4.lt(a, v128.load(ERF_SMALL))), sign);
  }

  /** sin x, x in radians. */
  // @ts-expect-error: decorator
  @inline
  static sin(x: v128): v128 {
    const sign = v128.and(x, v128.load(SIGN));
    return v128.xor(wave(v128.xor(x, sign), i64x2.splat(0)), sign);
  }

  /** cos x, x in radians. */
  // @ts-expect-error: decorator
  @inline
  static cos(x: v128): v128 {
    return wave(f32x4.abs(x), v128.load(INTEGER_ONE_64));
  }

  /** sin(x + shift·π/2) on two f64 lanes, 0 ≤ x ≤ 2²⁷. */
  // @ts-expect-error: decorator
  @inline
  static wave64(x: v128, shift: v128): v128 {
    const z = f64x2.add(f64x2.mul(x, v128.load(TWO_OVER_PI)), v128.load(ANGLE_ROUND));
    const n = f64x2.sub(z, v128.load(ANGLE_ROUND));
    // n has 27 bits: the first two products and sums are exact, and r has an absolute error below 2^−77.
    const r1 = f64x2.add(x, f64x2.mul(n, v128.load(QUARTER)));
    const r0 = f64x2.add(r1, f64x2.mul(n, v128.load(QUARTER, 16)));
    const r = f64x2.add(r0, f64x2.mul(n, v128.load(QUARTER, 32)));
    const s = f64x2.mul(r, r);
    const s2 = f64x2.mul(s, s);
    const sin01 = f64x2.add(v128.load(SIN), f64x2.mul(v128.load(SIN, 16), s));
    const sin23 = f64x2.add(v128.load(SIN, 32), f64x2.mul(v128.load(SIN, 48), s));
    const sin = f64x2.add(r, f64x2.mul(f64x2.mul(r, s), f64x2.add(sin01, f64x2.mul(sin23, s2))));
    const cos01 = f64x2.add(v128.load(COS), f64x2.mul(v128.load(COS, 16), s));
    const cos23 = f64x2.add(v128.load(COS, 32), f64x2.mul(v128.load(COS, 48), s));
    const bend = f64x2.mul(s2, f64x2.add(cos01, f64x2.mul(cos23, s2)));
    const cos = f64x2.add(f64x2.sub(v128.load(ONE_64), f64x2.mul(s, v128.load(HALF_64))), bend);
    // The low bits of z count quarter turns: odd ones swap sin and cos, the second half turn changes the sign.
    const turn = i64x2.add(z, shift);
    const odd = i64x2.ne(v128.and(turn, v128.load(INTEGER_ONE_64)), i64x2.splat(0));
    const sign = v128.and(i64x2.shl(turn, 62), v128.load(SIGN_64));
    return v128.xor(v128.bitselect(cos, sin, odd), sign);
  }
}

// sin(x + shift·π/2) for x ≥ 0, two lanes at a time.
function wave(x: v128, shift: v128): v128 {
  const low = f32x4.demote_f64x2_zero(Vec.wave64(f64x2.promote_low_f32x4(x), shift));
  const upper = v128.shuffle<i32>(x, x, 2, 3, 2, 3);
  const high = f32x4.demote_f64x2_zero(Vec.wave64(f64x2.promote_low_f32x4(upper), shift));
  const y = v128.shuffle<i32>(low, high, 0, 1, 4, 5);
  return v128.or(y, f32x4.gt(x, v128.load(ANGLE_GREATEST)));
}

/** e^x: the bits of a lane of Vec.exp. */
export function exp32(x: f32): f32 {
  return f32x4.extract_lane(Vec.exp(f32x4.splat(x)), 0);
}

/** ln x: the bits of a lane of Vec.log. */
export function log32(x: f32): f32 {
  return f32x4.extract_lane(Vec.log(f32x4.splat(x)), 0);
}

/** tanh x: the bits of a lane of Vec.tanh. */
export function tanh32(x: f32): f32 {
  return f32x4.extract_lane(Vec.tanh(f32x4.splat(x)), 0);
}

/** 1 / (1 + e^−x): the bits of a lane of Vec.sigmoid. */
export function sigmoid32(x: f32): f32 {
  return f32x4.extract_lane(Vec.sigmoid(f32x4.splat(x)), 0);
}

/** erf x: the bits of a lane of Vec.erf. */
export function erf32(x: f32): f32 {
  return f32x4.extract_lane(Vec.erf(f32x4.splat(x)), 0);
}

/** sin x: the bits of a lane of Vec.sin. */
export function sin32(x: f32): f32 {
  return f32x4.extract_lane(Vec.sin(f32x4.splat(x)), 0);
}

/** cos x: the bits of a lane of Vec.cos. */
export function cos32(x: f32): f32 {
  return f32x4.extract_lane(Vec.cos(f32x4.splat(x)), 0);
}
