// Softmax and its logarithm over the last axis, x [..., V]: every row becomes a probability distribution.
//   softmax(x)_i = e^(x_i) / sum_j e^(x_j)        logSoftmax(x)_i = x_i - ln sum_j e^(x_j)
// The largest x of the row is subtracted first: the result stays the same, and no exponential overflows.

import { type Arr, array, dot, row, rowCount } from "./array.ts";

/** ln sum_j e^(x_j) of one row, without overflow. */
export function logSumExp(x: Float64Array): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of x) largest = Math.max(largest, value);
  let sum = 0;
  for (const value of x) sum += Math.exp(value - largest);
  return largest + Math.log(sum);
}

/** y [..., V]: the softmax of every row of x [..., V]. */
export function softmax(x: Arr): Arr {
  const y = array(x.shape);
  for (let i = 0; i < rowCount(x); i++) {
    const xi = row(x, i);
    const yi = row(y, i);
    let largest = Number.NEGATIVE_INFINITY;
    for (const value of xi) largest = Math.max(largest, value);
    let sum = 0;
    for (let j = 0; j < xi.length; j++) {
      yi[j] = Math.exp(xi[j]! - largest);
      sum += yi[j]!;
    }
    for (let j = 0; j < xi.length; j++) yi[j]! /= sum;
  }
  return y;
}

/**
 * dx_i = y_i (dy_i - sum_j dy_j y_j), because dy_j/dx_i = y_j ([i = j] - y_i):
 * raising one input takes probability from all the others.
 */
export function softmaxBackward(dy: Arr, x: Arr): Arr {
  const y = softmax(x);
  const dx = array(x.shape);
  for (let i = 0; i < rowCount(x); i++) {
    const yi = row(y, i);
    const dyi = row(dy, i);
    const dxi = row(dx, i);
    const average = dot(dyi, yi);
    for (let j = 0; j < yi.length; j++) dxi[j] = yi[j]! * (dyi[j]! - average);
  }
  return dx;
}

/** y [..., V]: the logarithm of the softmax of every row of x [..., V]. */
export function logSoftmax(x: Arr): Arr {
  const y = array(x.shape);
  for (let i = 0; i < rowCount(x); i++) {
    const xi = row(x, i);
    const yi = row(y, i);
    const total = logSumExp(xi);
    for (let j = 0; j < xi.length; j++) yi[j] = xi[j]! - total;
  }
  return y;
}

/** dx_i = dy_i - softmax(x)_i * sum_j dy_j. */
export function logSoftmaxBackward(dy: Arr, x: Arr): Arr {
  const p = softmax(x);
  const dx = array(x.shape);
  for (let i = 0; i < rowCount(x); i++) {
    const pi = row(p, i);
    const dyi = row(dy, i);
    const dxi = row(dx, i);
    let total = 0;
    for (const value of dyi) total += value;
    for (let j = 0; j < pi.length; j++) dxi[j] = dyi[j]! - pi[j]! * total;
  }
  return dx;
}
