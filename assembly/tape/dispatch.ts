// The op table: what an op code means. A `switch` and not an array of functions, because function values would
// put an element section into the module.
//
//   forward, backward   run this thread's share of the op; every thread computes its own slice of the output
//   savedBytes          what forward leaves for backward, in `Tensor.saved`
//   scratchBytes        temporary memory of one run, for all threads together, in `State.scratch`
//   nanoseconds         a rough cost of one run on one thread, which decides whether more threads pay
//   storesGradients     does backward honour `Flag.Unwritten`? If not, gradient buffers are zeroed beforehand

import { activationBackward, activationForward, activationNanoseconds } from "../ops/activation";
import {
  attentionForward,
  attentionNanoseconds,
  attentionSaved,
  attentionScratch,
} from "../ops/attention/attention";
import { attentionBackward } from "../ops/attention/backward";
import {
  crossEntropyBackward,
  crossEntropyForward,
  crossEntropyNanoseconds,
  crossEntropySaved,
} from "../ops/crossEntropy";
import { dropoutBackward, dropoutForward, dropoutNanoseconds } from "../ops/dropout";
import {
  elementwiseBackward,
  elementwiseForward,
  elementwiseNanoseconds,
} from "../ops/elementwise";
import { embeddingBackward, embeddingForward, embeddingNanoseconds } from "../ops/embedding";
import { gatherBackward, gatherForward, gatherNanoseconds } from "../ops/gather";
import {
  linearBackward,
  linearForward,
  linearNanoseconds,
  linearSaved,
  linearScratch,
} from "../ops/linear";
import {
  linearCrossEntropyBackward,
  linearCrossEntropyForward,
  linearCrossEntropyNanoseconds,
  linearCrossEntropySaved,
  linearCrossEntropyScratch,
} from "../ops/linearCrossEntropy";
import { matmulBackward, matmulForward, matmulNanoseconds, matmulScratch } from "../ops/matmul";
import { normBackward, normForward, normNanoseconds, normSaved } from "../ops/norm";
import { reduceBackward, reduceForward, reduceNanoseconds, reduceSaved } from "../ops/reduce";
import { ropeBackward, ropeForward, ropeNanoseconds } from "../ops/rope";
import {
  concatBackward,
  concatForward,
  moveNanoseconds,
  sliceBackward,
  sliceForward,
} from "../ops/slice";
import { softmaxBackward, softmaxForward, softmaxNanoseconds } from "../ops/softmax";
import { transposeBackward, transposeForward } from "../ops/transpose";
import { writeCache } from "../ops/writeCache";
import { Op } from "../tensor/op";
import { Walk } from "../tensor/strides";
import { Tensor, tensor } from "../tensor/tensor";
import { Job } from "../threads/job";

export function forward(t: Tensor, thread: i32, threads: i32): void {
  switch (t.op) {
    case Op.Transpose:
      transposeForward(t, thread, threads);
      break;
    case Op.Slice:
      sliceForward(t, thread, threads);
      break;
    case Op.Concat:
      concatForward(t, thread, threads);
      break;
    case Op.Gather:
      gatherForward(t, thread, threads);
      break;
    case Op.Add:
    case Op.Sub:
    case Op.Mul:
    case Op.Div:
      elementwiseForward(t, thread, threads);
      break;
    case Op.Neg:
    case Op.Exp:
    case Op.Log:
    case Op.Sqrt:
    case Op.Tanh:
    case Op.Sigmoid:
    case Op.Relu:
    case Op.GeluTanh:
    case Op.Gelu:
    case Op.Silu:
      activationForward(t, thread, threads);
      break;
    case Op.Sum:
    case Op.Mean:
    case Op.Max:
      reduceForward(t, thread, threads);
      break;
    case Op.Softmax:
    case Op.LogSoftmax:
      softmaxForward(t, thread, threads);
      break;
    case Op.CrossEntropy:
      crossEntropyForward(t, thread, threads);
      break;
    case Op.LayerNorm:
    case Op.RmsNorm:
      normForward(t, thread, threads);
      break;
    case Op.Embedding:
      embeddingForward(t, thread, threads);
      break;
    case Op.Rope:
      ropeForward(t, thread, threads);
      break;
    case Op.Attention:
      attentionForward(t, thread, threads);
      break;
    case Op.WriteCache:
      writeCache(t, thread, threads);
      break;
    case Op.Dropout:
      dropoutForward(t, thread, threads);
      break;
    case Op.Matmul:
      matmulForward(t, thread, threads);
      break;
    case Op.Linear:
      linearForward(t, thread, threads);
      break;
    case Op.LinearCrossEntropy:
      linearCrossEntropyForward(t, thread, threads);
      break;
    default:
  }
}

