// Functions of one number, applied to every element: y = f(x), dx = g·f'(x); the formulas are in formula.ts.
//
// All loops run over whole 64-byte lines, the pad behind the last element included: no tail, and every element
// takes the same path.
//
// x·c(x), as gelu and silu are, has a derivative that is made of what forward knows anyhow. A captured step in which
// nobody else reads x lets forward write f'(x) over x, and backward is a product (memoryPlan.ts). The bits are the same.

import { expAll } from "../math/exp";
import { Op } from "../tensor/op";
import { accumulates, Flag, gradient, Share, source, Tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { addWork } from "../threads/threads";
import { Formula } from "./formula";
import { geluTanhForward, geluTanhSlopes, sigmoidForward, siluForward, siluSlopes } from "./gate";

class Loop {
  // @ts-ignore: decorator
  @inline
  static forward(op: Op, y: usize, x: usize, end: usize): void {
    for (; y < end; y += 16, x += 16) v128.store(y, Formula.at(op, v128.load(x)));
  }

  // y = f(x), and f'(x) in the place of x.
  // @ts-ignore: decorator
  @inline
  static forwardSlopes(op: Op, y: usize, x: usize, end: usize): void {
    for (; y < end; y += 16, x += 16) {
      const at = v128.load(x);
      const square = f32x4.mul(at, at);
      const share = Formula.share(op, at, square);
      v128.store(y, f32x4.mul(at, share));
      v128.store(x, Formula.slope(op, at, square, share));
    }
  }

  // @ts-ignore: decorator
  @inline
  static backward(op: Op, adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
    const zero = i32x4.splat(0);
    for (; y < end; y += 16, x += 16, g += 16, dx += 16) {
      const term = Formula.gradient(op, v128.load(g), v128.load(x), v128.load(y));
      // A fresh gradient counts as zeros: −0 becomes 0 in either case.
      v128.store(dx, f32x4.add(adds ? v128.load(dx) : zero, term));
    }
  }
}

// One function an op and direction, so that its code is written out for it alone: where the loops of several ops meet in
// one function, the optimizer makes them one loop again, which asks for the op at every vector.

function negForward(y: usize, x: usize, end: usize): void {
  Loop.forward(Op.Neg, y, x, end);
}

function logForward(y: usize, x: usize, end: usize): void {
  Loop.forward(Op.Log, y, x, end);
}

function sqrtForward(y: usize, x: usize, end: usize): void {
  Loop.forward(Op.Sqrt, y, x, end);
}

function tanhForward(y: usize, x: usize, end: usize): void {
  Loop.forward(Op.Tanh, y, x, end);
}

function reluForward(y: usize, x: usize, end: usize): void {
  Loop.forward(Op.Relu, y, x, end);
}

function geluForward(y: usize, x: usize, end: usize): void {
  Loop.forward(Op.Gelu, y, x, end);
}

function negBackward(adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
  Loop.backward(Op.Neg, adds, dx, g, x, y, end);
}

function expBackward(adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
  Loop.backward(Op.Exp, adds, dx, g, x, y, end);
}

function logBackward(adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
  Loop.backward(Op.Log, adds, dx, g, x, y, end);
}

function sqrtBackward(adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
  Loop.backward(Op.Sqrt, adds, dx, g, x, y, end);
}

function tanhBackward(adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
  Loop.backward(Op.Tanh, adds, dx, g, x, y, end);
}

function sigmoidBackward(adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
  Loop.backward(Op.Sigmoid, adds, dx, g, x, y, end);
}

function reluBackward(adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
  Loop.backward(Op.Relu, adds, dx, g, x, y, end);
}

function geluTanhBackward(adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
  Loop.backward(Op.GeluTanh, adds, dx, g, x, y, end);
}

function geluBackward(adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
  Loop.backward(Op.Gelu, adds, dx, g, x, y, end);
}

function siluBackward(adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
  Loop.backward(Op.Silu, adds, dx, g, x, y, end);
}

function geluSlopes(y: usize, x: usize, end: usize): void {
  Loop.forwardSlopes(Op.Gelu, y, x, end);
}

/** dx = g·slope. */
function slopeBackward(adds: bool, dx: usize, g: usize, slope: usize, end: usize): void {
  const zero = i32x4.splat(0);
  for (; dx < end; dx += 16, g += 16, slope += 16) {
    const term = f32x4.mul(v128.load(g), v128.load(slope));
    v128.store(dx, f32x4.add(adds ? v128.load(dx) : zero, term));
  }
}

/** Can forward leave f'(x) in the place of x? */
export function hasSlope(t: Tensor): bool {
  return t.op == Op.Gelu || t.op == Op.GeluTanh || t.op == Op.Silu;
}

export function activationNanoseconds(y: Tensor, job: Job): f64 {
  const isForward = job == Job.Forward;
  let each = 0.4;
  if (y.op == Op.Exp) each = isForward ? 1.2 : 0.4;
  else if (y.op == Op.Log) each = isForward ? 2 : 0.5;
  else if (y.op == Op.Tanh) each = isForward ? 2.7 : 0.5;
  else if (y.op == Op.Sigmoid) each = isForward ? 1.7 : 0.5;
  else if (y.op == Op.Gelu) each = isForward ? 4.5 : 6;
  else if (y.op == Op.GeluTanh || y.op == Op.Silu) each = isForward ? 2 : 2.7;
  return <f64>y.size * each;
}

export function activationForward(t: Tensor, thread: i32, threads: i32): void {
  const from = Share.begin(t.size, 16, thread, threads);
  const to = Share.end(t.size, 16, thread, threads);
  if (from >= to) return;
  const y = t.data + ((<usize>from) << 2);
  const x = source(t, 0).data + ((<usize>from) << 2);
  const end = t.data + ((<usize>((to + 15) & ~15)) << 2);
  addWork(thread, to - from);
  if (t.flags & Flag.LeavesSlope) {
    if (t.op == Op.GeluTanh) geluTanhSlopes(y, x, end);
    else if (t.op == Op.Gelu) geluSlopes(y, x, end);
    else siluSlopes(y, x, end);
    return;
  }
  switch (t.op) {
    case Op.Neg:
      negForward(y, x, end);
      break;
    case Op.Exp:
      expAll(y, x, end);
      break;
    case Op.Log:
      logForward(y, x, end);
      break;
    case Op.Sqrt:
      sqrtForward(y, x, end);
      break;
    case Op.Tanh:
      tanhForward(y, x, end);
      break;
    case Op.Sigmoid:
      sigmoidForward(y, x, end);
      break;
    case Op.Relu:
      reluForward(y, x, end);
      break;
    case Op.GeluTanh:
      geluTanhForward(y, x, end);
      break;
    case Op.Gelu:
      geluForward(y, x, end);
      break;
    default:
      siluForward(y, x, end);
  }
}

export function activationBackward(t: Tensor, thread: i32, threads: i32): void {
  const from = Share.begin(t.size, 16, thread, threads);
  const to = Share.end(t.size, 16, thread, threads);
  const s = source(t, 0);
  if (from >= to || gradient(s) == 0) return;
  const at = (<usize>from) << 2;
  const dx = gradient(s) + at;
  const g = t.grad + at;
  const x = s.data + at;
  const y = t.data + at;
  const end = t.data + ((<usize>((to + 15) & ~15)) << 2);
  const adds = accumulates(s);
  addWork(thread, to - from);
  if (t.flags & Flag.LeavesSlope) {
    slopeBackward(adds, dx, g, x, dx + (end - y));
    return;
  }
  switch (t.op) {
    case Op.Neg:
      negBackward(adds, dx, g, x, y, end);
      break;
    case Op.Exp:
      expBackward(adds, dx, g, x, y, end);
      break;
    case Op.Log:
      logBackward(adds, dx, g, x, y, end);
      break;
    case Op.Sqrt:
      sqrtBackward(adds, dx, g, x, y, end);
      break;
    case Op.Tanh:
      tanhBackward(adds, dx, g, x, y, end);
      break;
    case Op.Sigmoid:
      sigmoidBackward(adds, dx, g, x, y, end);
      break;
    case Op.Relu:
      reluBackward(adds, dx, g, x, y, end);
      break;
    case Op.GeluTanh:
      geluTanhBackward(adds, dx, g, x, y, end);
      break;
    case Op.Gelu:
      geluBackward(adds, dx, g, x, y, end);
      break;
    default:
      siluBackward(adds, dx, g, x, y, end);
  }
}
