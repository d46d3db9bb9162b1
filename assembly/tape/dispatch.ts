// The list of ops, and the questions that the engine asks them.
//
// An op is a class that extends the record of a tensor by its attributes; its methods say all that the engine wants to
// know. Its file in ops/ holds forward and backward side by side. A line of the list has its code and its class, or
// the class of its family and its own; scripts/build.mjs reads the list and the attributes for src/core/.
//
//   forward, backward   run this thread's share of the op; every thread computes its own slice of the output
//   nanoseconds         a rough cost of one run on one thread, which decides whether more threads pay
//   savedBytes          what forward leaves for backward, in `saved`
//   scratchBytes        temporary memory of one run, for all threads together, in `State.scratch`
//   readsSource(i)      does backward read the values of source i?
//   readsResult         does backward read the op's own values?
// An op without one of these does not compile. What follows may be left out, which costs time or memory only:
//   storesGradients     backward writes into gradients that hold nothing yet (Flag.Unwritten), which else are zeroed
//   replacesInput       backward may write the gradient of source 0 over its values
//   hasSlope            forward may leave f'(x) in the place of source 0 (ops/activation.ts)
//   readsPanels(i)      source i may lie as packed panels; other sources are given in rows
//
// Code of an op that is not in the list traps. The list is a `switch` and not an array of functions, because function
// values would put an element section into the module.

import { Activation } from "../ops/activation";
import { Attention } from "../ops/attention/attention";
import { CrossEntropy } from "../ops/crossEntropy";
import { Dropout } from "../ops/dropout";
import { Add, Div, Elementwise, Mul, Sub } from "../ops/elementwise";
import { Embedding } from "../ops/embedding";
import { Exp, Log, Neg, Relu, Sqrt, Tanh } from "../ops/formula";
import { Gelu, GeluTanh, Sigmoid, Silu } from "../ops/gate";
import { Gather } from "../ops/gather";
import { Linear } from "../ops/linear";
import { LinearCrossEntropy } from "../ops/linearCrossEntropy";
import { Matmul } from "../ops/matmul";
import { LayerNorm, Norm, RmsNorm } from "../ops/norm";
import { Max, Mean, Reduce, Sum } from "../ops/reduce";
import { Rope } from "../ops/rope";
import { Concat, Slice } from "../ops/slice";
import { LogSoftmax, Softmax } from "../ops/softmax";
import { Transpose } from "../ops/transpose";
import { WriteCache } from "../ops/writeCache";
import { Op } from "../tensor/op";
import { Tensor, tensor } from "../tensor/tensor";
import { Job } from "../threads/job";

/** Asks the op with a code the question `Q` about the record y; a and b are the question's own arguments. */
function ask<Q, R>(code: i32, y: Tensor, a: i32, b: i32): R {
  const q = changetype<Q>(0);
  // biome-ignore format: one op a line
  switch (code) {
    case 3: return q.of<Transpose>(y, a, b);
    case 4: return q.of<Slice>(y, a, b);
    case 5: return q.of<Concat>(y, a, b);
    case 6: return q.of<Gather>(y, a, b);
    case 8: return q.of<Elementwise<Add>>(y, a, b);
    case 9: return q.of<Elementwise<Sub>>(y, a, b);
    case 10: return q.of<Elementwise<Mul>>(y, a, b);
    case 11: return q.of<Elementwise<Div>>(y, a, b);
    case 12: return q.of<Activation<Neg>>(y, a, b);
    case 13: return q.of<Activation<Exp>>(y, a, b);
    case 14: return q.of<Activation<Log>>(y, a, b);
    case 15: return q.of<Activation<Sqrt>>(y, a, b);
    case 16: return q.of<Activation<Tanh>>(y, a, b);
    case 17: return q.of<Activation<Sigmoid>>(y, a, b);
    case 18: return q.of<Activation<Relu>>(y, a, b);
    case 19: return q.of<Activation<GeluTanh>>(y, a, b);
    case 20: return q.of<Activation<Gelu>>(y, a, b);
    case 21: return q.of<Activation<Silu>>(y, a, b);
    case 24: return q.of<Reduce<Sum>>(y, a, b);
    case 25: return q.of<Reduce<Mean>>(y, a, b);
    case 26: return q.of<Reduce<Max>>(y, a, b);
    case 28: return q.of<Softmax>(y, a, b);
    case 29: return q.of<LogSoftmax>(y, a, b);
    case 30: return q.of<CrossEntropy>(y, a, b);
    case 31: return q.of<Norm<LayerNorm>>(y, a, b);
    case 32: return q.of<Norm<RmsNorm>>(y, a, b);
    case 36: return q.of<Embedding>(y, a, b);
    case 37: return q.of<Rope>(y, a, b);
    case 38: return q.of<Attention>(y, a, b);
    case 39: return q.of<Dropout>(y, a, b);
    case 40: return q.of<WriteCache>(y, a, b);
    case 44: return q.of<Matmul>(y, a, b);
    case 45: return q.of<Linear>(y, a, b);
    case 46: return q.of<LinearCrossEntropy>(y, a, b);
  }
  return unreachable();
}