export function backward(t: Tensor, thread: i32, threads: i32): void {
  switch (t.op) {
    case Op.Transpose:
      transposeBackward(t, thread, threads);
      break;
    case Op.Slice:
      sliceBackward(t, thread, threads);
      break;
    case Op.Concat:
      concatBackward(t, thread, threads);
      break;
    case Op.Gather:
      gatherBackward(t, thread, threads);
      break;
    case Op.Add:
    case Op.Sub:
    case Op.Mul:
    case Op.Div:
      elementwiseBackward(t, thread, threads);
      break;
    case Op.Neg:
    case Op.Exp:
    case Op.Log:
    case Op.Sqrt:
    case Op.Tanh:
    case Op.Sigmoid:
    case Op.Relu:
    case Op.GeluTanh:
    case Op.Gelu:
    case Op.Silu:
      activationBackward(t, thread, threads);
      break;
    case Op.Sum:
    case Op.Mean:
    case Op.Max:
      reduceBackward(t, thread, threads);
      break;
    case Op.Softmax:
    case Op.LogSoftmax:
      softmaxBackward(t, thread, threads);
      break;
    case Op.CrossEntropy:
      crossEntropyBackward(t, thread, threads);
      break;
    case Op.LayerNorm:
    case Op.RmsNorm:
      normBackward(t, thread, threads);
      break;
    case Op.Embedding:
      embeddingBackward(t, thread, threads);
      break;
    case Op.Rope:
      ropeBackward(t, thread, threads);
      break;
    case Op.Attention:
      attentionBackward(t, thread, threads);
      break;
    case Op.Dropout:
      dropoutBackward(t, thread, threads);
      break;
    case Op.Matmul:
      matmulBackward(t, thread, threads);
      break;
    case Op.Linear:
      linearBackward(t, thread, threads);
      break;
    case Op.LinearCrossEntropy:
      linearCrossEntropyBackward(t, thread, threads);
      break;
    default:
  }
}

export function savedBytes(t: Tensor): usize {
  switch (t.op) {
    case Op.Max:
      return reduceSaved(t);
    case Op.CrossEntropy:
      return crossEntropySaved(t);
    case Op.LayerNorm:
    case Op.RmsNorm:
      return normSaved(t);
    case Op.Attention:
      return attentionSaved(t);
    case Op.Linear:
      return linearSaved(t);
    case Op.LinearCrossEntropy:
      return linearCrossEntropySaved(t);
    default:
      return 0;
  }
}

export function scratchBytes(t: Tensor, job: Job, threads: i32): usize {
  switch (t.op) {
    case Op.Transpose:
    case Op.Gather:
    case Op.Add:
    case Op.Sub:
    case Op.Mul:
    case Op.Div:
    case Op.Sum:
    case Op.Mean:
    case Op.Max:
      return Walk.scratch(threads);
    case Op.Attention:
      return attentionScratch(t, job, threads);
    case Op.Matmul:
      return matmulScratch(t, job, threads);
    case Op.Linear:
      return linearScratch(t, job, threads);
    case Op.LinearCrossEntropy:
      return linearCrossEntropyScratch(t, job, threads);
    default:
      return 0;
  }
}

export function nanoseconds(t: Tensor, job: Job): f64 {
  switch (t.op) {
    case Op.Transpose:
    case Op.Slice:
    case Op.Concat:
      return moveNanoseconds(t, job);
    case Op.Gather:
      return gatherNanoseconds(t);
    case Op.Add:
    case Op.Sub:
    case Op.Mul:
    case Op.Div:
      return elementwiseNanoseconds(t, job);
    case Op.Neg:
    case Op.Exp:
    case Op.Log:
    case Op.Sqrt:
    case Op.Tanh:
    case Op.Sigmoid:
    case Op.Relu:
    case Op.GeluTanh:
    case Op.Gelu:
    case Op.Silu:
      return activationNanoseconds(t, job);
    case Op.Sum:
    case Op.Mean:
    case Op.Max:
      return reduceNanoseconds(t);
    case Op.Softmax:
    case Op.LogSoftmax:
      return softmaxNanoseconds(t, job);
    case Op.CrossEntropy:
      return crossEntropyNanoseconds(t);
    case Op.LayerNorm:
    case Op.RmsNorm:
      return normNanoseconds(t, job);
    case Op.Embedding:
      return embeddingNanoseconds(t);
    case Op.Rope:
      return ropeNanoseconds(t);
    case Op.Attention:
      return attentionNanoseconds(t, job);
    case Op.Dropout:
      return dropoutNanoseconds(t);
    case Op.Matmul:
      return matmulNanoseconds(t, job);
    case Op.Linear:
      return linearNanoseconds(t, job);
    case Op.LinearCrossEntropy:
      return linearCrossEntropyNanoseconds(t, job);
    default:
      // Elementwise and row-wise ops: about a nanosecond an element of the larger of output and first source.
      return <f64>(t.sources > 0 ? max<i32>(t.size, tensor(t.s0).size) : t.size);
  }
}

export function storesGradients(op: i32): bool {
  switch (op) {
    case Op.Add:
    case Op.Sub:
    case Op.Mul:
    case Op.Div:
    case Op.Neg:
    case Op.Exp:
    case Op.Log:
    case Op.Sqrt:
    case Op.Tanh:
    case Op.Sigmoid:
    case Op.Relu:
    case Op.GeluTanh:
    case Op.Gelu:
    case Op.Silu:
    case Op.Sum:
    case Op.Mean:
    case Op.Max:
    case Op.Softmax:
    case Op.LogSoftmax:
    case Op.CrossEntropy:
    case Op.LayerNorm:
    case Op.RmsNorm:
    case Op.Rope:
    case Op.Attention:
    case Op.Linear:
    case Op.LinearCrossEntropy:
      return true;
    default:
      return false;
  }
}
