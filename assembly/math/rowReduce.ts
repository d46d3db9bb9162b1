// Loops along one row of n floats: sums, maxima and exponentials, the pieces of softmax, losses and norms.
//
// A sum keeps 16 lanes over the row, folds them as (0 + 2) + (1 + 3) of vectors and then of lanes, and adds the
// last n mod 4 elements one by one: the pattern depends on n alone, never on where the row lies or who computes it.

import { INFINITE, SIGN } from "./constants";
import { expAll, PIECE } from "./exp";
import { exp32, Vec } from "./functions";
import { Simd } from "./simd";

/** The last one to three elements of a row as a vector, so that they go through the same arithmetic. */
export class Part {
  /** n = 1, 2 or 3 floats; the other lanes are zeros. */
  // @ts-ignore: decorator
  @inline
  static load(at: usize, n: i32): v128 {
    if (n == 1) return v128.load32_zero(at);
    const pair = v128.load64_zero(at);
    return n == 2 ? pair : v128.load32_lane(at, pair, 2, 8);
  }

  // @ts-ignore: decorator
  @inline
  static store(at: usize, value: v128, n: i32): void {
    if (n == 1) {
      v128.store32_lane(at, value, 0);
      return;
    }
    v128.store64_lane(at, value, 0);
    if (n == 3) v128.store32_lane(at, value, 2, 8);
  }
}

/** The largest element; −∞ for none. A NaN may be passed over: it comes back in the sum of exponentials. */
export function rowMax(x: usize, n: i32): f32 {
  const end = x + ((<usize>n) << 2);
  let m0 = v128.or(v128.load(INFINITE), v128.load(SIGN));
  let m1 = m0;
  let m2 = m0;
  let m3 = m0;
  while (x + 64 <= end) {
    m0 = f32x4.pmax(m0, v128.load(x));
    m1 = f32x4.pmax(m1, v128.load(x, 16));
    m2 = f32x4.pmax(m2, v128.load(x, 32));
    m3 = f32x4.pmax(m3, v128.load(x, 48));
    x += 64;
  }
  while (x + 16 <= end) {
    m0 = f32x4.pmax(m0, v128.load(x));
    x += 16;
  }
  while (x < end) {
    m0 = f32x4.pmax(m0, v128.load32_splat(x));
    x += 4;
  }
  return Simd.max(f32x4.pmax(f32x4.pmax(m0, m1), f32x4.pmax(m2, m3)));
}

/** Σ x. */
export function rowSum(x: usize, n: i32): f32 {
  const end = x + ((<usize>n) << 2);
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  while (x + 64 <= end) {
    s0 = f32x4.add(s0, v128.load(x));
    s1 = f32x4.add(s1, v128.load(x, 16));
    s2 = f32x4.add(s2, v128.load(x, 32));
    s3 = f32x4.add(s3, v128.load(x, 48));
    x += 64;
  }
  while (x + 16 <= end) {
    s0 = f32x4.add(s0, v128.load(x));
    x += 16;
  }
  let sum = Simd.sum(f32x4.add(f32x4.add(s0, s2), f32x4.add(s1, s3)));
  while (x < end) {
    sum += load<f32>(x);
    x += 4;
  }
  return sum;
}

/** Σ x·y. */
export function rowDot(x: usize, y: usize, n: i32): f32 {
  const end = x + ((<usize>n) << 2);
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  while (x + 64 <= end) {
    s0 = Simd.madd(v128.load(x), v128.load(y), s0);
    s1 = Simd.madd(v128.load(x, 16), v128.load(y, 16), s1);
    s2 = Simd.madd(v128.load(x, 32), v128.load(y, 32), s2);
    s3 = Simd.madd(v128.load(x, 48), v128.load(y, 48), s3);
    x += 64;
    y += 64;
  }
  while (x + 16 <= end) {
    s0 = Simd.madd(v128.load(x), v128.load(y), s0);
    x += 16;
    y += 16;
  }
  let sum = Simd.sum(f32x4.add(f32x4.add(s0, s2), f32x4.add(s1, s3)));
  while (x < end) {
    sum += load<f32>(x) * load<f32>(y);
    x += 4;
    y += 4;
  }
  return sum;
}

