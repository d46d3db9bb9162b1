// Output head and loss in one op: crossEntropy(x·Wᵀ + s·(x·Aᵀ)·Bᵀ, targets) with x [..., K] and W [V, K] in rows or panels,
// A [r, K] and B [V, r] if there is a low-rank branch. Logits are made for 128 rows at a time and never stored whole. Rows
// that do not count (targets.ts) are not multiplied at all. The bits of the loss and of dX are those of linear and
// crossEntropy; dW, dA and dB are sums over chunks.
//   forward    per chunk: X' = its rows of x, t = s·X'·Aᵀ, L = X'·Wᵀ + t·Bᵀ, statistics of L's rows
//   gradients  per chunk: L = dL in place, dt = s·dL·B, dX' = dL·W + dt·A, dW += dLᵀ·X', dA += dtᵀ·X', dB += dLᵀ·t
// Backward makes L again, unless forward went ahead: if W is frozen and the loss a mean or, without a branch, one with a
// factor, whose own gradient is 1 where training starts from it, forward takes the gradients of a loss with gradient 1 from L
// while it is there.
//
// Sources: x, W, targets, then A, B if there is a branch, then the factor [] of the loss if it has one, which does not train
// scratch: | products | X' [128, K] | L [128, V] | t [128, r] | dt [128, r] | dX' [128, K], backward only |
// saved:   | rows that count | if ahead: dX' of all chunks [rows, K] | dA | dB |

import { bounded, lines } from "../memory/size";
import { count, Counter } from "../memory/state";
import { accumulates, gradient, Share, source } from "../tensor/tensor";
import { Job } from "../threads/job";
import { addWork, barrier } from "../threads/threads";
import { addRow } from "./copy";
import {
  CHUNK,
  gradients,
  HeadRecord,
  logits,
  moveRows,
  Parts,
  productScratch,
  rowsOf,
} from "./linearCrossEntropyChunk";
import { clearOthers, countedRows, Entry, listRows, rowFactor, totalLoss } from "./targets";

// @ts-ignore: decorator
@unmanaged
export class LinearCrossEntropy extends HeadRecord {
  nanoseconds(job: Job): f64 {
    return headNanoseconds(this, job);
  }

  savedBytes(): usize {
    return headSaved(this);
  }

