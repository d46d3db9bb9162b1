// Softmax and its logarithm.

import { Op, type OpOf } from "../core/op.ts";
import { apply } from "./apply.ts";
import { axisOf, expectFloat } from "./check.ts";
import { composite } from "./scope.ts";
import { transpose } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

function along(op: OpOf<never, never>, name: string, x: Tensor, axis: number): Tensor {
  expectFloat(name, x);
  const from = axisOf(name, axis, x);
  if (from === x.rank - 1) return apply(op, [x], x.shape, {});
  // The engine works along rows.
  return composite(x, () => {
    const turned = transpose(x, from, -1);
    return transpose(apply(op, [turned], turned.shape, {}), from, -1);
  });
}

/**
 * e^x / Σ e^x along `axis` (the last one when not given): positive numbers that add up to 1.
 * @throws ShapeError for a scalar, an axis that does not exist, or int32.
 */
export function softmax(x: Tensor, axis = -1): Tensor {
  return along(Op.Softmax, "softmax", x, axis);
}

/**
 * x − ln Σ e^x along `axis` (the last one when not given), exact also where the softmax underflows.
 * @throws ShapeError for a scalar, an axis that does not exist, or int32.
 */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  return along(Op.LogSoftmax, "logSoftmax", x, axis);
}
