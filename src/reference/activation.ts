// Functions of one number, applied to every element: y = f(x), and backward dx = dy f'(x).

import { type Arr, array, expectShape } from "./array.ts";
import { erfc } from "./erf.ts";

function map(x: Arr, f: (x: number) => number): Arr {
  return array(x.shape, x.data.map(f));
}

// The chain rule: dx = dy * f'(x), element by element.
function chain(dy: Arr, x: Arr, slope: (x: number) => number): Arr {
  expectShape("dy", dy, x.shape);
  return array(
    x.shape,
    x.data.map((value, i) => dy.data[i]! * slope(value)),
  );
}

/** y = -x. */
export function neg(x: Arr): Arr {
  return map(x, (x) => -x);
}

/** dx = -dy. */
export function negBackward(dy: Arr): Arr {
  return neg(dy);
}

/** y = e^x. */
export function exp(x: Arr): Arr {
  return map(x, Math.exp);
}

/** dx = dy e^x. */
export function expBackward(dy: Arr, x: Arr): Arr {
  return chain(dy, x, Math.exp);
}

/** y = ln x, the natural logarithm; -Infinity at 0, NaN below. */
export function log(x: Arr): Arr {
  return map(x, Math.log);
}

/** dx = dy / x. */
export function logBackward(dy: Arr, x: Arr): Arr {
  return chain(dy, x, (x) => 1 / x);
}

/** y = the square root of x; NaN below 0. */
export function sqrt(x: Arr): Arr {
  return map(x, Math.sqrt);
}

/** dx = dy / (2 sqrt(x)); infinite at 0. */
export function sqrtBackward(dy: Arr, x: Arr): Arr {
  return chain(dy, x, (x) => 1 / (2 * Math.sqrt(x)));
}

/** y = tanh x = (e^x - e^-x) / (e^x + e^-x). */
export function tanh(x: Arr): Arr {
  return map(x, Math.tanh);
}

/** dx = dy (1 - tanh(x)^2). */
export function tanhBackward(dy: Arr, x: Arr): Arr {
  return chain(dy, x, (x) => 1 - Math.tanh(x) ** 2);
}

function logistic(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** y = 1 / (1 + e^-x). */
export function sigmoid(x: Arr): Arr {
  return map(x, logistic);
}

/** dx = dy y (1 - y), where 1 - y is written as the sigmoid of -x, so that it does not cancel. */
export function sigmoidBackward(dy: Arr, x: Arr): Arr {
  return chain(dy, x, (x) => logistic(x) * logistic(-x));
}

/** y = max(x, 0). */
export function relu(x: Arr): Arr {
  return map(x, (x) => Math.max(x, 0));
}

/** dx = dy where x > 0, else 0. At x = 0 the slope is taken as 0, as in PyTorch. */
export function reluBackward(dy: Arr, x: Arr): Arr {
  return chain(dy, x, (x) => (x > 0 ? 1 : 0));
}

/** y = x sigmoid(x), also called swish (arXiv:1702.03118). */
export function silu(x: Arr): Arr {
  return map(x, (x) => x * logistic(x));
}

/** dx = dy (s + x s (1 - s)) with s = sigmoid(x). */
export function siluBackward(dy: Arr, x: Arr): Arr {
  return chain(dy, x, (x) => logistic(x) * (1 + x * logistic(-x)));
}

// P(Z <= x) of a standard normal Z: (1 + erf(x / sqrt 2)) / 2, written with erfc, which is precise for x << 0.
function normalCdf(x: number): number {
  return erfc(-x / Math.SQRT2) / 2;
}

function normalDensity(x: number): number {
  return Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
}

/** y = x P(Z <= x) with Z standard normal: the exact GELU (arXiv:1606.08415); PyTorch's default. */
export function gelu(x: Arr): Arr {
  return map(x, (x) => x * normalCdf(x));
}

/** dx = dy (P(Z <= x) + x density(x)). */
export function geluBackward(dy: Arr, x: Arr): Arr {
  return chain(dy, x, (x) => normalCdf(x) + x * normalDensity(x));
}

// GELU's approximation: x/2 (1 + tanh u) with u = sqrt(2/pi) (x + 0.044715 x^3).
const SLOPE_AT_ZERO = Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;

// (1 + tanh u) / 2 = sigmoid(2u): the same number, precise for u << 0 as well.
function tanhCdf(x: number): number {
  return logistic(2 * SLOPE_AT_ZERO * (x + CUBIC * x ** 3));
}

/** y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): GELU as GPT-2 uses it, PyTorch's approximate="tanh". */
export function geluTanh(x: Arr): Arr {
  return map(x, (x) => x * tanhCdf(x));
}

/** dx = dy (c + 2 x c (1 - c) u') with c = (1 + tanh u)/2 and u' = sqrt(2/pi) (1 + 3 * 0.044715 x^2). */
export function geluTanhBackward(dy: Arr, x: Arr): Arr {
  return chain(dy, x, (x) => {
    const slope = SLOPE_AT_ZERO * (1 + 3 * CUBIC * x * x);
    return tanhCdf(x) + 2 * x * tanhCdf(x) * tanhCdf(-x) * slope;
  });
}
