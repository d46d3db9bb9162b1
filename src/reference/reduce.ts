// Reductions: sum, mean and maximum over any set of axes (all of them by default).
// A reduction is broadcasting read backwards: with the reduced axes kept as 1, every element of y stands for the
// elements of x that broadcasting would copy it to. So the forward is `sumTo`, the backward is `broadcastTo`.

import { type Arr, array, axisOf, broadcastOffsets, broadcastTo, sizeOf, sumTo } from "./array.ts";

/** Which axes a reduction removes. */
export interface ReduceOptions {
  /** The axes to reduce, negative ones counted from the back; all axes if left out. */
  readonly axes?: readonly number[];
  /** Keep the reduced axes with the size 1 (default false). */
  readonly keepdim?: boolean;
}

// The shape with every reduced axis as 1, and the shape that the caller gets.
function shapesOf(x: Arr, options: ReduceOptions): { kept: number[]; result: number[] } {
  const rank = x.shape.length;
  const axes = options.axes?.map((axis) => axisOf(axis, rank)) ?? x.shape.map((_, axis) => axis);
  const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const result = options.keepdim ? kept : kept.filter((_, axis) => !axes.includes(axis));
  return { kept, result };
}

/** y = the sum over the axes; an empty sum is 0. */
export function sum(x: Arr, options: ReduceOptions = {}): Arr {
  const { kept, result } = shapesOf(x, options);
  return array(result, sumTo(x, kept).data);
}

/** dx = dy at every element that was added. */
export function sumBackward(dy: Arr, x: Arr, options: ReduceOptions = {}): Arr {
  const { kept } = shapesOf(x, options);
  return broadcastTo(array(kept, dy.data), x.shape);
}

/** y = the sum over the axes, divided by the number n of elements added; NaN if there are none. */
export function mean(x: Arr, options: ReduceOptions = {}): Arr {
  const total = sum(x, options);
  const n = sizeOf(x.shape) / total.data.length;
  return array(
    total.shape,
    total.data.map((value) => value / n),
  );
}

/** dx = dy / n at every element that was added. */
export function meanBackward(dy: Arr, x: Arr, options: ReduceOptions = {}): Arr {
  const n = sizeOf(x.shape) / dy.data.length;
  const dx = sumBackward(dy, x, options);
  return array(
    dx.shape,
    dx.data.map((value) => value / n),
  );
}

/** y = the largest element over the axes, NaN if one of them is NaN; there must be at least one. */
export function max(x: Arr, options: ReduceOptions = {}): Arr {
  const { kept, result } = shapesOf(x, options);
  if (sizeOf(x.shape) === 0 && sizeOf(kept) > 0) {
    throw new RangeError(
      `The maximum over an axis of size 0 does not exist: the shape is [${x.shape}]; reduce other axes.`,
    );
  }
  const y = new Float64Array(sizeOf(kept)).fill(Number.NEGATIVE_INFINITY);
  const offsets = broadcastOffsets(kept, x.shape);
  for (let i = 0; i < x.data.length; i++) {
    const slot = offsets[i]!;
    y[slot] = Math.max(y[slot]!, x.data[i]!);
  }
  return array(result, y);
}

/**
 * dx = dy / n at each of the n elements that equal the maximum, 0 elsewhere.
 * Where several are equal the maximum has a kink; sharing evenly is the choice of PyTorch's `amax`.
 */
export function maxBackward(dy: Arr, x: Arr, options: ReduceOptions = {}): Arr {
  const { kept } = shapesOf(x, options);
  const largest = broadcastTo(array(kept, max(x, options).data), x.shape);
  const isMax = array(
    x.shape,
    x.data.map((value, i) => (value === largest.data[i] ? 1 : 0)),
  );
  const ties = broadcastTo(sumTo(isMax, kept), x.shape);
  const dx = sumBackward(dy, x, options);
  return array(
    x.shape,
    dx.data.map((value, i) => (isMax.data[i] === 1 ? value / ties.data[i]! : 0)),
  );
}
