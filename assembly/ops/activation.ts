// Functions of one number, applied to every element: y = f(x), dx = g·f'(x), written with y where that is less
// work than with x. The functions are those of math.ts.
//
//   neg   −x           −g              relu      max(x, 0)  g where x > 0, else 0
//   exp   e^x          g·y             sigmoid   σ(x)       g·y·(1 − y)
//   log   ln x         g / x           silu      x·σ(x)     g·σ·(1 + x·(1 − σ))
//   sqrt  √x           g / 2y          gelu      x·Φ(x)     g·(Φ + x·φ(x))
//   tanh  tanh x       g·(1 − y²)      geluTanh  x·c        g·c·(1 + x·(1 − c)·u')
//
// Φ = (1 + erf(x/√2))/2, the normal distribution, and φ its density (arXiv:1606.08415); c = σ(u) comes close to Φ,
// u = 2·sqrt(2/π)·(x + 0.044715·x³), and is the same as (1 + tanh(u/2))/2.
//
// All loops run over whole 64-byte lines, the pad behind the last element included: no tail, and every element
// takes the same path.

import {
  GELU_CUBIC,
  GELU_LINEAR,
  GELU_SLOPE,
  HALF,
  MINUS_HALF,
  NORMAL_PEAK,
  ONE,
  ROOT_HALF,
} from "../constants";
import { Job } from "../job";
import { Vec } from "../math";
import { Op } from "../op";
import { addWork } from "../parallel";
import { Simd } from "../simd";
import { accumulates, gradient, Share, source, Tensor } from "../tensor";

class Activation {
  /** Φ(x), the probability that a standard normal number is at most x. */
  // @ts-ignore: decorator
  @inline
  static normal(x: v128): v128 {
    const half = v128.load(HALF);
    return Simd.madd(Vec.erf(f32x4.mul(x, v128.load(ROOT_HALF))), half, half);
  }

  /** (1 + tanh(sqrt(2/π)·(x + 0.044715·x³))) / 2, as a sigmoid: precise for x ≪ 0 as well. */
  // @ts-ignore: decorator
  @inline
  static nearNormal(x: v128, square: v128): v128 {
    const inner = Simd.madd(square, v128.load(GELU_CUBIC), v128.load(GELU_LINEAR));
    return Vec.sigmoid(f32x4.mul(x, inner));
  }

  /** f(x). */
  // @ts-ignore: decorator
  @inline
  static at(op: Op, x: v128): v128 {
    if (op == Op.Neg) return f32x4.neg(x);
    if (op == Op.Exp) return Vec.exp(x);
    if (op == Op.Log) return Vec.log(x);
    if (op == Op.Sqrt) return f32x4.sqrt(x);
    if (op == Op.Tanh) return Vec.tanh(x);
    if (op == Op.Sigmoid) return Vec.sigmoid(x);
    // pmax(x, 0) is x < 0 ? 0 : x, so a NaN stays.
    if (op == Op.Relu) return f32x4.pmax(x, i32x4.splat(0));
    if (op == Op.GeluTanh) return f32x4.mul(x, Activation.nearNormal(x, f32x4.mul(x, x)));
    if (op == Op.Gelu) return f32x4.mul(x, Activation.normal(x));
    return f32x4.mul(x, Vec.sigmoid(x));
  }

  /** g·f'(x), where y = f(x). */
  // @ts-ignore: decorator
  @inline
  static gradient(op: Op, g: v128, x: v128, y: v128): v128 {
    if (op == Op.Neg) return f32x4.neg(g);
    if (op == Op.Exp) return f32x4.mul(g, y);
    if (op == Op.Log) return f32x4.div(g, x);
    if (op == Op.Sqrt) return f32x4.div(f32x4.mul(g, v128.load(HALF)), y);
    const one = v128.load(ONE);
    if (op == Op.Tanh) {
      return f32x4.mul(g, f32x4.mul(f32x4.sub(one, y), f32x4.add(one, y)));
    }
    if (op == Op.Sigmoid) return f32x4.mul(g, f32x4.mul(y, f32x4.sub(one, y)));
    if (op == Op.Relu) return v128.and(g, f32x4.gt(x, i32x4.splat(0)));
    const square = f32x4.mul(x, x);
    if (op == Op.Gelu) {
      const power = Vec.exp(f32x4.mul(square, v128.load(MINUS_HALF)));
      const density = f32x4.mul(power, v128.load(NORMAL_PEAK));
      return f32x4.mul(g, Simd.madd(x, density, Activation.normal(x)));
    }
    let slope = x;
    let share: v128;
    if (op == Op.GeluTanh) {
      share = Activation.nearNormal(x, square);
      slope = f32x4.mul(x, Simd.madd(square, v128.load(GELU_SLOPE), v128.load(GELU_LINEAR)));
    } else {
      share = Vec.sigmoid(x);
    }
    const bend = f32x4.mul(share, f32x4.sub(one, share));
    return f32x4.mul(g, Simd.madd(bend, slope, share));
  }

