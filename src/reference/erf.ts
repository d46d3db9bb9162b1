// The error function erf(x) = 2/sqrt(pi) * (integral of exp(-t^2) from 0 to x), and erfc(x) = 1 - erf(x).
// JavaScript has neither. Two classical formulas, each used where it converges fast
// (M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 7.1.6 and 7.1.14):
//
//   small |x|   erf(x)  = 2/sqrt(pi) * exp(-x^2) * x (1 + 2x^2/3 (1 + 2x^2/5 (1 + 2x^2/7 (1 + ...))))
//   large x     erfc(x) = exp(-x^2)/sqrt(pi) / (x + (1/2)/(x + (2/2)/(x + (3/2)/(x + ...))))
//
// All terms are positive in both, so nothing cancels.

// From here on the continued fraction is used. At 2 both formulas need about 60 terms.
const SWITCH = 2;
// Enough for full float64 precision on either side of SWITCH.
const TERMS = 120;

// exp(-x^2) without the rounding error of x^2: h is x with few digits, so h^2 is exact, and
// x^2 = h^2 + (x - h)(x + h). Squaring x directly would cost up to x^2 roundings in the result.
function expMinusSquare(x: number): number {
  const h = Math.fround(x);
  return Math.exp(-h * h) * Math.exp(-(x - h) * (x + h));
}

function series(x: number): number {
  let sum = 1;
  for (let n = TERMS; n >= 1; n--) sum = 1 + ((2 * x * x) / (2 * n + 1)) * sum;
  return (2 / Math.sqrt(Math.PI)) * expMinusSquare(x) * x * sum;
}

function fraction(x: number): number {
  let tail = x;
  for (let n = TERMS; n >= 1; n--) tail = x + n / 2 / tail;
  return expMinusSquare(x) / Math.sqrt(Math.PI) / tail;
}

/** erf(x), the probability mass of a normal variable of variance 1/2 within [-x, x]. */
export function erf(x: number): number {
  if (x < 0) return -erf(-x);
  return x < SWITCH ? series(x) : 1 - erfc(x);
}

/** erfc(x) = 1 - erf(x), which keeps its relative precision where erf(x) is almost 1. */
export function erfc(x: number): number {
  if (x === Number.POSITIVE_INFINITY) return 0;
  return x < SWITCH ? 1 - erf(x) : fraction(x);
}
