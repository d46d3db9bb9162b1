// y = a + b, a − b, a · b, a / b, with NumPy's broadcasting: shapes are aligned at their last axes, and an axis of
// size 1 (or none) is repeated. An operand may be a number instead of a tensor.
//
//   add  da = g      sub  da = g       mul  da = g·b     div  da = g / b
//        db = g           db = −g           db = g·a          db = −g·(y / b)
// each summed over the axes that were broadcast, in order.

import { MINUS_ONE } from "../math/constants";
import { StridedIterator } from "../tensor/strides";
import {
  accumulates,
  dim,
  gradient,
  requiresGrad,
  Share,
  source,
  Tensor,
  tensor,
} from "../tensor/tensor";
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

/** A record of two operands. */
// @ts-ignore: decorator
@unmanaged
export class Operands extends Tensor {
  /** Which operand is a number, one of NumberAt. */
  numberAt: i32;
  number: f32;
}

/** `K` is one of the four operations below. */
// @ts-ignore: decorator
@unmanaged
export class Elementwise<K> extends Operands {
  nanoseconds(job: Job): f64 {
    return <f64>this.size * (job == Job.Forward ? 0.3 : 0.6);
  }

  savedBytes(): usize {
    return 0;
  }

  scratchBytes(_job: Job, threads: i32): usize {
    return StridedIterator.scratch(threads);
  }

  readsSource(i: i32): bool {
    return changetype<K>(0).readsSource(this, i);
  }

  readsResult(): bool {
    return changetype<K>(0).readsResult();
  }

  storesGradients(): bool {
    return true;
  }

  forward(thread: i32, threads: i32): void {
    elementwiseForward(this, changetype<K>(0).term(), thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    const k = changetype<K>(0);
    elementwiseBackward(this, k.firstTerm(), k.secondTerm(), thread, threads);
  }
}

// @ts-ignore: decorator
@unmanaged
export class Add {
  term(): Term {
    return Term.Add;
  }

  firstTerm(): Term {
    return Term.Plain;
  }

  secondTerm(): Term {
    return Term.Plain;
  }

  readsSource(_y: Operands, _i: i32): bool {
    return false;
  }

  readsResult(): bool {
    return false;
  }
}

// @ts-ignore: decorator
@unmanaged
export class Sub {
  term(): Term {
    return Term.Sub;
  }

  firstTerm(): Term {
    return Term.Plain;
  }

  secondTerm(): Term {
    return Term.Minus;
  }

  readsSource(_y: Operands, _i: i32): bool {
    return false;
  }

  readsResult(): bool {
    return false;
  }
}

// @ts-ignore: decorator
@unmanaged
export class Mul {
  term(): Term {
    return Term.Mul;
  }

  firstTerm(): Term {
    return Term.Mul;
  }

  secondTerm(): Term {
    return Term.Mul;
  }

  readsSource(y: Operands, i: i32): bool {
    return requiresGrad(source(y, 1 - i));
  }

  readsResult(): bool {
    return false;
  }
}

// @ts-ignore: decorator
@unmanaged
export class Div {
  term(): Term {
    return Term.Div;
  }

  firstTerm(): Term {
    return Term.Div;
  }

  secondTerm(): Term {
    return Term.Divisor;
  }

  readsSource(y: Operands, i: i32): bool {
    return source(y, i) == second(y);
  }

  readsResult(): bool {
    return true;
  }
}

// A number's record is the record at address 0, whose rank is 0.
function first(y: Operands): Tensor {
  return y.numberAt == NumberAt.First ? tensor(0) : source(y, 0);
}

function second(y: Operands): Tensor {
  if (y.numberAt == NumberAt.Second) return tensor(0);
  return source(y, y.numberAt == NumberAt.None ? 1 : 0);
}

function dataOf(y: Operands, operand: Tensor): usize {
  return changetype<usize>(operand) == 0
    ? changetype<usize>(y) + offsetof<Operands>("number")
    : operand.data;
}

// Size of the axis that is `i` steps from the last.
function dimFromLast(t: Tensor, i: i32): i32 {
  return i < t.rank ? dim(t, t.rank - 1 - i) : 1;
}

function elementwiseForward(y: Operands, term: Term, thread: i32, threads: i32): void {
  const a = first(y);
  const b = second(y);
  const strides = StridedIterator.of(thread, 0);
  let aStride = 1;
  let bStride = 1;
  for (let i = 0; i < y.rank; i++) {
    const n = dimFromLast(y, i);
    const inA = dimFromLast(a, i);
    const inB = dimFromLast(b, i);
    strides.add(n, inA == 1 ? 0 : aStride, inB == 1 ? 0 : bStride, 0);
    aStride *= inA;
    bStride *= inB;
  }
  const begin = Share.begin(y.size, 16, thread, threads);
  const end = Share.end(y.size, 16, thread, threads);
  map(term, true, false, y.data, dataOf(y, a), 0, dataOf(y, b), 0, strides, begin, end);
  addWork(thread, end - begin);
}

function elementwiseBackward(
  y: Operands,
  firstTerm: Term,
  secondTerm: Term,
  thread: i32,
  threads: i32,
): void {
  const a = first(y);
  const b = second(y);
  if (changetype<usize>(a) != 0) {
    addGradient(y, a, b, dataOf(y, b), firstTerm, thread, threads);
  }
  if (changetype<usize>(b) == 0) return;
  if (secondTerm == Term.Minus) {
    addGradient(y, b, tensor(0), MINUS_ONE, Term.Mul, thread, threads);
  } else addGradient(y, b, a, dataOf(y, a), secondTerm, thread, threads);
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
  const kept = StridedIterator.of(thread, 0);
  const folded = StridedIterator.of(thread, 1);
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
