// y = a + b, a − b, a · b, a / b, with NumPy's broadcasting: shapes are aligned at their last axes, and an axis of
// size 1 (or none) is repeated. An operand may be a number instead of a tensor:
//   i0  0: both are tensors; 1: a is the number f0; 2: b is the number f0
//
//   add  da = g      sub  da = g       mul  da = g·b     div  da = g / b
//        db = g           db = −g           db = g·a          db = −g·(y / b)
// each summed over the axes that were broadcast, in order.

import { MINUS_ONE } from "../math/constants";
import { Op } from "../tensor/op";
import { Walk } from "../tensor/strides";
import { accumulates, dim, gradient, Share, source, Tensor, tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { addWork } from "../threads/threads";
import { map } from "./elementwiseLoop";
import { Term } from "./functor";
import { fold, foldGroup } from "./reduceLoop";

export const enum NumberAt {
  None = 0,
  First = 1,
  Second = 2,
}

// A number's record is the record at address 0, whose rank is 0.
function first(y: Tensor): Tensor {
  return y.i0 == NumberAt.First ? tensor(0) : source(y, 0);
}

function second(y: Tensor): Tensor {
  if (y.i0 == NumberAt.Second) return tensor(0);
  return source(y, y.i0 == NumberAt.None ? 1 : 0);
}

function dataOf(y: Tensor, operand: Tensor): usize {
  return changetype<usize>(operand) == 0
    ? changetype<usize>(y) + offsetof<Tensor>("f0")
    : operand.data;
}

// Size of the axis that is `i` steps from the last.
function dimFromLast(t: Tensor, i: i32): i32 {
  return i < t.rank ? dim(t, t.rank - 1 - i) : 1;
}

export function elementwiseNanoseconds(y: Tensor, job: Job): f64 {
  return <f64>y.size * (job == Job.Forward ? 0.3 : 0.6);
}

export function elementwiseForward(y: Tensor, thread: i32, threads: i32): void {
  const a = first(y);
  const b = second(y);
  const walk = Walk.of(thread, 0);
  let aStride = 1;
  let bStride = 1;
  for (let i = 0; i < y.rank; i++) {
    const n = dimFromLast(y, i);
    const inA = dimFromLast(a, i);
    const inB = dimFromLast(b, i);
    walk.add(n, inA == 1 ? 0 : aStride, inB == 1 ? 0 : bStride, 0);
    aStride *= inA;
    bStride *= inB;
  }
  const begin = Share.begin(y.size, 16, thread, threads);
  const end = Share.end(y.size, 16, thread, threads);
  map(termOf(y.op), true, false, y.data, dataOf(y, a), 0, dataOf(y, b), 0, walk, begin, end);
  addWork(thread, end - begin);
}

function termOf(op: i32): Term {
  if (op == Op.Add) return Term.Add;
  if (op == Op.Sub) return Term.Sub;
  return op == Op.Mul ? Term.Mul : Term.Div;
}

export function elementwiseBackward(y: Tensor, thread: i32, threads: i32): void {
  const a = first(y);
  const b = second(y);
  const op = y.op;
  if (changetype<usize>(a) != 0) {
    let term = Term.Plain;
    if (op == Op.Mul) term = Term.Mul;
    if (op == Op.Div) term = Term.Div;
    addGradient(y, a, b, dataOf(y, b), term, thread, threads);
  }
  if (changetype<usize>(b) != 0) {
    if (op == Op.Sub) addGradient(y, b, tensor(0), MINUS_ONE, Term.Mul, thread, threads);
    else {
      let term = Term.Plain;
      if (op == Op.Mul) term = Term.Mul;
      if (op == Op.Div) term = Term.Divisor;
      addGradient(y, b, a, dataOf(y, a), term, thread, threads);
    }
  }
}

// Adds to the gradient of x, a source of y, whose partner in the op is `other`.
function addGradient(
  y: Tensor,
  x: Tensor,
  other: Tensor,
  otherData: usize,
  term: Term,
  thread: i32,
  threads: i32,
): void {
  const dx = gradient(x);
  if (dx == 0) return;
  const kept = Walk.of(thread, 0);
  const folded = Walk.of(thread, 1);
  let yStride = 1;
  let xStride = 1;
  let otherStride = 1;
  for (let i = 0; i < y.rank; i++) {
    const n = dimFromLast(y, i);
    const inX = dimFromLast(x, i);
    const inOther = dimFromLast(other, i);
    const otherStep = inOther == 1 ? 0 : otherStride;
    if (inX == n) kept.add(n, yStride, otherStep, xStride);
    else folded.add(n, yStride, otherStep, 0);
    yStride *= n;
    xStride *= inX;
    otherStride *= inOther;
  }
  const group = foldGroup(x.size, threads);
  const begin = Share.begin(x.size, group, thread, threads);
  const end = Share.end(x.size, group, thread, threads);
  const adds = accumulates(x);
  if (folded.rank == 0) {
    map(term, false, adds, dx, y.grad, y.data, otherData, x.data, kept, begin, end);
  } else {
    const rows = folded.axis(0).a == 1;
    if (!adds && begin < end) {
      memory.fill(dx + ((<usize>begin) << 2), 0, (<usize>(end - begin)) << 2);
    }
    fold(term, rows, dx, y.grad, y.data, otherData, x.data, kept, folded, begin, end);
  }
  addWork(thread, end - begin);
}
