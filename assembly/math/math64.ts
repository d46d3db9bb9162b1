// exp, log, sin, cos and pow on one f64, to about 1e-15 relative: learning rates, bias correction β^t, sampling.
// Plain f64 operations only, so every engine gives the same bits. Not for inner loops.
//
//   exp   2^n·e^r, |r| ≤ 0.35, Taylor to r^13 / 13!
//   log   n·ln 2 + 2·(s + s³/3 + s⁵/5 + …), s = (m − 1) / (m + 1), as an unevaluated sum high + low
//   sin, cos   x − n·π/2 in three parts, Taylor to r^17 and r^18; |x| above 2^27 gives NaN
//   pow   exp(y·log x) with the product kept as high + low

/** 1 / ln 2, as good as choosing n needs: |r| stays below 0.35. */
const LOG2E: f64 = 92.33248261893 / 64;
/** ln 2 = LN2_UP + LN2_REST; 32 bits above, so that n·LN2_UP is exact. */
const LN2_UP: f64 = 0.6931471803691238;
const LN2_REST: f64 = 1.9082149292705877e-10;

/** x·2^n for |n| ≤ 2098, rounded once. */
function scale(x: f64, n: i32): f64 {
  const half = n >> 1;
  return (
    x *
    reinterpret<f64>((<u64>(half + 1023)) << 52) *
    reinterpret<f64>((<u64>(n - half + 1023)) << 52)
  );
}

/** e^(x + tail), |tail| far below an ulp of 1. */
function expSum(x: f64, tail: f64): f64 {
  // The negation catches NaN, which is returned.
  if (!(x <= 709.79)) return x > 0 ? f64.MAX_VALUE * 2 : x;
  if (x < -745.14) return 0;
  const n = nearest(x * LOG2E);
  const r = x - n * LN2_UP - (n * LN2_REST - tail);
  let p: f64 = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  return scale(1.0 + (r + r * r * p), <i32>n);
}

/**
 * log(x) as a sum of two parts, good to about 2^−62 relative: the upper one is log(x) rounded, `lower` asks for
 * the rest. Computed twice where both are needed: a pair would have to be returned through memory.
 */
function logPart(x: f64, lower: bool): f64 {
  let shift: i32 = 0;
  if (x < 2.2250738585072014e-308) {
    x *= 18014398509481984;
    shift = -54;
  }
  const bits = reinterpret<u64>(x);
  // The exponent of x / sqrt(1/2), so that m lies in [sqrt(1/2), sqrt(2)).
  const exponent = <i64>(bits - (((<u64>0x3fe6a09e) << 32) | 0x667f3bcd)) >> 52;
  const m = reinterpret<f64>(bits - <u64>(exponent << 52));
  const n = <f64>(<i32>exponent + shift);
  const f = m - 1.0;
  const d = m + 1.0;
  // s = f / d, and what the division lost.
  const s = f / d;
  const product = s * d;
  const rest = f - product - productRest(s, d, product) - s * (m - (d - 1.0));
  const q = s * s;
  let p: f64 = 2.0 / 23.0;
  p = p * q + 2.0 / 21.0;
  p = p * q + 2.0 / 19.0;
  p = p * q + 2.0 / 17.0;
  p = p * q + 2.0 / 15.0;
  p = p * q + 2.0 / 13.0;
  p = p * q + 2.0 / 11.0;
  p = p * q + 2.0 / 9.0;
  p = p * q + 2.0 / 7.0;
  p = p * q + 2.0 / 5.0;
  p = p * q + 2.0 / 3.0;
  const whole = n * LN2_UP;
  const sum = whole + 2.0 * s;
  const low = 2.0 * s - (sum - whole) + (2.0 * rest) / d + (n * LN2_REST + s * q * p);
  const high = sum + low;
  return lower ? low - (high - sum) : high;
}

/** a·b − product, product being a·b rounded (Dekker 1971): halves of 26 bits multiply exactly. */
function productRest(a: f64, b: f64, product: f64): f64 {
  const ca = 134217729.0 * a;
  const cb = 134217729.0 * b;
  const a1 = ca - (ca - a);
  const b1 = cb - (cb - b);
  const a2 = a - a1;
  const b2 = b - b1;
  return a1 * b1 - product + a1 * b2 + a2 * b1 + a2 * b2;
}

/** sin(x + shift·π/2) for x ≥ 0. */
function wave(x: f64, shift: i32): f64 {
  if (!(x <= 134217728.0)) return NaN;
  const n = nearest(x * 0.6366197723675814);
  const r = x - n * 1.5707963109016418 - n * 1.5893254712295857e-8 - n * 6.123233995736766e-17;
  const s = r * r;
  const turn = <i32>n + shift;
  let y: f64;
  if (turn & 1) {
    let p: f64 = -1.0 / 6402373705728000.0;
    p = p * s + 1.0 / 20922789888000.0;
    p = p * s - 1.0 / 87178291200.0;
    p = p * s + 1.0 / 479001600.0;
    p = p * s - 1.0 / 3628800.0;
    p = p * s + 1.0 / 40320.0;
    p = p * s - 1.0 / 720.0;
    p = p * s + 1.0 / 24.0;
    const half = 0.5 * s;
    const top = 1.0 - half;
    y = top + (1.0 - top - half + s * s * p);
  } else {
    let p: f64 = 1.0 / 355687428096000.0;
    p = p * s - 1.0 / 1307674368000.0;
    p = p * s + 1.0 / 6227020800.0;
    p = p * s - 1.0 / 39916800.0;
    p = p * s + 1.0 / 362880.0;
    p = p * s - 1.0 / 5040.0;
    p = p * s + 1.0 / 120.0;
    p = p * s - 1.0 / 6.0;
    y = r + r * s * p;
  }
  return turn & 2 ? -y : y;
}

/** e^x. */
export function f64Exp(x: f64): f64 {
  return expSum(x, 0);
}

/** ln x; −∞ at 0, NaN below. */
export function f64Log(x: f64): f64 {
  if (x === 0) return -f64.MAX_VALUE * 2;
  if (!(x > 0)) return NaN;
  return x <= f64.MAX_VALUE ? logPart(x, false) : x;
}

/** sin x, x in radians. */
export function f64Sin(x: f64): f64 {
  return copysign<f64>(1, x) * wave(abs(x), 0);
}

/** cos x, x in radians. */
export function f64Cos(x: f64): f64 {
  return wave(abs(x), 1);
}

/** x^y, as JavaScript has it: NaN for negative x and fractional y, 1 for y = 0. */
export function f64Pow(x: f64, y: f64): f64 {
  if (y === 0) return 1;
  const whole = nearest(y) === y;
  if (x < 0 && !whole && x >= -f64.MAX_VALUE) return NaN;
  const odd = whole && nearest(y * 0.5) !== y * 0.5;
  const sign: f64 = odd ? copysign<f64>(1, x) : 1;
  const logarithm = f64Log(abs(x));
  if (logarithm === 0 && abs(y) <= f64.MAX_VALUE) return sign;
  const product = y * logarithm;
  // Beyond ±800 (infinities and NaN too) the result is 0, ∞ or NaN whatever the lower part.
  if (!(abs(product) < 800)) return sign * expSum(product, 0);
  const rest = productRest(y, logarithm, product) + y * logPart(abs(x), true);
  return sign * expSum(product, rest);
}