  // One vector at a time: the processor overlaps the turns of the loop by itself; two or four side by side in the
  // source were no faster.
  // @ts-ignore: decorator
  @inline
  static forward(op: Op, y: usize, x: usize, end: usize): void {
    for (; y < end; y += 16, x += 16) v128.store(y, Activation.at(op, v128.load(x)));
  }

  // @ts-ignore: decorator
  @inline
  static backward(op: Op, adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
    // A gradient that holds nothing yet is added to the zeros at address 0.
    let before: usize = adds ? dx : 0;
    const step: usize = adds ? 16 : 0;
    for (; y < end; y += 16, x += 16, g += 16, dx += 16, before += step) {
      const term = Activation.gradient(op, v128.load(g), v128.load(x), v128.load(y));
      v128.store(dx, f32x4.add(v128.load(before), term));
    }
  }
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
  switch (t.op) {
    case Op.Neg:
      Activation.forward(Op.Neg, y, x, end);
      break;
    case Op.Exp:
      Activation.forward(Op.Exp, y, x, end);
      break;
    case Op.Log:
      Activation.forward(Op.Log, y, x, end);
      break;
    case Op.Sqrt:
      Activation.forward(Op.Sqrt, y, x, end);
      break;
    case Op.Tanh:
      Activation.forward(Op.Tanh, y, x, end);
      break;
    case Op.Sigmoid:
      Activation.forward(Op.Sigmoid, y, x, end);
      break;
    case Op.Relu:
      Activation.forward(Op.Relu, y, x, end);
      break;
    case Op.GeluTanh:
      Activation.forward(Op.GeluTanh, y, x, end);
      break;
    case Op.Gelu:
      Activation.forward(Op.Gelu, y, x, end);
      break;
    default:
      Activation.forward(Op.Silu, y, x, end);
  }
  addWork(thread, to - from);
}

export function activationBackward(t: Tensor, thread: i32, threads: i32): void {
  const from = Share.begin(t.size, 16, thread, threads);
  const to = Share.end(t.size, 16, thread, threads);
  const s = source(t, 0);
  if (from >= to || gradient(s) == 0) return;
  const adds = accumulates(s);
  const at = (<usize>from) << 2;
  const dx = gradient(s) + at;
  const g = t.grad + at;
  const x = s.data + at;
  const y = t.data + at;
  const end = t.data + ((<usize>((to + 15) & ~15)) << 2);
  switch (t.op) {
    case Op.Neg:
      Activation.backward(Op.Neg, adds, dx, g, x, y, end);
      break;
    case Op.Exp:
      Activation.backward(Op.Exp, adds, dx, g, x, y, end);
      break;
    case Op.Log:
      Activation.backward(Op.Log, adds, dx, g, x, y, end);
      break;
    case Op.Sqrt:
      Activation.backward(Op.Sqrt, adds, dx, g, x, y, end);
      break;
    case Op.Tanh:
      Activation.backward(Op.Tanh, adds, dx, g, x, y, end);
      break;
    case Op.Sigmoid:
      Activation.backward(Op.Sigmoid, adds, dx, g, x, y, end);
      break;
    case Op.Relu:
      Activation.backward(Op.Relu, adds, dx, g, x, y, end);
      break;
    case Op.GeluTanh:
      Activation.backward(Op.GeluTanh, adds, dx, g, x, y, end);
      break;
    case Op.Gelu:
      Activation.backward(Op.Gelu, adds, dx, g, x, y, end);
      break;
    default:
      Activation.backward(Op.Silu, adds, dx, g, x, y, end);
  }
  addWork(thread, to - from);
}
