// The matrix product.

import { ShapeError } from "../core/error.ts";
import { Op } from "../core/op.ts";
import { apply } from "./apply.ts";
import { broadcastShape, expectTensor } from "./check.ts";
import { composite } from "./scope.ts";
import type { Tensor } from "./tensor.ts";

function misfit(a: Tensor, b: Tensor, why: string): ShapeError {
  return new ShapeError(
    `matmul cannot multiply [${a.shape}] by [${b.shape}]: ${why}. Expected [..., M, K] by [..., K, N].`,
  );
}

/** A vector on either side becomes a matrix, and its axis goes again; in the engine of a, current or not. */
function throughMatrices(a: Tensor, b: Tensor): Tensor {
  return composite(a, () => {
    const left = a.rank === 1 ? a.reshape([1, a.size]) : a;
    const right = b.rank === 1 ? b.reshape([b.size, 1]) : b;
    const product = matmul(left, right);
    const shape = product.shape.slice();
    if (b.rank === 1) shape.splice(-1, 1);
    if (a.rank === 1) shape.splice(b.rank === 1 ? -1 : -2, 1);
    return product.reshape(shape);
  });
}

/**
 * a · b for a [..., M, K] and b [..., K, N]; leading axes broadcast. A vector counts as one row (a) or one column
 * (b), and its axis is dropped from the result, as in PyTorch.
 * @throws ShapeError naming both shapes.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  expectTensor("matmul", a);
  expectTensor("matmul", b);
  if (a.dtype !== "float32" || b.dtype !== "float32") {
    throw new ShapeError(
      `matmul needs float32 tensors, but got ${a.dtype} [${a.shape}] and ${b.dtype} [${b.shape}].`,
    );
  }
  if (a.rank === 0 || b.rank === 0) throw misfit(a, b, "a scalar has no axis to sum over");
  const k = a.shape.at(-1);
  const k2 = b.shape.at(b.rank === 1 ? -1 : -2);
  if (k !== k2) throw misfit(a, b, `the inner sizes ${k} and ${k2} differ`);
  if (a.rank === 1 || b.rank === 1) return throughMatrices(a, b);
  const m = a.shape.at(-2) ?? 0;
  const n = b.shape.at(-1) ?? 0;
  const leading = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2), (left, right) =>
    misfit(a, b, `their leading axes ${left} and ${right} do not broadcast`),
  );
  return apply(Op.Matmul, [a, b], [...leading, m, n], {});
}
