// The loss of next-token prediction.

import { ShapeError, UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { type Attributes, Op } from "../core/op.ts";
import { expectOptions, NO_OPTIONS, type OptionNames } from "../core/options.ts";
import { apply } from "./apply.ts";
import { expectFloat, expectTensor } from "./check.ts";
import { mul } from "./elementwise.ts";
import { expectIndices } from "./indices.ts";
import { composite } from "./scope.ts";
import { Tensor } from "./tensor.ts";

/** Which rows count in a cross-entropy, and how they are put together. */
export interface CrossEntropyOptions {
  /** The target that leaves a row out; default −100. */
  readonly ignoreIndex?: number;
  /** "mean" over the rows that count (default), or their "sum". */
  readonly reduction?: "mean" | "sum";
  /** A scalar that multiplies the loss; default 1. */
  readonly factor?: Tensor;
}

export const CROSS_ENTROPY_OPTIONS: OptionNames<CrossEntropyOptions> = {
  ignoreIndex: true,
  reduction: true,
  factor: true,
};

/** The attributes of a loss; checks targets, which must be `shape` of int32 in [0, classes). */
export function lossAttributes(
  op: string,
  shape: readonly number[],
  classes: number,
  targets: Tensor,
  options: CrossEntropyOptions,
): Attributes<"ignoreIndex" | "mean"> {
  expectTensor(op, targets);
  const { ignoreIndex = -100, reduction = "mean", factor } = options;
  if (`${targets.shape}` !== `${shape}` || targets.rank !== shape.length) {
    throw new ShapeError(
      `${op} got targets of [${targets.shape}] for ${classes} classes in rows of [${shape}]; expected one target a row.`,
    );
  }
  if (typeof ignoreIndex !== "number" || (ignoreIndex | 0) !== ignoreIndex) {
    throw new UsageError(
      `ignoreIndex is ${kindOf(ignoreIndex)}; it must be a whole number of 32 bits.`,
    );
  }
  if (reduction !== "mean" && reduction !== "sum") {
    throw new UsageError(`reduction is ${kindOf(reduction)}; it must be "mean" or "sum".`);
  }
  if (factor !== undefined && !(factor instanceof Tensor)) {
    throw new UsageError(
      `${op} got ${kindOf(factor)} as factor; it must be a tensor of shape [], as tensor(0.5) makes one.`,
    );
  }
  if (factor !== undefined && (factor.rank !== 0 || factor.dtype !== "float32")) {
    throw new ShapeError(
      `${op} got a factor of ${factor.dtype} [${factor.shape}]; expected one float32 number, a tensor of shape [].`,
    );
  }
  expectIndices(targets, { op, name: "target", limit: classes, except: ignoreIndex });
  return { ignoreIndex, mean: Number(reduction === "mean") };
}

/**
 * −ln softmax(logits)[target] in nats: the mean or sum over the rows whose target is not `ignoreIndex`, a scalar.
 * When no row counts, the loss and its gradient are 0.
 * @param logits [..., V]
 * @param targets int32 [...]
 * @throws ShapeError naming both shapes; UsageError for a target outside [0, V), with its index and value.
 */
export function crossEntropy(
  logits: Tensor,
  targets: Tensor,
  options: CrossEntropyOptions = NO_OPTIONS,
): Tensor {
  expectFloat("crossEntropy", logits);
  expectOptions(options, CROSS_ENTROPY_OPTIONS, "crossEntropy");
  if (logits.rank === 0) {
    throw new ShapeError("crossEntropy got logits that are a single number; expected [..., V].");
  }
  const classes = logits.shape.at(-1) ?? 0;
  const rows = logits.shape.slice(0, -1);
  const attributes = lossAttributes("crossEntropy", rows, classes, targets, options);
  const loss = (): Tensor => apply(Op.CrossEntropy, [logits, targets], [], attributes);
  const { factor } = options;
  return factor === undefined ? loss() : composite(logits, () => mul(loss(), factor));
}
