// What backward reads of what forward made. All else may be given up once forward is past it: a segment that runs again
// skips it (recompute.ts), a captured step uses its memory for something else (memoryPlan.ts). An op that is not named is
// taken to read everything, and to write gradients elsewhere.

import { Op } from "../tensor/op";
import { ownerOf, requiresGrad, source, Tensor } from "../tensor/tensor";

/** Does the backward pass of `t` read the values of its source `i`? */
export function backwardReadsSource(t: Tensor, i: i32): bool {
  switch (t.op) {
    case Op.Transpose:
    case Op.Slice:
    case Op.Concat:
    case Op.Add:
    case Op.Sub:
    case Op.Neg:
    case Op.Exp:
    case Op.Sqrt:
    case Op.Tanh:
    case Op.Sigmoid:
    case Op.Sum:
    case Op.Mean:
    case Op.Softmax:
    case Op.LogSoftmax:
    case Op.Dropout:
      return false;
    case Op.Gather:
    case Op.Div:
    case Op.Rope:
      return i > 0;
    case Op.Mul:
      return requiresGrad(source(t, 1 - i));
    case Op.LayerNorm:
    case Op.RmsNorm:
      return i < 2;
    case Op.Linear:
      // x is a factor of dW and of dA alone.
      return (
        i > 0 || requiresGrad(source(t, 1)) || (t.i1 != 0 && requiresGrad(source(t, 2 + t.i0)))
      );
    default:
      return true;
  }
}

/** Does the backward pass of `t` read its own values? */
export function backwardReadsResult(t: Tensor): bool {
  switch (t.op) {
    case Op.Exp:
    case Op.Sqrt:
    case Op.Tanh:
    case Op.Sigmoid:
    case Op.Div:
    case Op.Max:
    case Op.Softmax:
    case Op.LogSoftmax:
    case Op.Attention:
      return true;
    default:
      return false;
  }
}

/**
 * May the backward pass of `t` write the gradient of its source `i` over the values of it, if it is the first to write that
 * gradient and the last to read those values?
 */
export function backwardReplaces(t: Tensor, i: i32): bool {
  if (i != 0) return false;
  // A tensor may be several sources. Its gradient is cleared first then, and a detached one is read as it was.
  for (let j = 1; j < t.sources; j++)
    if (ownerOf(source(t, j)) == ownerOf(source(t, 0))) return false;
  switch (t.op) {
    case Op.Log:
    case Op.Relu:
    case Op.GeluTanh:
    case Op.Gelu:
    case Op.Silu:
    case Op.CrossEntropy:
    case Op.LinearCrossEntropy:
      return true;
    case Op.Linear:
      // dW comes after dX and reads x.
      return !requiresGrad(source(t, 1));
    default:
      return false;
  }
}
