// How far float32 attention may be from the float64 reference: first-order error bounds, element by element.
// u = 2^-24. Per row of queries, over the n keys that it sees, with absolute values in every sum:
//   score       |s| ≤ M = scale·max_j Σ|q k_j|, off by (D + 3)·u·M
//   p           exp(s − m) is off by the score's error twice (s and m), u·2M for the difference and 2 ulp of exp;
//               its sum by n more roundings; rescaling by one exponential and two products a block of 64 keys
//   lse         rounded at u·(M + log n), and log l by 2 ulp of log n: p made again from it has all of that on top
//   D_r, dp     sums of D products;   ds, dq, dk, dv: products of the above, summed over keys or rows

import { type Arr, array, row } from "../../src/reference/array.ts";

const U = 2 ** -24;

export interface AttentionCase {
  readonly q: Arr;
  readonly k: Arr;
  readonly v: Arr;
  readonly dy: Arr;
  readonly scale: number;
  readonly offset: number;
  /** starts [B, Tq]. */
  readonly starts: Arr;
}

export interface AttentionBounds {
  readonly y: Float64Array;
  readonly dq: Float64Array;
  readonly dk: Float64Array;
  readonly dv: Float64Array;
}

function sumOfProducts(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += Math.abs(a[d]! * b[d]!);
  return sum;
}

function score(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += a[d]! * b[d]!;
  return sum;
}

function accumulate(to: Float64Array, factor: number, from: Float64Array): void {
  for (let d = 0; d < to.length; d++) to[d]! += factor * Math.abs(from[d]!);
}

/** The bounds of y and of the three gradients of Σ dy·y. */
export function attentionBounds({
  q,
  k,
  v,
  dy,
  scale,
  offset,
  starts,
}: AttentionCase): AttentionBounds {
  const [B = 0, Tq = 0, H = 0, D = 0] = q.shape;
  const [, Tk = 0, G = 0] = k.shape;
  const bounds = {
    y: array(q.shape),
    dq: array(q.shape),
    dk: array(k.shape),
    dv: array(k.shape),
  };
  const group = H / G;
  const rows = Tq * group;
  const factor = Math.abs(scale);
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < Tq; t++) {
      const start = starts.data[b * Tq + t]!;
      for (let h = 0; h < H; h++) {
        const i = (b * Tq + t) * H + h;
        const [query, slope] = [row(q, i), row(dy, i)];
        const keys: number[] = [];
        for (let j = start; j <= offset + t; j++) {
          keys.push((b * Tk + j) * G + Math.floor(h / group));
        }
        const n = keys.length;
        const scores = keys.map((j) => scale * score(query, row(k, j)));
        const m = Math.max(...scores);
        const weights = scores.map((s) => Math.exp(s - m));
        const l = weights.reduce((sum, weight) => sum + weight, 0);
        const M = factor * Math.max(...keys.map((j) => sumOfProducts(query, row(k, j))));

        const blocks = Math.ceil(n / 64) + 1;
        const ofWeight = (2 * (D + 3) * M + 2 * M + 4 + 8 * blocks) * U;
        const ofY = 2 * ofWeight + (2 * n + 8) * U;
        const ofP = ofWeight + ofY + (6 * (M + Math.log(n)) + 8) * U;

        const dp = keys.map((j) => sumOfProducts(slope, row(v, j)));
        const mean = weights.reduce((sum, weight, at) => sum + (weight / l) * dp[at]!, 0);
        keys.forEach((j, at) => {
          // Weights below e^−86.99 are flushed to 0.
          const p = weights[at]! / l + 2 ** -125;
          const A = dp[at]! + mean;
          const ofDs = factor * p * (A * (ofP + (2 * D + 8) * U) + ofY * mean);
          const ds = factor * p * A;
          accumulate(row(bounds.y, i), p * ofY, row(v, j));
          accumulate(row(bounds.dv, j), p * (ofP + (rows + 4) * U), slope);
          accumulate(row(bounds.dq, i), ofDs + ds * (n + 4) * U, row(k, j));
          accumulate(row(bounds.dk, j), ofDs + ds * (rows + 4) * U, query);
        });
      }
    }
  }
  return { y: bounds.y.data, dq: bounds.dq.data, dk: bounds.dk.data, dv: bounds.dv.data };
}
