// Sum, mean and maximum over a set of axes.

import { ShapeError } from "../core/error.ts";
import { Op, type OpOf } from "../core/op.ts";
import { expectOptions, NO_OPTIONS, type OptionNames } from "../core/options.ts";
import { apply } from "./apply.ts";
import { axisOf, expectFloat, expectList } from "./check.ts";
import type { Tensor } from "./tensor.ts";

/** Which axes a reduction removes. */
export interface ReduceOptions {
  /** Negative ones count from the back; all axes when not given. */
  readonly axes?: readonly number[];
  /** Keep the reduced axes, with size 1; default false. */
  readonly keepdim?: boolean;
}

const REDUCE_OPTIONS: OptionNames<ReduceOptions> = { axes: true, keepdim: true };

function reduce(
  op: OpOf<"axes", "count">,
  name: string,
  x: Tensor,
  options: ReduceOptions,
): Tensor {
  expectFloat(name, x);
  expectOptions(options, REDUCE_OPTIONS, name);
  if (options.axes !== undefined) expectList(name, "axes", options.axes);
  const axes = options.axes?.map((axis) => axisOf(name, axis, x)) ?? x.shape.map((_, axis) => axis);
  if (new Set(axes).size !== axes.length) {
    throw new ShapeError(
      `${name} got the axes [${options.axes}] for the shape [${x.shape}], which name one twice; name each once.`,
    );
  }
  let mask = 0;
  let count = 1;
  for (const axis of axes) {
    mask |= 1 << axis;
    count *= x.shape[axis] ?? 1;
  }
  const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  if (op === Op.Max && count === 0 && !kept.includes(0)) {
    throw new ShapeError(
      `max of a tensor of shape [${x.shape}] over the axes [${axes}] has no elements to choose from; reduce other axes.`,
    );
  }
  const shape = options.keepdim ? kept : x.shape.filter((_, axis) => !axes.includes(axis));
  return apply(op, [x], shape, { axes: mask, count });
}

/** The sum over the axes; an empty sum is 0. */
export function sum(x: Tensor, options: ReduceOptions = NO_OPTIONS): Tensor {
  return reduce(Op.Sum, "sum", x, options);
}

/** The mean over the axes; NaN over none. */
export function mean(x: Tensor, options: ReduceOptions = NO_OPTIONS): Tensor {
  return reduce(Op.Mean, "mean", x, options);
}

/**
 * The largest element over the axes, NaN if there is one. Elements that share the maximum share its gradient, as
 * in PyTorch's `amax`.
 * @throws ShapeError when there is nothing to choose from.
 */
export function max(x: Tensor, options: ReduceOptions = NO_OPTIONS): Tensor {
  return reduce(Op.Max, "max", x, options);
}
