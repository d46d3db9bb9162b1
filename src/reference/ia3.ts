// IA3 in one page: few-shot fine-tuning by scaling activations (H. Liu et al., arXiv:2205.05638).
//
// A trained layer computes y = x W^T + b. IA3 leaves W and b alone, and multiplies activations with a vector l that
// trains (sec. 3.3): keys and values after their layer, and what goes into the last layer of the MLP.
//
//   y = l o (x W^T + b)     l [out], on the output
//   y = (l o x) W^T + b     l [in], on the input: "feed-forward"
//
// With l = 1 nothing changes, and training starts there. For in = out = 768 a layer trains 768 numbers: one in 768.

import { type Arr, array } from "./array.ts";
import { linear, linearBackward } from "./linear.ts";

/** A frozen layer with its vector. */
export interface Ia3 {
  /** W [out, in]. */
  readonly W: Arr;
  /** b [out], if the layer has one. */
  readonly b?: Arr | undefined;
  /** [out], or [in] where the input is scaled. */
  readonly l: Arr;
  readonly isFeedforward: boolean;
}

/** y [M, out] for x [M, in]. */
export function ia3Forward({ W, b, l, isFeedforward }: Ia3, x: Arr): Arr {
  return isFeedforward
    ? linear(scaled(x, l), W, { bias: b })
    : scaled(linear(x, W, { bias: b }), l);
}

/**
 * The gradients of l and x, given that of y, dy [M, out]. On the output, with z = x W^T + b:
 *   dl = sum of rows of dy o z      dx = (l o dy) W
 * and on the input, with dz = dy W:
 *   dl = sum of rows of dz o x      dx = l o dz
 */
export function ia3Backward(
  { W, b, l, isFeedforward }: Ia3,
  x: Arr,
  dy: Arr,
): { dl: Arr; dx: Arr } {
  if (isFeedforward) {
    const dz = linearBackward(dy, x, W).dx;
    return { dl: columnSums(dz, x), dx: scaled(dz, l) };
  }
  const z = linear(x, W, { bias: b });
  return { dl: columnSums(dy, z), dx: linearBackward(scaled(dy, l), x, W).dx };
}

/** The layer that computes the same alone: rows of W and b scaled, or columns of W. */
export function ia3Merge({ W, b, l, isFeedforward }: Ia3): { W: Arr; b: Arr | undefined } {
  const [, inputs = 0] = W.shape;
  const factor = (i: number) => l.data[isFeedforward ? i % inputs : Math.floor(i / inputs)]!;
  const merged = array(
    W.shape,
    W.data.map((value, i) => factor(i) * value),
  );
  return { W: merged, b: b === undefined || isFeedforward ? b : scaled(b, l) };
}

// Each row of x [..., n] times l [n].
function scaled(x: Arr, l: Arr): Arr {
  return array(
    x.shape,
    x.data.map((value, i) => value * l.data[i % l.data.length]!),
  );
}

// The sum over rows of x o y, [n].
function columnSums(x: Arr, y: Arr): Arr {
  const sums = array([x.shape.at(-1) ?? 0]);
  x.data.forEach((value, i) => {
    sums.data[i % sums.data.length]! += value * y.data[i]!;
  });
  return sums;
}