// @ts-ignore: decorator
@unmanaged
class Forward {
  // @ts-ignore: decorator
  @inline
  of<K>(y: Tensor, a: i32, b: i32): bool {
    changetype<K>(y).forward(a, b);
    return true;
  }
}

// @ts-ignore: decorator
@unmanaged
class Backward {
  // @ts-ignore: decorator
  @inline
  of<K>(y: Tensor, a: i32, b: i32): bool {
    changetype<K>(y).backward(a, b);
    return true;
  }
}

// @ts-ignore: decorator
@unmanaged
class Nanoseconds {
  // @ts-ignore: decorator
  @inline
  of<K>(y: Tensor, a: i32, _b: i32): f64 {
    return changetype<K>(y).nanoseconds(a);
  }
}

// @ts-ignore: decorator
@unmanaged
class SavedBytes {
  // @ts-ignore: decorator
  @inline
  of<K>(y: Tensor, _a: i32, _b: i32): usize {
    return changetype<K>(y).savedBytes();
  }
}

// @ts-ignore: decorator
@unmanaged
class ScratchBytes {
  // @ts-ignore: decorator
  @inline
  of<K>(y: Tensor, a: i32, b: i32): usize {
    return changetype<K>(y).scratchBytes(a, b);
  }
}

// @ts-ignore: decorator
@unmanaged
class ReadsSource {
  // @ts-ignore: decorator
  @inline
  of<K>(y: Tensor, a: i32, _b: i32): bool {
    return changetype<K>(y).readsSource(a);
  }
}

// @ts-ignore: decorator
@unmanaged
class ReadsResult {
  // @ts-ignore: decorator
  @inline
  of<K>(y: Tensor, _a: i32, _b: i32): bool {
    return changetype<K>(y).readsResult();
  }
}

// @ts-ignore: decorator
@unmanaged
class StoresGradients {
  // @ts-ignore: decorator
  @inline
  of<K>(y: Tensor, _a: i32, _b: i32): bool {
    if (isDefined(changetype<K>(y).storesGradients)) return changetype<K>(y).storesGradients();
    return false;
  }
}

// @ts-ignore: decorator
@unmanaged
class ReplacesInput {
  // @ts-ignore: decorator
  @inline
  of<K>(y: Tensor, _a: i32, _b: i32): bool {
    if (isDefined(changetype<K>(y).replacesInput)) return changetype<K>(y).replacesInput();
    return false;
  }
}

// @ts-ignore: decorator
@unmanaged
class HasSlope {
  // @ts-ignore: decorator
  @inline
  of<K>(y: Tensor, _a: i32, _b: i32): bool {
    if (isDefined(changetype<K>(y).hasSlope)) return changetype<K>(y).hasSlope();
    return false;
  }
}

// @ts-ignore: decorator
@unmanaged
class ReadsPanels {
  // @ts-ignore: decorator
  @inline
  of<K>(y: Tensor, a: i32, _b: i32): bool {
    if (isDefined(changetype<K>(y).readsPanels)) return changetype<K>(y).readsPanels(a);
    return false;
  }
}

export function forward(t: Tensor, thread: i32, threads: i32): void {
  ask<Forward, bool>(t.op, t, thread, threads);
}

export function backward(t: Tensor, thread: i32, threads: i32): void {
  ask<Backward, bool>(t.op, t, thread, threads);
}

export function nanoseconds(t: Tensor, job: Job): f64 {
  return ask<Nanoseconds, f64>(t.op, t, job, 0);
}

export function savedBytes(t: Tensor): usize {
  return ask<SavedBytes, usize>(t.op, t, 0, 0);
}

export function scratchBytes(t: Tensor, job: Job, threads: i32): usize {
  return ask<ScratchBytes, usize>(t.op, t, job, threads);
}

export function readsSource(t: Tensor, i: i32): bool {
  return ask<ReadsSource, bool>(t.op, t, i, 0);
}

export function readsResult(t: Tensor): bool {
  return ask<ReadsResult, bool>(t.op, t, 0, 0);
}

export function storesGradients(t: Tensor): bool {
  return ask<StoresGradients, bool>(t.op, t, 0, 0);
}

export function replacesInput(t: Tensor): bool {
  return ask<ReplacesInput, bool>(t.op, t, 0, 0);
}

export function hasSlope(t: Tensor): bool {
  return ask<HasSlope, bool>(t.op, t, 0, 0);
}

/** Does the op with a code read its source `i` in rows and as panels? Views and actions do not. */
export function readsPanels(code: i32, i: i32): bool {
  if (code <= Op.Detach || code >= Op.Recompute) return false;
  return ask<ReadsPanels, bool>(code, tensor(0), i, 0);
}