/** out = e^(x − shift) for n floats, a multiple of 16. `out` may be `x`. */
function expShifted(out: usize, x: usize, n: i32, shift: f32): void {
  const m = f32x4.splat(shift);
  const end = out + ((<usize>n) << 2);
  while (out < end) {
    const begin = out;
    const stop = min(out + PIECE, end);
    for (; out < stop; out += 32, x += 32) {
      const d0 = f32x4.sub(v128.load(x), m);
      const d1 = f32x4.sub(v128.load(x, 16), m);
      v128.store(out, d0);
      v128.store(out, d1, 16);
    }
    expAll(begin, begin, stop);
  }
}

class Exponentials {
  // @ts-ignore: decorator
  @inline
  static sum(keep: bool, out: usize, x: usize, n: i32, shift: f32): f32 {
    const end = x + ((<usize>n) << 2);
    const m = f32x4.splat(shift);
    let s0 = i32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    if (keep) expShifted(out, x, n & -16, shift);
    while (x + 64 <= end) {
      const e0 = keep ? v128.load(out) : Vec.exp(f32x4.sub(v128.load(x), m));
      const e1 = keep ? v128.load(out, 16) : Vec.exp(f32x4.sub(v128.load(x, 16), m));
      const e2 = keep ? v128.load(out, 32) : Vec.exp(f32x4.sub(v128.load(x, 32), m));
      const e3 = keep ? v128.load(out, 48) : Vec.exp(f32x4.sub(v128.load(x, 48), m));
      if (keep) out += 64;
      s0 = f32x4.add(s0, e0);
      s1 = f32x4.add(s1, e1);
      s2 = f32x4.add(s2, e2);
      s3 = f32x4.add(s3, e3);
      x += 64;
    }
    while (x + 16 <= end) {
      const e = Vec.exp(f32x4.sub(v128.load(x), m));
      if (keep) {
        v128.store(out, e);
        out += 16;
      }
      s0 = f32x4.add(s0, e);
      x += 16;
    }
    let sum = Simd.sum(f32x4.add(f32x4.add(s0, s2), f32x4.add(s1, s3)));
    while (x < end) {
      const e = exp32(load<f32>(x) - shift);
      if (keep) {
        store<f32>(out, e);
        out += 4;
      }
      sum += e;
      x += 4;
    }
    return sum;
  }

  // @ts-ignore: decorator
  @inline
  static at(x: v128, shift: v128, factor: v128): v128 {
    return f32x4.mul(Vec.exp(f32x4.sub(x, shift)), factor);
  }
}

/** Σ e^(x − shift). */
export function rowExpSum(x: usize, n: i32, shift: f32): f32 {
  return Exponentials.sum(false, 0, x, n, shift);
}

/** out = e^(x − shift); returns the sum. */
export function rowExp(out: usize, x: usize, n: i32, shift: f32): f32 {
  return Exponentials.sum(true, out, x, n, shift);
}

/** out = or += factor·e^(x − shift). `out` may be `x`. */
export function rowExpScaled(
  out: usize,
  x: usize,
  n: i32,
  shift: f32,
  factor: f32,
  add: bool,
): void {
  const m = f32x4.splat(shift);
  const f = f32x4.splat(factor);
  const end = x + ((<usize>n) << 2);
  if (!add) {
    const whole = n & -16;
    expShifted(out, x, whole, shift);
    rowScale(out, whole, factor);
    x += (<usize>whole) << 2;
    out += (<usize>whole) << 2;
  }
  while (x + 16 <= end) {
    const e = Exponentials.at(v128.load(x), m, f);
    v128.store(out, add ? f32x4.add(v128.load(out), e) : e);
    x += 16;
    out += 16;
  }
  const rest = <i32>((end - x) >> 2);
  if (rest == 0) return;
  const e = Exponentials.at(Part.load(x, rest), m, f);
  Part.store(out, add ? f32x4.add(Part.load(out, rest), e) : e, rest);
}

/** x *= factor. */
export function rowScale(x: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  const end = x + ((<usize>n) << 2);
  while (x + 16 <= end) {
    v128.store(x, f32x4.mul(v128.load(x), f));
    x += 16;
  }
  const rest = <i32>((end - x) >> 2);
  if (rest > 0) Part.store(x, f32x4.mul(Part.load(x, rest), f), rest);
}
