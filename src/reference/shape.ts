// Ops that move numbers and never change them. Each forward is a rule "output element i is input element from(i)",
// so every backward is the same: the gradient of output i is added to the gradient of input from(i).

import { type Arr, array, axisOf, expectShape, sizeOf, stridesOf } from "./array.ts";

// The coordinates of flat element i.
function coordinatesOf(i: number, shape: readonly number[]): number[] {
  return stridesOf(shape).map((stride, axis) => Math.floor(i / stride) % shape[axis]!);
}

// The flat element at these coordinates.
function indexOf(coordinates: readonly number[], shape: readonly number[]): number {
  return stridesOf(shape).reduce((sum, stride, axis) => sum + stride * coordinates[axis]!, 0);
}

// y[at] = x[from(at)], with coordinates on both sides.
function pull(x: Arr, shape: readonly number[], from: (at: number[]) => number[]): Arr {
  const y = array(shape);
  for (let i = 0; i < y.data.length; i++) {
    y.data[i] = x.data[indexOf(from(coordinatesOf(i, shape)), x.shape)]!;
  }
  return y;
}

// dx[from(at)] += dy[at]: the transposed rule of `pull`.
function push(dy: Arr, shape: readonly number[], from: (at: number[]) => number[]): Arr {
  const dx = array(shape);
  for (let i = 0; i < dy.data.length; i++) {
    dx.data[indexOf(from(coordinatesOf(i, dy.shape)), shape)]! += dy.data[i]!;
  }
  return dx;
}

/** The same numbers in the same order under another shape of equal size; one size may be -1, "whatever is left". */
export function reshape(x: Arr, shape: readonly number[]): Arr {
  const known = sizeOf(shape.filter((size) => size !== -1));
  return array(
    shape.map((size) => (size === -1 ? x.data.length / known : size)),
    x.data,
  );
}

/** dx = dy under the shape of x. */
export function reshapeBackward(dy: Arr, x: Arr): Arr {
  return array(x.shape, dy.data);
}

/** Reorders the axes: axis k of y is axis `order[k]` of x (PyTorch's `permute`); swaps the last two by default. */
export function transpose(x: Arr, order: readonly number[] = swapLastTwo(x.shape.length)): Arr {
  const axes = order.map((axis) => axisOf(axis, x.shape.length));
  if (axes.length !== x.shape.length || new Set(axes).size !== axes.length) {
    throw new RangeError(
      `The order [${order}] does not name each of the ${x.shape.length} axes of [${x.shape}] once; give a permutation.`,
    );
  }
  const shape = axes.map((axis) => x.shape[axis]!);
  return pull(x, shape, (at) => x.shape.map((_, axis) => at[axes.indexOf(axis)]!));
}

function swapLastTwo(rank: number): number[] {
  const order = Array.from({ length: rank }, (_, axis) => axis);
  return [...order.slice(0, -2), ...order.slice(-2).reverse()];
}

/** dx = dy with the axes put back: the inverse permutation. */
export function transposeBackward(
  dy: Arr,
  order: readonly number[] = swapLastTwo(dy.shape.length),
): Arr {
  const axes = order.map((axis) => axisOf(axis, dy.shape.length));
  return transpose(
    dy,
    axes.map((_, axis) => axes.indexOf(axis)),
  );
}

/** Which part of an axis `slice` takes: [start, end), every `step`-th element. */
export interface SliceOptions {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  /** At least 1, the default. */
  readonly step?: number;
}

/** y = x[start:end:step] along one axis, all of the others. */
export function slice(x: Arr, { axis, start, end, step = 1 }: SliceOptions): Arr {
  const along = axisOf(axis, x.shape.length);
  if (start < 0 || end < start || end > x.shape[along]!) {
    throw new RangeError(
      `The slice [${start}, ${end}) does not lie within axis ${axis} of [${x.shape}]; its size is ${x.shape[along]}.`,
    );
  }
  const shape = x.shape.with(along, Math.ceil((end - start) / step));
  return pull(x, shape, (at) => at.with(along, start + step * at[along]!));
}

/** dx = dy in the part that was taken, 0 elsewhere. */
export function sliceBackward(dy: Arr, x: Arr, { axis, start, step = 1 }: SliceOptions): Arr {
  const along = axisOf(axis, x.shape.length);
  return push(dy, x.shape, (at) => at.with(along, start + step * at[along]!));
}

/** The arrays one after the other along one axis; all other axes must agree. */
export function concat(xs: readonly Arr[], axis: number): Arr {
  const first = xs[0];
  if (first === undefined) throw new RangeError("concat was given no array; give at least one.");
  const along = axisOf(axis, first.shape.length);
  for (const x of xs) expectShape("A part of concat", x, first.shape.with(along, x.shape[along]!));
  let total = 0;
  for (const x of xs) total += x.shape[along]!;

  const y = array(first.shape.with(along, total));
  let start = 0;
  for (const x of xs) {
    for (let i = 0; i < x.data.length; i++) {
      const at = coordinatesOf(i, x.shape);
      y.data[indexOf(at.with(along, start + at[along]!), y.shape)] = x.data[i]!;
    }
    start += x.shape[along]!;
  }
  return y;
}

/** dxs[i] = the slice of dy where xs[i] lies. */
export function concatBackward(dy: Arr, xs: readonly Arr[], axis: number): Arr[] {
  const along = axisOf(axis, dy.shape.length);
  let end = 0;
  return xs.map((x) => {
    const start = end;
    end += x.shape[along]!;
    return slice(dy, { axis: along, start, end });
  });
}

function checkIndex(index: Arr, size: number): void {
  for (const value of index.data) {
    if (!Number.isInteger(value) || value < 0 || value >= size) {
      throw new RangeError(
        `The index ${value} is outside an axis of size ${size}; give integers from 0 to ${size - 1}.`,
      );
    }
  }
}

/**
 * PyTorch's `gather`: y has the shape of `index`, and y[.., i, ..] = x[.., index[.., i, ..], ..] along `axis`.
 * All other axes of `index` are at most as long as those of x.
 */
export function gather(x: Arr, axis: number, index: Arr): Arr {
  const along = axisOf(axis, x.shape.length);
  checkIndex(index, x.shape[along]!);
  return pull(x, index.shape, (at) => at.with(along, index.data[indexOf(at, index.shape)]!));
}

/** dx[.., index[.., i, ..], ..] += dy[.., i, ..]: an element taken twice gets both gradients. */
export function gatherBackward(dy: Arr, x: Arr, axis: number, index: Arr): Arr {
  const along = axisOf(axis, x.shape.length);
  return push(dy, x.shape, (at) => at.with(along, index.data[indexOf(at, index.shape)]!));
}

/** PyTorch's `index_select`: whole slices, y[.., i, ..] = x[.., index[i], ..] along `axis`, index [n]. */
export function indexSelect(x: Arr, axis: number, index: Arr): Arr {
  const along = axisOf(axis, x.shape.length);
  checkIndex(index, x.shape[along]!);
  const shape = x.shape.with(along, index.data.length);
  return pull(x, shape, (at) => at.with(along, index.data[at[along]!]!));
}

/** dx[.., index[i], ..] += dy[.., i, ..]: a slice taken twice gets both gradients. */
export function indexSelectBackward(dy: Arr, x: Arr, axis: number, index: Arr): Arr {
  const along = axisOf(axis, x.shape.length);
  return push(dy, x.shape, (at) => at.with(along, index.data[at[along]!]!));
}
