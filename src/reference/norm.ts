// Normalisation of every row over the last axis, x [..., D], with a trained gain [D] (and bias [D]).
//   layerNorm  y = gain o (x - mean) / sqrt(var + eps) + bias     arXiv:1607.06450 eq. 4; var is the mean squared deviation
//   rmsNorm    y = gain o x / sqrt(mean(x^2) + eps)               arXiv:1910.07467 eq. 4
// Both backwards use the normalised row n and the gradient g = gain o dy that reaches it. Normalising removes one
// direction (the length of the row; layerNorm also its mean), so the gradient has no part along it:
//   rmsNorm    dx = (g - n mean(g o n)) / rms
//   layerNorm  dx = (g - mean(g) - n mean(g o n)) / std

import { type Arr, array, dot, expectShape, row, rowCount } from "./array.ts";

function mean(x: Float64Array): number {
  let sum = 0;
  for (const value of x) sum += value;
  return sum / x.length;
}

// (x - mean) / sqrt(var + eps) of one row, and the divisor.
function standardised(x: Float64Array, eps: number): { n: Float64Array; std: number } {
  const center = mean(x);
  const deviation = x.map((value) => value - center);
  const std = Math.sqrt(dot(deviation, deviation) / x.length + eps);
  return { n: deviation.map((value) => value / std), std };
}

/** y [..., D]: layer normalisation of x [..., D] with gain [D] and bias [D]. */
export function layerNorm(x: Arr, gain: Arr, bias: Arr, eps = 1e-5): Arr {
  const D = x.shape.at(-1) ?? 1;
  expectShape("gain", gain, [D]);
  expectShape("bias", bias, [D]);
  const y = array(x.shape);
  for (let i = 0; i < rowCount(x); i++) {
    const { n } = standardised(row(x, i), eps);
    for (let j = 0; j < D; j++) row(y, i)[j] = gain.data[j]! * n[j]! + bias.data[j]!;
  }
  return y;
}

/** dx as above; dgain = sum over the rows of dy o n; dbias = sum over the rows of dy. */
export function layerNormBackward(
  dy: Arr,
  x: Arr,
  gain: Arr,
  eps = 1e-5,
): { dx: Arr; dgain: Arr; dbias: Arr } {
  const dx = array(x.shape);
  const dgain = array(gain.shape);
  const dbias = array(gain.shape);
  for (let i = 0; i < rowCount(x); i++) {
    const { n, std } = standardised(row(x, i), eps);
    const dyi = row(dy, i);
    const g = dyi.map((value, j) => value * gain.data[j]!);
    const meanG = mean(g);
    const alongN = dot(g, n) / n.length;
    for (let j = 0; j < n.length; j++) {
      row(dx, i)[j] = (g[j]! - meanG - n[j]! * alongN) / std;
      dgain.data[j]! += dyi[j]! * n[j]!;
      dbias.data[j]! += dyi[j]!;
    }
  }
  return { dx, dgain, dbias };
}

// x / sqrt(mean(x^2) + eps) of one row, and the divisor.
function unitRms(x: Float64Array, eps: number): { n: Float64Array; rms: number } {
  const rms = Math.sqrt(dot(x, x) / x.length + eps);
  return { n: x.map((value) => value / rms), rms };
}

/** y [..., D]: root-mean-square normalisation of x [..., D] with gain [D]. */
export function rmsNorm(x: Arr, gain: Arr, eps = 1e-5): Arr {
  const D = x.shape.at(-1) ?? 1;
  expectShape("gain", gain, [D]);
  const y = array(x.shape);
  for (let i = 0; i < rowCount(x); i++) {
    const { n } = unitRms(row(x, i), eps);
    for (let j = 0; j < D; j++) row(y, i)[j] = gain.data[j]! * n[j]!;
  }
  return y;
}

/** dx as above; dgain = sum over the rows of dy o n. */
export function rmsNormBackward(dy: Arr, x: Arr, gain: Arr, eps = 1e-5): { dx: Arr; dgain: Arr } {
  const dx = array(x.shape);
  const dgain = array(gain.shape);
  for (let i = 0; i < rowCount(x); i++) {
    const { n, rms } = unitRms(row(x, i), eps);
    const dyi = row(dy, i);
    const g = dyi.map((value, j) => value * gain.data[j]!);
    const alongN = dot(g, n) / n.length;
    for (let j = 0; j < n.length; j++) {
      row(dx, i)[j] = (g[j]! - n[j]! * alongN) / rms;
      dgain.data[j]! += dyi[j]! * n[j]!;
    }
  }
  return { dx, dgain };
}
