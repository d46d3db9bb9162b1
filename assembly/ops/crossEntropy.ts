// Cross-entropy of logits [..., V] and targets [...] (int32): one number, the mean or sum of −ln softmax(x)[target]
// over the rows whose target is not ignoreIndex; 0, with a zero gradient, when there are none. See targets.ts.
// Forward keeps two numbers a row; backward makes the probabilities again.
//
// Sources: logits, targets   i0: ignoreIndex   i1: 1 for the mean, 0 for the sum

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

export function crossEntropySaved(y: Tensor): usize {
  return Entry.bytes(source(y, 1).size);
}

export function crossEntropyNanoseconds(y: Tensor): f64 {
  return <f64>source(y, 0).size * 1.3;
}

export function crossEntropyForward(y: Tensor, thread: i32, threads: i32): void {
  const logits = source(y, 0);
  const targets = source(y, 1);
  const v = width(logits);
  const saved = y.saved;
  if (thread == 0) listRows(saved, targets.data, targets.size, y.i0);
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
  if (thread == 0) store<f32>(y.data, totalLoss(saved, y.i1 != 0));
}

export function crossEntropyBackward(y: Tensor, thread: i32, threads: i32): void {
  const logits = source(y, 0);
  const dx = gradient(logits);
  if (dx == 0) return;
  const v = width(logits);
  const saved = y.saved;
  const add = accumulates(logits);
  const n = countedRows(saved);
  const c = rowFactor(saved, load<f32>(y.grad), y.i1 != 0);
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
