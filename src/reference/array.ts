// The array of the reference: a shape and its numbers in float64, row by row (the last axis varies fastest).
// Integers (token ids, positions, targets) lie in the same kind of array. Nothing here is fast, and nothing is
// changed in place: every operation returns new arrays.
//
//   shape [2, 3]   strides [3, 1]   data  x00 x01 x02 x10 x11 x12
//
// Every op of this folder is a pair: `op(...)`, and `opBackward(dy, ...)`, which takes the gradient of the loss with
// respect to the output first, then those arguments of the forward that it needs, in the same order.

/** A dense array of float64 numbers in row-major order; `shape` [] is a single number. */
export interface Arr {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** The number of elements of a shape: the product of its sizes, 1 for []. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** A new array with a copy of `data`, or with zeros. */
export function array(shape: readonly number[], data?: ArrayLike<number>): Arr {
  const size = sizeOf(shape);
  if (data !== undefined && data.length !== size) {
    throw new RangeError(
      `The shape [${shape}] holds ${size} numbers, but ${data.length} were given; give one number per element.`,
    );
  }
  return {
    shape: [...shape],
    data: data === undefined ? new Float64Array(size) : Float64Array.from(data),
  };
}

/** How far apart neighbours along each axis lie in `data`: [2, 3, 4] has strides [12, 4, 1]. */
export function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
}

/** The axis as an index from the front; negative axes count from the back, as in PyTorch. */
export function axisOf(axis: number, rank: number): number {
  if (axis < -rank || axis >= rank) {
    throw new RangeError(
      `Axis ${axis} does not exist in an array of ${rank} axes; give one from ${-rank} to ${rank - 1}.`,
    );
  }
  return axis < 0 ? axis + rank : axis;
}

/** Throws a sentence unless `x` has exactly this shape. */
export function expectShape(name: string, x: Arr, shape: readonly number[]): void {
  if (x.shape.length !== shape.length || x.shape.some((size, axis) => size !== shape[axis])) {
    throw new RangeError(
      `${name} has the shape [${x.shape}], but [${shape}] is needed here; reshape or transpose it first.`,
    );
  }
}

/** The number of rows: all axes but the last one, taken together. */
export function rowCount(x: Arr): number {
  return sizeOf(x.shape.slice(0, -1));
}

/** Row `i` along the last axis, as a view: writing to it writes to `x`. */
export function row(x: Arr, i: number): Float64Array {
  const width = x.shape.at(-1) ?? 1;
  return x.data.subarray(i * width, (i + 1) * width);
}

/** The inner product of two rows of equal length, summed from the front. */
export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
  return sum;
}

/**
 * The shape of a broadcast result: shapes are aligned at their last axes, missing axes count as 1, and a size of 1
 * stretches to the other's size (NumPy's and PyTorch's rule).
 */
export function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  const shape: number[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const m = a[axis - (rank - a.length)] ?? 1;
    const n = b[axis - (rank - b.length)] ?? 1;
    if (m !== n && m !== 1 && n !== 1) {
      throw new RangeError(
        `The shapes [${a}] and [${b}] cannot be broadcast: axis ${axis} has the sizes ${m} and ${n}; they must be equal, or one of them 1.`,
      );
    }
    shape.push(m === 1 ? n : m);
  }
  return shape;
}

/** For every element of an array of shape `to`: the index of the element of shape `from` that broadcasting puts there. */
export function broadcastOffsets(from: readonly number[], to: readonly number[]): Int32Array {
  const offsets = new Int32Array(sizeOf(to));
  const fromStrides = stridesOf(from);
  const toStrides = stridesOf(to);
  const missing = to.length - from.length;
  for (let i = 0; i < offsets.length; i++) {
    let offset = 0;
    for (let axis = 0; axis < from.length; axis++) {
      const coordinate = Math.floor(i / toStrides[axis + missing]!) % to[axis + missing]!;
      // A stretched axis has one element only: every coordinate reads that one.
      if (from[axis] !== 1) offset += coordinate * fromStrides[axis]!;
    }
    offsets[i] = offset;
  }
  return offsets;
}

/** `x` repeated along the axes that its shape lacks or has as 1. */
export function broadcastTo(x: Arr, shape: readonly number[]): Arr {
  const y = array(shape);
  const offsets = broadcastOffsets(x.shape, shape);
  for (let i = 0; i < y.data.length; i++) y.data[i] = x.data[offsets[i]!]!;
  return y;
}

/** The mirror image of broadcasting: everything that one element of `shape` was copied to is added up. */
export function sumTo(x: Arr, shape: readonly number[]): Arr {
  const y = array(shape);
  const offsets = broadcastOffsets(shape, x.shape);
  for (let i = 0; i < x.data.length; i++) y.data[offsets[i]!]! += x.data[i]!;
  return y;
}
