// The op table: what an op code means. A `switch` and not an array of functions, because function values would
// put an element section into the module.
//
//   forward, backward   run this thread's share of the op; every thread computes its own slice of the output
//   savedBytes          what forward leaves for backward, in `Tensor.saved`
//   scratchBytes        temporary memory of one run, for all threads together, in `State.scratch`
//   nanoseconds         a rough cost of one run on one thread, which decides whether more threads pay
//   storesGradients     does backward honour `Flag.Fresh`? If not, gradient buffers are zeroed beforehand

import { Job } from "./job";
import { Op } from "./op";
import { linearBackward, linearForward, linearNanoseconds, linearSaved, linearScratch } from "./ops/linear";
import { matmulBackward, matmulForward, matmulNanoseconds, matmulScratch } from "./ops/matmul";
import { Tensor, tensor } from "./tensor";

export function forward(t: Tensor, thread: i32, threads: i32): void {
  switch (t.op) {
    case Op.Matmul:
      matmulForward(t, thread, threads);
      break;
    case Op.Linear:
      linearForward(t, thread, threads);
      break;
    default:
  }
}

export function backward(t: Tensor, thread: i32, threads: i32): void {
  switch (t.op) {
    case Op.Matmul:
      matmulBackward(t, thread, threads);
      break;
    case Op.Linear:
      linearBackward(t, thread, threads);
      break;
    default:
  }
}

export function savedBytes(t: Tensor): usize {
  switch (t.op) {
    case Op.Linear:
      return linearSaved(t);
    default:
      return 0;
  }
}

export function scratchBytes(t: Tensor, job: Job, threads: i32): usize {
  switch (t.op) {
    case Op.Matmul:
      return matmulScratch(t, job, threads);
    case Op.Linear:
      return linearScratch(t, job, threads);
    default:
      return 0;
  }
}

export function nanoseconds(t: Tensor, job: Job): f64 {
  switch (t.op) {
    case Op.Matmul:
      return matmulNanoseconds(t, job);
    case Op.Linear:
      return linearNanoseconds(t, job);
    default:
      // Elementwise and row-wise ops: about a nanosecond an element of the larger of output and first source.
      return <f64>(t.sources > 0 ? max<i32>(t.size, tensor(t.s0).size) : t.size);
  }
}

export function storesGradients(op: i32): bool {
  return op == Op.Linear;
}