  scratchBytes(job: Job, threads: i32): usize {
    return headScratch(this, job, threads);
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

  readsPanels(i: i32): bool {
    return i == 1;
  }

  forward(thread: i32, threads: i32): void {
    headForward(this, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    headBackward(this, thread, threads);
  }
}

function headSaved(y: HeadRecord): usize {
  const rows = y.rows;
  let bytes = <u64>((Entry.bytes(rows) + 63) & ~63);
  if (y.takesGradientsInForward) {
    const r = y.r;
    const k = y.k;
    bytes += <u64>lines(rows, k) + lines(r, k) + lines(y.v, r);
  }
  return bounded(bytes);
}

function headScratch(y: HeadRecord, job: Job, threads: i32): usize {
  const c = y.chunk;
  const k = y.k;
  const copies: u64 = job == Job.Forward ? 1 : 2;
  return bounded(
    <u64>productScratch(y, job, threads) +
      copies * lines(c, k) +
      <u64>lines(c, y.v) +
      2 * lines(c, y.r),
  );
}

function headNanoseconds(y: HeadRecord, job: Job): f64 {
  const one = (<f64>y.rows * <f64>y.v * <f64>y.k) / 12;
  return job == Job.Forward ? one : 3 * one;
}

/** This thread's share of n zeros. */
function clear(at: usize, n: i32, thread: i32, threads: i32): void {
  const begin = Share.begin(n, 16, thread, threads);
  const end = Share.end(n, 16, thread, threads);
  memory.fill(at + ((<usize>begin) << 2), 0, (<usize>(end - begin)) << 2);
}

function headForward(y: HeadRecord, thread: i32, threads: i32): void {
  const k = y.k;
  const saved = y.saved;
  const x = Parts.x(y, Job.Forward, threads);
  if (thread == 0) listRows(saved, source(y, 2).data, y.rows, y.ignoreIndex);
  barrier(thread, threads);
  const counted = countedRows(saved);
  const ahead = y.takesGradientsInForward;
  const mean = y.mean != 0;
  const c: f32 = ahead ? rowFactor(saved, y.factor, mean) : 0;
  for (let first = 0; first < counted; first += CHUNK) {
    const n = min(CHUNK, counted - first);
    logits(y, first, n, x, thread, threads);
    rowsOf(y, first, n, Parts.l(y, x), true, c, thread, threads);
    if (!ahead) continue;
    const dx = Parts.savedX(y) + ((<usize>first * <usize>k) << 2);
    const da: usize = y.hasBranch != 0 ? Parts.savedA(y) : 0;
    const db: usize = y.hasBranch != 0 ? Parts.savedB(y) : 0;
    const add = first > 0;
    gradients(y, first, n, x, dx, false, 0, 0, false, da, add, db, add, thread, threads);
  }
  if (thread != 0) return;
  store<f32>(y.data, totalLoss(saved, mean) * y.factor);
  count(Counter.ProductForward, 1);
}

/** Takes the gradients that forward has made, for a loss whose own gradient is 1. */
function takeAhead(y: HeadRecord, dx: usize, thread: i32, threads: i32): void {
  const counted = countedRows(y.saved);
  const k = y.k;
  if (dx != 0) moveRows(true, Parts.savedX(y), dx, k, y.saved, 0, counted, thread, threads);
  if (y.hasBranch == 0) return;
  for (let i = 3; i < 5; i++) {
    const to = gradient(source(y, i));
    if (to == 0) continue;
    barrier(thread, threads);
    const n = source(y, i).size;
    const begin = Share.begin(n, 16, thread, threads);
    const at = (<usize>begin) << 2;
    const from = i == 3 ? Parts.savedA(y) : Parts.savedB(y);
    if (!accumulates(source(y, i))) clear(to, n, thread, threads);
    if (counted > 0) addRow(to + at, from + at, Share.end(n, 16, thread, threads) - begin);
  }
}

function headBackward(y: HeadRecord, thread: i32, threads: i32): void {
  const input = source(y, 0);
  const weight = source(y, 1);
  const k = y.k;
  const saved = y.saved;
  const dx = gradient(input);
  const dw = gradient(weight);
  const da: usize = y.hasBranch != 0 ? gradient(source(y, 3)) : 0;
  const db: usize = y.hasBranch != 0 ? gradient(source(y, 4)) : 0;
  const x = Parts.x(y, Job.Backward, threads);
  const d = Parts.dx(y, x);
  const counted = countedRows(saved);
  const g = load<f32>(y.grad);
  const c = rowFactor(saved, g * y.factor, y.mean != 0);
  const addX = accumulates(input);
  if (dx != 0 && !addX) clearOthers(saved, dx, y.rows, k, thread, threads);
  if (thread == 0) {
    if (dx != 0) count(Counter.ProductInputGradient, 1);
    if (dw != 0) count(Counter.ProductWeightGradient, 1);
  }
  if (y.takesGradientsInForward && dw == 0 && g == 1 && !addX) {
    takeAhead(y, dx, thread, threads);
    return;
  }
  let addW = accumulates(weight);
  let addA = da == 0 || accumulates(source(y, 3));
  let addB = db == 0 || accumulates(source(y, 4));
  for (let first = 0; first < counted; first += CHUNK) {
    const n = min(CHUNK, counted - first);
    logits(y, first, n, x, thread, threads);
    if (dx != 0 && addX) moveRows(false, d, dx, k, saved, first, n, thread, threads);
    rowsOf(y, first, n, Parts.l(y, x), false, c, thread, threads);
    const own: usize = dx == 0 ? 0 : d;
    gradients(y, first, n, x, own, addX, dx, dw, addW, da, addA, db, addB, thread, threads);
    addW = true;
    addA = true;
    addB = true;
  }
  if (dw != 0 && !addW) clear(dw, weight.size, thread, threads);
  if (!addA) clear(da, source(y, 3).size, thread, threads);
  if (!addB) clear(db, source(y, 4).size, thread, threads);
  const products = <u64>(i32(dx != 0) + i32(dw != 0));
  addWork(thread, (<u64>counted * <u64>y.v * <u64>k * products) / <u64>threads);
}
