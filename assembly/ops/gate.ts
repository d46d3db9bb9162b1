// Smooth gates, c(x) = σ(u) and x·c(x), forward: most of their time is the exponential, for which they lay arguments out.
//   sigmoid  c, u = x      silu  x·c, u = x      gelu (tanh)  x·c, u = 2·sqrt(2/π)·(x + 0.044715·x³)
// The derivatives are in formula.ts.

import { ONE } from "../math/constants";
import { expAll, PIECE } from "../math/exp";
import { Op } from "../tensor/op";
import { Formula } from "./formula";

/**
 * In pieces: −u, its exponential, and the rest, the first two in the place of the result y, which must not be x's. `slopes`
 * leaves the derivative in the place of x.
 */
class Gate {
  // @ts-ignore: decorator
  @inline
  static forward(op: Op, slopes: bool, y: usize, x: usize, end: usize): void {
    while (y < end) {
      const stop = min(y + PIECE, end);
      Gate.exponents(op, y, x, stop);
      expAll(y, y, stop);
      const bytes = stop - y;
      Gate.outputs(op, slopes, y, x, stop);
      y += bytes;
      x += bytes;
    }
  }

  // @ts-ignore: decorator
  @inline
  static exponents(op: Op, y: usize, x: usize, end: usize): void {
    for (; y < end; y += 32, x += 32) {
      const u0 = Formula.gateExponent(op, v128.load(x));
      const u1 = Formula.gateExponent(op, v128.load(x, 16));
      v128.store(y, u0);
      v128.store(y, u1, 16);
    }
  }

  // @ts-ignore: decorator
  @inline
  static outputs(op: Op, slopes: bool, y: usize, x: usize, end: usize): void {
    const one = v128.load32_splat(ONE);
    for (; y < end; y += 32, x += 32) {
      const x0 = v128.load(x);
      const x1 = v128.load(x, 16);
      const c0 = f32x4.div(one, f32x4.add(one, v128.load(y)));
      const c1 = f32x4.div(one, f32x4.add(one, v128.load(y, 16)));
      if (slopes) {
        const slope0 = Formula.slope(op, x0, f32x4.mul(x0, x0), c0);
        const slope1 = Formula.slope(op, x1, f32x4.mul(x1, x1), c1);
        v128.store(x, slope0);
        v128.store(x, slope1, 16);
      }
      v128.store(y, op == Op.Sigmoid ? c0 : f32x4.mul(x0, c0));
      v128.store(y, op == Op.Sigmoid ? c1 : f32x4.mul(x1, c1), 16);
    }
  }
}

// One function an op, as in activation.ts.

export function sigmoidForward(y: usize, x: usize, end: usize): void {
  Gate.forward(Op.Sigmoid, false, y, x, end);
}

export function geluTanhForward(y: usize, x: usize, end: usize): void {
  Gate.forward(Op.GeluTanh, false, y, x, end);
}

export function siluForward(y: usize, x: usize, end: usize): void {
  Gate.forward(Op.Silu, false, y, x, end);
}

export function geluTanhSlopes(y: usize, x: usize, end: usize): void {
  Gate.forward(Op.GeluTanh, true, y, x, end);
}

export function siluSlopes(y: usize, x: usize, end: usize): void {
  Gate.forward(Op.Silu, true, y, x, end);
}
