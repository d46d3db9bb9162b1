// Functions of one number as formulas: y = f(x), dx = g·f'(x), written with y where that is less work than with x.
// The loops are in activation.ts; the functions are those of functions.ts.
//
//   neg   −x           −g              relu      max(x, 0)  g where x > 0, else 0
//   exp   e^x          g·y             sigmoid   σ(x)       g·y·(1 − y)
//   log   ln x         g / x           silu      x·σ(x)     g·σ·(1 + x·(1 − σ))
//   sqrt  √x           g / 2y          gelu      x·Φ(x)     g·(Φ + x·φ(x))
//   tanh  tanh x       g·(1 − y²)      geluTanh  x·c        g·c·(1 + x·(1 − c)·u')
//
// Φ = (1 + erf(x/√2))/2, the normal distribution, and φ its density (arXiv:1606.08415); c = σ(u) comes close to Φ,
// u = 2·sqrt(2/π)·(x + 0.044715·x³), and is the same as (1 + tanh(u/2))/2.

import {
  GELU_CUBIC,
  GELU_LINEAR,
  GELU_SLOPE,
  HALF,
  MINUS_HALF,
  NORMAL_PEAK,
  ONE,
  ROOT_HALF,
} from "../math/constants";
import { Vec } from "../math/functions";
import { Simd } from "../math/simd";
import { Op } from "../tensor/op";

export class Formula {
  /** Φ(x), the probability that a standard normal number is at most x. */
  // @ts-ignore: decorator
  @inline
  static normal(x: v128): v128 {
    const half = v128.load(HALF);
    return Simd.madd(Vec.erf(f32x4.mul(x, v128.load(ROOT_HALF))), half, half);
  }

  /** u = 2·sqrt(2/π)·(x + 0.044715·x³). */
  // @ts-ignore: decorator
  @inline
  static nearLogit(x: v128, square: v128): v128 {
    const cubic = v128.load32_splat(GELU_CUBIC);
    return f32x4.mul(x, Simd.madd(square, cubic, v128.load32_splat(GELU_LINEAR)));
  }

  /** (1 + tanh(sqrt(2/π)·(x + 0.044715·x³))) / 2, as a sigmoid: precise for x ≪ 0 as well. */
  // @ts-ignore: decorator
  @inline
  static nearNormal(x: v128, square: v128): v128 {
    return Vec.sigmoid(Formula.nearLogit(x, square));
  }

  /** −u of a gate σ(u). */
  // @ts-ignore: decorator
  @inline
  static gateExponent(op: Op, x: v128): v128 {
    return f32x4.neg(op == Op.GeluTanh ? Formula.nearLogit(x, f32x4.mul(x, x)) : x);
  }

  /** Of x·c(x), a smooth gate as in gelu and silu, the share c that passes. */
  // @ts-ignore: decorator
  @inline
  static share(op: Op, x: v128, square: v128): v128 {
    if (op == Op.GeluTanh) return Formula.nearNormal(x, square);
    if (op == Op.Gelu) return Formula.normal(x);
    return Vec.sigmoid(x);
  }

  /** The derivative of x·c(x), where c is `share`. */
  // @ts-ignore: decorator
  @inline
  static slope(op: Op, x: v128, square: v128, share: v128): v128 {
    if (op == Op.Gelu) {
      const power = Vec.exp(f32x4.mul(square, v128.load(MINUS_HALF)));
      return Simd.madd(x, f32x4.mul(power, v128.load(NORMAL_PEAK)), share);
    }
    let inner = x;
    if (op == Op.GeluTanh) {
      inner = f32x4.mul(x, Simd.madd(square, v128.load(GELU_SLOPE), v128.load(GELU_LINEAR)));
    }
    return Simd.madd(f32x4.mul(share, f32x4.sub(v128.load(ONE), share)), inner, share);
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
    return f32x4.mul(x, Formula.share(op, x, f32x4.mul(x, x)));
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
    return f32x4.mul(g, Formula.slope(op, x, square, Formula.share(op, x, square)));
  }
}
