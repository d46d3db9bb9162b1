// LoRA in one page: low-rank adaptation of a linear layer (E. Hu et al., arXiv:2106.09685).
//
// A trained layer computes y = x W^T with a large weight W [out, in]. Fine-tuning moves it to W + D. The observation
// of the paper: D can have a very low rank r, so it is enough to train two thin matrices and leave W alone.
//
//   eq. 3     h = W0 x + D x = W0 x + B A x          B [out, r], A [r, in], r much smaller than in and out
//   sec. 4.1  D x is multiplied with alpha / r, so that another r needs no other learning rate
//
// With rows of x as samples, as everywhere in this folder: y = x W^T + s (x A^T) B^T, s = alpha / r.
// For in = out = 768 and r = 8 that trains 2 * 8 * 768 = 12288 numbers instead of 589824: one in 48.

import { type Arr, array } from "./array.ts";

/** A frozen weight with its adapter. */
export interface Lora {
  /** The weight of the trained model, W [out, in]; it never changes. */
  readonly W: Arr;
  /** The first factor, A [r, in]: reads r directions of the input. */
  readonly A: Arr;
  /** The second factor, B [out, r]: writes them to the output. */
  readonly B: Arr;
  /** The scaling s = alpha / r. */
  readonly s: number;
}

/**
 * A fresh adapter: A uniform on (-1/sqrt(in), 1/sqrt(in)), B = 0 (PEFT's default; the paper draws A from a Gaussian).
 * So B A = 0, and training starts at exactly the model that was given. B = A = 0 would not do: then both gradients
 * below are 0, and nothing would ever move.
 * @param random A source of uniform numbers in [0, 1).
 */
export function loraInit(
  W: Arr,
  { r, alpha, random }: { r: number; alpha: number; random: () => number },
): Lora {
  const [outputs = 0, inputs = 0] = W.shape;
  const A = array([r, inputs]);
  for (let i = 0; i < A.data.length; i++) A.data[i] = (2 * random() - 1) / Math.sqrt(inputs);
  return { W, A, B: array([outputs, r]), s: alpha / r };
}

/** y [M, out] = x W^T + s (x A^T) B^T for x [M, in]. The brackets matter: B A [out, in] is never formed. */
export function loraForward({ W, A, B, s }: Lora, x: Arr): Arr {
  const t = product(x, transposed(A)); // [M, r], the bottleneck
  return sum(product(x, transposed(W)), product(t, transposed(B)), s);
}

/**
 * The gradients of A, B and x, given that of y, dy [M, out]. By the product rule, with t = x A^T:
 *   dB = s dy^T t      dt = s dy B      dA = dt^T x      dx = dy W + dt A
 * There is no dW: W is frozen. That, and no optimizer state for W, is what LoRA saves in training.
 * At the start B = 0, so dt and dA are 0: the first step moves B alone, and only then A begins to learn.
 */
export function loraBackward({ W, A, B, s }: Lora, x: Arr, dy: Arr): { dA: Arr; dB: Arr; dx: Arr } {
  const t = product(x, transposed(A)); // [M, r]
  const dt = times(product(dy, B), s); // [M, r]
  const dB = times(product(transposed(dy), t), s); // [out, r]
  const dA = product(transposed(dt), x); // [r, in]
  const dx = sum(product(dy, W), product(dt, A), 1); // [M, in]
  return { dA, dB, dx };
}

/** D = s B A [out, in], all that the adapter has learned, as a change of W. Its rank is at most r. */
export function loraDelta({ A, B, s }: Lora): Arr {
  return times(product(B, A), s);
}

/**
 * W + D [out, in]: after training the adapter can be folded into the weight, and the model is as fast as it was.
 * x (W + D)^T is `loraForward` up to rounding. To unmerge, go back to W; subtracting D would leave rounding errors.
 */
export function loraMerge(lora: Lora): Arr {
  return sum(lora.W, loraDelta(lora), 1);
}

// All that is needed of linear algebra.

// C [m, n] = X [m, k] Y [k, n]
function product(x: Arr, y: Arr): Arr {
  const [m = 0, k = 0] = x.shape;
  const [, n = 0] = y.shape;
  const c = array([m, n]);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      for (let l = 0; l < k; l++) c.data[i * n + j]! += x.data[i * k + l]! * y.data[l * n + j]!;
    }
  }
  return c;
}

// X^T [n, m] of X [m, n]
function transposed(x: Arr): Arr {
  const [m = 0, n = 0] = x.shape;
  const y = array([n, m]);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) y.data[j * m + i] = x.data[i * n + j]!;
  }
  return y;
}

// factor * X
function times(x: Arr, factor: number): Arr {
  return array(
    x.shape,
    x.data.map((value) => factor * value),
  );
}

// X + factor * Y
function sum(x: Arr, y: Arr, factor: number): Arr {
  return array(
    x.shape,
    x.data.map((value, i) => value + factor * y.data[i]!),
  );
}
