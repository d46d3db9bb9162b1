// The output head and the loss as one op, for vocabularies whose logits would not fit.

import { ShapeError } from "../core/error.ts";
import { Op } from "../core/op.ts";
import { apply } from "./apply.ts";
import { type CrossEntropyOptions, lossAttributes } from "./crossEntropy.ts";
import type { Tensor } from "./tensor.ts";

/**
 * `crossEntropy(linear(x, weight), targets, options)` without storing the logits: they are made for 128 rows at a
 * time, forward and again backward. The loss has the same bits; rows left out cost nothing.
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
  options: CrossEntropyOptions = {},
): Tensor {
  const k = x.shape.at(-1);
  const [classes = 0] = weight.shape;
  const areFloats = x.dtype === "float32" && weight.dtype === "float32";
  if (!areFloats || k === undefined || weight.rank !== 2 || weight.shape[1] !== k) {
    throw new ShapeError(
      `linearCrossEntropy cannot multiply x ${x.dtype} [${x.shape}] by a weight of ${weight.dtype} [${weight.shape}]: ` +
        "expected float32 x [..., K] and weight [V, K].",
    );
  }
  const rows = x.shape.slice(0, -1);
  const ints = lossAttributes("linearCrossEntropy", rows, classes, targets, options);
  return apply(Op.LinearCrossEntropy, [x, weight, targets], [], { ints });
}
