// New tensors from numbers.

import { ShapeError, UsageError } from "../core/error.ts";
import { expectNumber, kindOf } from "../core/kind.ts";
import { expectOptions, NO_OPTIONS, type OptionNames } from "../core/options.ts";
import { typedArrayOf } from "../core/realm.ts";
import { recording } from "../core/recording.ts";
import { expectList } from "./check.ts";
import { LEAF_OPTIONS, type LeafOptions, leaf } from "./record.ts";
import type { Tensor, Values } from "./tensor.ts";

/** Numbers, or numbers nested in arrays of equal length. */
export type Nested = number | readonly Nested[];

/** What `tensor` may be told beside the numbers. */
type TensorOptions = LeafOptions & { readonly shape?: readonly number[] };

const TENSOR_OPTIONS: OptionNames<TensorOptions> = { ...LEAF_OPTIONS, shape: true };

function shapeOf(data: Nested): number[] {
  const shape: number[] = [];
  for (let level: Nested | undefined = data; Array.isArray(level); level = level[0]) {
    shape.push(level.length);
  }
  return shape;
}

function flatten(data: Nested, shape: readonly number[], depth: number, out: number[]): void {
  if (typeof data === "number") {
    if (depth !== shape.length) throw raggedError(shape);
    out.push(data);
    return;
  }
  if (!Array.isArray(data)) {
    throw new UsageError(
      `tensor got ${kindOf(data)} where a number must stand. Give a number, nested arrays of numbers, or a Float32Array or Int32Array.`,
    );
  }
  if (depth >= shape.length || data.length !== shape[depth]) throw raggedError(shape);
  for (const item of data) flatten(item, shape, depth + 1, out);
}

function raggedError(shape: readonly number[]): ShapeError {
  return new ShapeError(
    `The nested array is ragged: its first elements say shape [${shape}], but not all parts have it.`,
  );
}

/** Is this an array that becomes a tensor's numbers as it is? */
export function isNumbers(data: unknown): data is Values {
  const name = typedArrayOf(data);
  return name === "Float32Array" || name === "Int32Array";
}

/**
 * A tensor from numbers: a number, nested arrays, or a flat typed array with a `shape`.
 * @throws ShapeError when the count of numbers and the shape disagree, or nested arrays are ragged.
 */
export function tensor(
  data: Nested | Float32Array | Int32Array,
  options: TensorOptions = NO_OPTIONS,
): Tensor {
  expectOptions(options, TENSOR_OPTIONS, "tensor");
  if (options.shape !== undefined) expectList("tensor", "shape", options.shape);
  let values: ArrayLike<number>;
  let found: readonly number[];
  if (isNumbers(data)) {
    values = data;
    found = [data.length];
  } else {
    const flat: number[] = [];
    found = shapeOf(data);
    flatten(data, found, 0, flat);
    values = flat;
  }
  const shape = options.shape ?? found;
  const size = shape.reduce((product, length) => product * length, 1);
  if (size !== values.length) {
    throw new ShapeError(
      `Shape [${shape}] holds ${size} elements, but ${values.length} were given.`,
    );
  }
  const dtype = options.dtype ?? (typedArrayOf(data) === "Int32Array" ? "int32" : "float32");
  const made = leaf(shape, (out) => out.set(values), { ...options, dtype });
  if (isNumbers(data) && !made.persistent) recording()?.input(data, made.address);
  return made;
}

/** A tensor filled with one value. */
export function full(
  shape: readonly number[],
  value: number,
  options: LeafOptions = NO_OPTIONS,
): Tensor {
  return filled("full", shape, value, options);
}

function filled(
  name: string,
  shape: readonly number[],
  value: number,
  options: LeafOptions,
): Tensor {
  expectOptions(options, LEAF_OPTIONS, name);
  expectNumber(`The value of ${name}`, value);
  return leaf(shape, (out) => out.fill(value), options);
}

/** A tensor filled with 0. */
export function zeros(shape: readonly number[], options: LeafOptions = NO_OPTIONS): Tensor {
  return filled("zeros", shape, 0, options);
}

/** A tensor filled with 1. */
export function ones(shape: readonly number[], options: LeafOptions = NO_OPTIONS): Tensor {
  return filled("ones", shape, 1, options);
}

/** The whole numbers [start, end) as a vector; int32 unless said otherwise. */
export function arange(start: number, end: number, options: LeafOptions = NO_OPTIONS): Tensor {
  expectOptions(options, LEAF_OPTIONS, "arange");
  if (!Number.isInteger(start) || !Number.isInteger(end) || end < start) {
    throw new UsageError(
      `arange(${kindOf(start)}, ${kindOf(end)}) needs two whole numbers, the second not below the first.`,
    );
  }
  const fill = (out: Float32Array | Int32Array): void => {
    for (let i = 0; i < out.length; i++) out[i] = start + i;
  };
  return leaf([end - start], fill, { ...options, dtype: options.dtype ?? "int32" });
}
