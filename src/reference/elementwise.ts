// Arithmetic element by element, with broadcasting: y = a op b.
// A number that broadcasting has used n times gets the sum of its n gradients, so each backward is
// "the derivative at every element of y, then summed back to the shape of the argument" (`sumTo`).

import { type Arr, array, broadcastOffsets, broadcastShape, sumTo } from "./array.ts";

/** The gradients of an op with two arguments, each with the shape of its argument. */
export interface PairGradients {
  readonly da: Arr;
  readonly db: Arr;
}

// y[i] = op(a[i], b[i]), where a and b are read through broadcasting.
function zip(a: Arr, b: Arr, op: (a: number, b: number) => number): Arr {
  const y = array(broadcastShape(a.shape, b.shape));
  const fromA = broadcastOffsets(a.shape, y.shape);
  const fromB = broadcastOffsets(b.shape, y.shape);
  for (let i = 0; i < y.data.length; i++) {
    y.data[i] = op(a.data[fromA[i]!]!, b.data[fromB[i]!]!);
  }
  return y;
}

/** y = a + b. */
export function add(a: Arr, b: Arr): Arr {
  return zip(a, b, (a, b) => a + b);
}

/** da = dy, db = dy, each summed over the axes that were broadcast. */
export function addBackward(dy: Arr, a: Arr, b: Arr): PairGradients {
  return { da: sumTo(dy, a.shape), db: sumTo(dy, b.shape) };
}

/** y = a - b. */
export function sub(a: Arr, b: Arr): Arr {
  return zip(a, b, (a, b) => a - b);
}

/** da = dy, db = -dy, each summed over the axes that were broadcast. */
export function subBackward(dy: Arr, a: Arr, b: Arr): PairGradients {
  const minus = array([], [-1]);
  return { da: sumTo(dy, a.shape), db: sumTo(mul(dy, minus), b.shape) };
}

/** y = a * b. */
export function mul(a: Arr, b: Arr): Arr {
  return zip(a, b, (a, b) => a * b);
}

/** da = dy b, db = dy a, each summed over the axes that were broadcast. */
export function mulBackward(dy: Arr, a: Arr, b: Arr): PairGradients {
  return { da: sumTo(mul(dy, b), a.shape), db: sumTo(mul(dy, a), b.shape) };
}

/** y = a / b. */
export function div(a: Arr, b: Arr): Arr {
  return zip(a, b, (a, b) => a / b);
}

/** da = dy / b, db = -dy a / b^2, each summed over the axes that were broadcast. */
export function divBackward(dy: Arr, a: Arr, b: Arr): PairGradients {
  const slope = zip(a, b, (a, b) => -a / (b * b));
  return { da: sumTo(div(dy, b), a.shape), db: sumTo(mul(dy, slope), b.shape) };
}
