// The output head and the loss as one op, for vocabularies whose logits would not fit.

import { ShapeError } from "../core/error.ts";
import { Op } from "../core/op.ts";
import { expectOptions, NO_OPTIONS, type OptionNames } from "../core/options.ts";
import { apply } from "./apply.ts";
import { expectTensor } from "./check.ts";
import {
  CROSS_ENTROPY_OPTIONS,
  type CrossEntropyOptions,
  crossEntropy,
  lossAttributes,
} from "./crossEntropy.ts";
import { mul } from "./elementwise.ts";
import { expectBranch, type LowRankBranch, linear } from "./linear.ts";
import { composite } from "./scope.ts";
import type { Tensor } from "./tensor.ts";

/** How the loss counts and averages, and a branch beside the weight. */
export interface LinearCrossEntropyOptions extends CrossEntropyOptions {
  /** Adds s·(x·Aᵀ)·Bᵀ to the logits. With dropout, logits are stored. */
  readonly lowRank?: LowRankBranch;
}

const LINEAR_CROSS_ENTROPY_OPTIONS: OptionNames<LinearCrossEntropyOptions> = {
  ...CROSS_ENTROPY_OPTIONS,
  lowRank: true,
};

/**
 * `crossEntropy(linear(x, weight), targets, options)` without storing the logits: they are made for 128 rows at a
 * time, and again in backward, unless the weight is frozen, the loss a mean or, without a branch, one with a factor, and its own
 * gradient 1. Loss and dX have the same bits; the gradients of weight, A and B are the same sums, chunk by chunk. Rows left out
 * cost nothing.
 * @param x [..., K]
 * @param weight W [V, K]; a frozen one may lie as packed panels
 * @param targets int32 [...]
 * @returns a scalar
 * @throws ShapeError naming the shapes; UsageError for a target outside [0, V), with its index and value.
 */
export function linearCrossEntropy(
  x: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = NO_OPTIONS,
): Tensor {
  expectTensor("linearCrossEntropy", x);
  expectTensor("linearCrossEntropy", weight);
  expectOptions(options, LINEAR_CROSS_ENTROPY_OPTIONS, "linearCrossEntropy");
  const { lowRank, factor, ...unscaled } = options;
  const k = x.shape.at(-1);
  const [classes = 0] = weight.shape;
  const areFloats = x.dtype === "float32" && weight.dtype === "float32";
  if (!areFloats || k === undefined || weight.rank !== 2 || weight.shape[1] !== k) {
    throw new ShapeError(
      `linearCrossEntropy cannot multiply x ${x.dtype} [${x.shape}] by a weight of ${weight.dtype} [${weight.shape}]: ` +
        "expected float32 x [..., K] and weight [V, K].",
    );
  }
  if (lowRank !== undefined && expectBranch(lowRank, classes, k) > 0) {
    const loss = factor === undefined ? unscaled : { ...unscaled, factor };
    return composite(x, () => crossEntropy(linear(x, weight, null, lowRank), targets, loss));
  }
  const rows = x.shape.slice(0, -1);
  const shared = lossAttributes("linearCrossEntropy", rows, classes, targets, options);
  if (factor?.requiresGrad) {
    const plain = lowRank === undefined ? unscaled : { ...unscaled, lowRank };
    return composite(x, () => mul(linearCrossEntropy(x, weight, targets, plain), factor));
  }
  const sources = [x, weight, targets];
  if (lowRank !== undefined) sources.push(lowRank.a, lowRank.b);
  if (factor !== undefined) sources.push(factor);
  const given = (part: unknown): number => Number(part !== undefined);
  return apply(Op.LinearCrossEntropy, sources, [], {
    ...shared,
    hasBranch: given(lowRank),
    frozen: Number(!weight.requiresGrad),
    hasFactor: given(factor),
    scale: lowRank?.scale ?? 1,
  });
}
