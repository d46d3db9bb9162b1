// Ops that move numbers and never change them.

import { ShapeError, UsageError } from "../core/error.ts";
import { kindOf, wrongKind } from "../core/kind.ts";
import { Op } from "../core/op.ts";
import { apply } from "./apply.ts";
import { axisOf, expectFloat, expectList, expectTensor, shown } from "./check.ts";
import { expectIndices } from "./indices.ts";
import { composite } from "./scope.ts";
import type { Tensor } from "./tensor.ts";

/** Sources of one concat record. */
const MOST_PARTS = 6;

/**
 * The same numbers in the same order under another shape; one size may be −1, "whatever is left". Inside a scope
 * the data is shared.
 * @throws ShapeError when the sizes do not agree.
 */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  expectTensor("reshape", x);
  expectList("reshape", "shape", shape);
  const size = x.size;
  let known = 1;
  let open = 0;
  let whole = true;
  for (const n of shape) {
    if (n === -1) open += 1;
    else {
      if (typeof n === "number") known *= n;
      whole &&= Number.isInteger(n) && n >= 0;
    }
  }
  const left = open === 1 && known > 0 ? size / known : 0;
  const full = shape.map((n) => (n === -1 ? left : n));
  if (open > 1 || !whole || !Number.isInteger(left) || known * (open === 1 ? left : 1) !== size) {
    throw new ShapeError(
      `reshape cannot lay [${x.shape}], ${size} elements, out as [${shown(shape)}]. ` +
        "The product of the sizes must be the same; at most one size may be -1.",
    );
  }
  return apply(Op.Reshape, [x], full, {}, x.dtype);
}

/**
 * The axes in another order: axis k of the result is axis `axes[k]` of x.
 * @throws ShapeError unless `axes` names each axis once.
 */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  expectFloat("permute", x);
  expectList("permute", "axes", axes);
  const order = axes.map((axis) => axisOf("permute", axis, x));
  if (order.length !== x.rank || new Set(order).size !== x.rank) {
    throw new ShapeError(
      `permute got the axes [${axes}] for the shape [${x.shape}]; name each of its ${x.rank} axes once.`,
    );
  }
  const shape = order.map((axis) => x.shape[axis] ?? 1);
  return apply(Op.Transpose, [x], shape, {
    axis0: order[0] ?? 0,
    axis1: order[1] ?? 0,
    axis2: order[2] ?? 0,
    axis3: order[3] ?? 0,
    axis4: order[4] ?? 0,
    axis5: order[5] ?? 0,
  });
}

/** x with two axes exchanged. */
export function transpose(x: Tensor, axis0: number, axis1: number): Tensor {
  const first = axisOf("transpose", axis0, x);
  const second = axisOf("transpose", axis1, x);
  const order = x.shape.map((_, axis) => axis);
  order[first] = second;
  order[second] = first;
  return permute(x, order);
}

/**
 * x[start, end) along one axis; negative bounds count from the back, and `end` is the axis' size when not given.
 * @throws ShapeError when the slice does not lie within the axis.
 */
export function slice(x: Tensor, axis: number, start: number, end?: number): Tensor {
  expectFloat("slice", x);
  const along = axisOf("slice", axis, x);
  const size = x.shape[along] ?? 0;
  if (typeof start !== "number" || (end !== undefined && typeof end !== "number")) {
    throw new UsageError(
      `slice got the bounds ${kindOf(start)} and ${kindOf(end)}, but needs whole numbers.`,
    );
  }
  const from = start < 0 ? start + size : start;
  const stop = end === undefined ? size : end < 0 ? end + size : end;
  const fits = Number.isInteger(from) && Number.isInteger(stop);
  if (!fits || from < 0 || stop < from || stop > size) {
    throw new ShapeError(
      `slice got [${start}, ${end ?? size}) for axis ${axis} of the shape [${x.shape}]; ` +
        `the bounds must be whole numbers in order, and lie within its ${size} elements.`,
    );
  }
  const shape = x.shape.map((n, k) => (k === along ? stop - from : n));
  return apply(Op.Slice, [x], shape, { axis: along, start: from });
}

/**
 * The tensors one after the other along one axis; all other axes must agree.
 * @throws ShapeError naming the two shapes that do not fit, UsageError for an empty list.
 */
export function concat(list: readonly Tensor[], axis: number): Tensor {
  const given: unknown = list;
  if (!Array.isArray(given)) throw wrongKind("What concat joins", given, "an array of tensors");
  const first = list[0];
  if (first === undefined) throw new UsageError("concat got no tensors; give at least one.");
  const along = axisOf("concat", axis, first);
  for (const part of list) {
    expectFloat("concat", part);
    const fits =
      part.rank === first.rank && part.shape.every((n, k) => k === along || n === first.shape[k]);
    if (!fits) {
      throw new ShapeError(
        `concat along axis ${axis} cannot join [${first.shape}] and [${part.shape}]; all other axes must have the same size.`,
      );
    }
  }
  if (list.length <= MOST_PARTS) return join(list, along);
  return composite(first, () => join(list, along));
}

function join(list: readonly Tensor[], axis: number): Tensor {
  if (list.length > MOST_PARTS) {
    const groups = Array.from({ length: Math.ceil(list.length / MOST_PARTS) }, (_, i) =>
      join(list.slice(i * MOST_PARTS, (i + 1) * MOST_PARTS), axis),
    );
    return join(groups, axis);
  }
  let total = 0;
  for (const part of list) total += part.shape[axis] ?? 0;
  const shape = (list[0]?.shape ?? []).map((n, k) => (k === axis ? total : n));
  return apply(Op.Concat, list, shape, { axis });
}

function checkIndex(op: string, index: Tensor, x: Tensor, axis: number): void {
  const within = `axis ${axis} of [${x.shape}]`;
  expectIndices(index, { op, name: "index", limit: x.shape[axis] ?? 0, within });
}

/**
 * y[.., i, ..] = x[.., index[.., i, ..], ..] along `axis` (PyTorch's `gather`). `index` has as many axes as x, and
 * all but `axis` are at most as long.
 * @throws ShapeError naming both shapes, UsageError for an index outside the axis.
 */
export function gather(x: Tensor, axis: number, index: Tensor): Tensor {
  expectFloat("gather", x);
  const along = axisOf("gather", axis, x);
  expectTensor("gather", index);
  const fits =
    index.rank === x.rank && index.shape.every((n, k) => k === along || n <= (x.shape[k] ?? 0));
  if (!fits) {
    throw new ShapeError(
      `gather along axis ${axis} got x [${x.shape}] and an index of [${index.shape}]; ` +
        "the index must have as many axes, all others at most as long.",
    );
  }
  checkIndex("gather", index, x, along);
  return apply(Op.Gather, [x, index], index.shape, { axis: along, whole: 0 });
}

/**
 * Whole slices of x: y[.., i, ..] = x[.., index[i], ..] along `axis`, index [n] (PyTorch's `index_select`).
 * @throws ShapeError naming both shapes, UsageError for an index outside the axis.
 */
export function indexSelect(x: Tensor, axis: number, index: Tensor): Tensor {
  expectFloat("indexSelect", x);
  const along = axisOf("indexSelect", axis, x);
  expectTensor("indexSelect", index);
  if (index.rank !== 1) {
    throw new ShapeError(
      `indexSelect got x [${x.shape}] and an index of [${index.shape}]; the index must have one axis.`,
    );
  }
  checkIndex("indexSelect", index, x, along);
  const shape = x.shape.map((n, k) => (k === along ? index.size : n));
  return apply(Op.Gather, [x, index], shape, { axis: along, whole: 1 });
}
