// Cross-entropy of logits [..., V] and targets [...] (int32): one number, the mean or sum of −ln softmax(x)[target]
// over the rows whose target is not ignoreIndex; 0, with a zero gradient, when there are none. See targets.ts.
// Forward keeps two numbers a row; backward makes the probabilities again.
//
// Sources: logits, targets

import { Job } from "../threads/job";
import { accumulates, gradient, Share, source, Tensor, width } from "../tensor/tensor";
import { addWork, barrier } from "../threads/threads";
import {
  clearOthers,
  countedRows,
  Entry,
  listRows,
  rowFactor,
  rowGradient,
  rowLoss,
  totalLoss,
} from "./targets";

// @ts-ignore: decorator
@unmanaged
export class CrossEntropy extends Tensor {
  ignoreIndex: i32;
  /** 1 for the mean, 0 for the sum. */
  mean: i32;

  nanoseconds(_job: Job): f64 {
    return <f64>source(this, 0).size * 1.3;
  }

  savedBytes(): usize {
    return Entry.bytes(source(this, 1).size);
  }

  scratchBytes(_job: Job, _threads: i32): usize {
    return 0;
  }

  readsSource(_i: i32): bool {
    return true;
  }

  readsResult(): bool {
    return false;
  }

  storesGradients(): bool {
    return true;
  }

  replacesInput(): bool {
    return true;
  }

  forward(thread: i32, threads: i32): void {
    crossEntropyForward(this, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    crossEntropyBackward(this, thread, threads);
  }
}

function crossEntropyForward(y: CrossEntropy, thread: i32, threads: i32): void {
  const logits = source(y, 0);
  const targets = source(y, 1);
  const v = width(logits);
  const saved = y.saved;
  if (thread == 0) listRows(saved, targets.data, targets.size, y.ignoreIndex);
  barrier(thread, threads);
  const n = countedRows(saved);
  const begin = Share.begin(n, 1, thread, threads);
  const end = Share.end(n, 1, thread, threads);
  for (let i = begin; i < end; i++) {
    const entry = Entry.of(saved, i);
    rowLoss(entry, logits.data + ((<usize>entry.row * <usize>v) << 2), v);
  }
  addWork(thread, <u64>(end - begin) * <u64>v);
  barrier(thread, threads);
  // One thread, one order: the number of threads does not change a bit.
  if (thread == 0) store<f32>(y.data, totalLoss(saved, y.mean != 0));
}

function crossEntropyBackward(y: CrossEntropy, thread: i32, threads: i32): void {
  const logits = source(y, 0);
  const dx = gradient(logits);
  if (dx == 0) return;
  const v = width(logits);
  const saved = y.saved;
  const add = accumulates(logits);
  const n = countedRows(saved);
  const c = rowFactor(saved, load<f32>(y.grad), y.mean != 0);
  if (!add) clearOthers(saved, dx, source(y, 1).size, v, thread, threads);
  const begin = Share.begin(n, 1, thread, threads);
  const end = Share.end(n, 1, thread, threads);
  for (let i = begin; i < end; i++) {
    const entry = Entry.of(saved, i);
    const at = (<usize>entry.row * <usize>v) << 2;
    rowGradient(entry, dx + at, logits.data + at, v, c, add);
  }
  addWork(thread, <u64>(end - begin) * <u64>v);
}
