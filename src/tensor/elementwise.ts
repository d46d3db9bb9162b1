// Arithmetic element by element, with NumPy's broadcasting. Either operand may be a number.

import { ShapeError, UsageError } from "../core/error.ts";
import { Op, type OpOf } from "../core/op.ts";
import { apply } from "./apply.ts";
import { broadcastShape, expectFloat } from "./check.ts";
import type { Tensor } from "./tensor.ts";

// Where the engine finds a number operand: nowhere, first, second (assembly/ops/elementwise.ts).
const NO_NUMBER = 0;
const NUMBER_FIRST = 1;
const NUMBER_SECOND = 2;

function combine(
  op: OpOf<"numberAt", "number">,
  name: string,
  a: Tensor | number,
  b: Tensor | number,
): Tensor {
  if (typeof a === "number") {
    if (typeof b === "number") {
      throw new UsageError(`${name} got two numbers, ${a} and ${b}; one must be a tensor.`);
    }
    expectFloat(name, b);
    return apply(op, [b], b.shape, { numberAt: NUMBER_FIRST, number: a });
  }
  expectFloat(name, a);
  if (typeof b === "number") return apply(op, [a], a.shape, { numberAt: NUMBER_SECOND, number: b });
  expectFloat(name, b);
  const misfit = (m: number, n: number, axis: number): ShapeError =>
    new ShapeError(
      `${name} cannot broadcast [${a.shape}] with [${b.shape}]: axis ${axis} of the result would be ${m} and ${n} long. ` +
        "Sizes must be equal, or one of them 1.",
    );
  return apply(op, [a, b], broadcastShape(a.shape, b.shape, misfit), {
    numberAt: NO_NUMBER,
    number: 0,
  });
}

/**
 * a + b, with broadcasting.
 * @throws ShapeError naming both shapes when they do not broadcast.
 */
export function add(a: Tensor | number, b: Tensor | number): Tensor {
  return combine(Op.Add, "add", a, b);
}

/**
 * a − b, with broadcasting.
 * @throws ShapeError naming both shapes when they do not broadcast.
 */
export function sub(a: Tensor | number, b: Tensor | number): Tensor {
  return combine(Op.Sub, "sub", a, b);
}

/**
 * a · b element by element, with broadcasting.
 * @throws ShapeError naming both shapes when they do not broadcast.
 */
export function mul(a: Tensor | number, b: Tensor | number): Tensor {
  return combine(Op.Mul, "mul", a, b);
}

/**
 * a / b element by element, with broadcasting.
 * @throws ShapeError naming both shapes when they do not broadcast.
 */
export function div(a: Tensor | number, b: Tensor | number): Tensor {
  return combine(Op.Div, "div", a, b);
}
