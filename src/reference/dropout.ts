// Dropout: y = mask o x / (1 - p). An element is kept (mask 1) with probability 1 - p and dropped (mask 0) with
// probability p; dividing by 1 - p keeps the expected value: E[y] = x (arXiv:1207.0580, in its "inverted" form).
// The mask is an argument here, so that the same mask can be given to the reference and to a kernel.

import { type Arr, array, expectShape } from "./array.ts";

/** y = mask o x / (1 - p), mask of 0 and 1 in the shape of x; all zeros at p = 1. */
export function dropout(x: Arr, mask: Arr, p: number): Arr {
  expectShape("mask", mask, x.shape);
  return array(
    x.shape,
    x.data.map((value, i) => (mask.data[i] === 0 || p === 1 ? 0 : value / (1 - p))),
  );
}

/** dx = mask o dy / (1 - p): the same mask and the same factor. */
export function dropoutBackward(dy: Arr, mask: Arr, p: number): Arr {
  return dropout(dy, mask, p);
}
