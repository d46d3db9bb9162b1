// Normalisation over the last axis.

import { ShapeError, UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { Op } from "../core/op.ts";
import { apply } from "./apply.ts";
import { expectFloat, expectTensor } from "./check.ts";
import type { Tensor } from "./tensor.ts";

function expectOperands(op: string, x: Tensor, parameters: readonly Tensor[], eps: number): void {
  expectFloat(op, x);
  const n = x.shape.at(-1);
  for (const p of parameters) {
    expectTensor(op, p);
    if (n === undefined || p.rank !== 1 || p.shape[0] !== n || p.dtype !== "float32") {
      throw new ShapeError(
        `${op} got x [${x.shape}] and a parameter of ${p.dtype} [${p.shape}]; expected x [..., D] and float32 [D].`,
      );
    }
  }
  if (!(typeof eps === "number" && eps >= 0))
    throw new UsageError(`eps is ${kindOf(eps)}; it must be a number of at least 0.`);
}

/**
 * (x − mean) / sqrt(variance + eps) · weight + bias over the last axis (Ba et al. 2016, arXiv:1607.06450, eq. 4).
 * @param x [..., D]
 * @param weight [D]
 * @param bias [D], or null
 * @throws ShapeError naming the shapes that do not fit.
 */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor | null, eps: number): Tensor {
  const parameters = bias === null ? [weight] : [weight, bias];
  expectOperands("layerNorm", x, parameters, eps);
  return apply(Op.LayerNorm, [x, ...parameters], x.shape, {
    hasBias: Number(bias !== null),
    eps,
  });
}

/**
 * x / sqrt(mean(x²) + eps) · weight over the last axis (Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4).
 * @param x [..., D]
 * @param weight [D]
 * @throws ShapeError naming the shapes that do not fit.
 */
export function rmsNorm(x: Tensor, weight: Tensor, eps: number): Tensor {
  expectOperands("rmsNorm", x, [weight], eps);
  return apply(Op.RmsNorm, [x, weight], x.shape, { hasBias: 0, eps });
}
