// Functions of one number, applied to every element.

import { UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { Op, type OpOf } from "../core/op.ts";
import { expectOptions, NO_OPTIONS, type OptionNames } from "../core/options.ts";
import { apply } from "./apply.ts";
import { expectFloat } from "./check.ts";
import type { Tensor } from "./tensor.ts";

function map(op: OpOf<never, never>, name: string, x: Tensor): Tensor {
  expectFloat(name, x);
  return apply(op, [x], x.shape, {});
}

/** −x. */
export function neg(x: Tensor): Tensor {
  return map(Op.Neg, "neg", x);
}

/** e^x. */
export function exp(x: Tensor): Tensor {
  return map(Op.Exp, "exp", x);
}

/** The natural logarithm; −∞ at 0, NaN below. */
export function log(x: Tensor): Tensor {
  return map(Op.Log, "log", x);
}

/** The square root; NaN below 0. */
export function sqrt(x: Tensor): Tensor {
  return map(Op.Sqrt, "sqrt", x);
}

/** (e^x − e^−x) / (e^x + e^−x). */
export function tanh(x: Tensor): Tensor {
  return map(Op.Tanh, "tanh", x);
}

/** 1 / (1 + e^−x). */
export function sigmoid(x: Tensor): Tensor {
  return map(Op.Sigmoid, "sigmoid", x);
}

/** max(x, 0); the gradient at 0 is 0. */
export function relu(x: Tensor): Tensor {
  return map(Op.Relu, "relu", x);
}

/** Which GELU: with the error function, or GPT-2's approximation of it. */
export interface GeluOptions {
  /** Default "none": exact. */
  readonly approximate?: "none" | "tanh";
}

const GELU_OPTIONS: OptionNames<GeluOptions> = { approximate: true };

/** x·P(Z ≤ x) with Z standard normal, or x/2·(1 + tanh(sqrt(2/π)·(x + 0.044715·x³))) (arXiv:1606.08415). */
export function gelu(x: Tensor, options: GeluOptions = NO_OPTIONS): Tensor {
  expectOptions(options, GELU_OPTIONS, "gelu");
  const { approximate = "none" } = options;
  if (approximate !== "none" && approximate !== "tanh") {
    throw new UsageError(`approximate is ${kindOf(approximate)}; it must be "none" or "tanh".`);
  }
  return map(approximate === "tanh" ? Op.GeluTanh : Op.Gelu, "gelu", x);
}

/** x·sigmoid(x). */
export function silu(x: Tensor): Tensor {
  return map(Op.Silu, "silu", x);
}
