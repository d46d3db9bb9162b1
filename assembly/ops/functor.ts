// What an element contributes to a result: the arithmetic in the loops of elementwiseLoop.ts and reduceLoop.ts, for four elements or
// one, with the same bits. In the gradient of a source x of y = op(...) the four operands are
//
//   g  the gradient of y        y  y itself        o  the other source        x  the source itself
//
// Kinds are constants wherever a loop is written out, so that no branch is left in it.

import { INFINITE, ONE, SIGN } from "../math/constants";

export const enum Term {
  /** g: the gradient of a sum, and the sum itself. */
  Plain = 0,
  // g ∘ o: the four operations, and the gradients of products and quotients
  Add = 1,
  Sub = 2,
  Mul = 3,
  Div = 4,
  /** −g·(y / x): the gradient of the divisor x of y. */
  Divisor = 5,
  /** g / o where x equals y, else 0: the gradient of a maximum y that o elements share. */
  Shared = 6,
  /** g, folded by the maximum. */
  Largest = 7,
  /** 1 where g equals x: counts who shares a maximum x. */
  Equal = 8,
  /** −g: the gradient of what is subtracted. It is computed as Mul by −1. */
  Minus = 9,
}

export class Terms {
  // An instruction's offset has to be a literal: 0, 16, 32 or 48.
  // @ts-ignore: decorator
  @inline
  static load(at: usize, offset: i32): v128 {
    if (offset == 16) return v128.load(at, 16);
    if (offset == 32) return v128.load(at, 32);
    if (offset == 48) return v128.load(at, 48);
    return v128.load(at);
  }

  /** The contributions of the four elements `offset` bytes behind the pointers. */
  // @ts-ignore: decorator
  @inline
  static four(kind: Term, g: usize, y: usize, o: usize, x: usize, offset: i32): v128 {
    const first = Terms.load(g, offset);
    if (kind == Term.Add) return f32x4.add(first, Terms.load(o, offset));
    if (kind == Term.Sub) return f32x4.sub(first, Terms.load(o, offset));
    if (kind == Term.Mul) return f32x4.mul(first, Terms.load(o, offset));
    if (kind == Term.Div) return f32x4.div(first, Terms.load(o, offset));
    if (kind == Term.Divisor) {
      const ratio = f32x4.div(Terms.load(y, offset), Terms.load(x, offset));
      return f32x4.neg(f32x4.mul(first, ratio));
    }
    if (kind == Term.Shared) {
      const isLargest = f32x4.eq(Terms.load(x, offset), Terms.load(y, offset));
      return v128.and(isLargest, f32x4.div(first, Terms.load(o, offset)));
    }
    if (kind == Term.Equal) {
      return v128.and(f32x4.eq(first, Terms.load(x, offset)), v128.load(ONE));
    }
    return first;
  }

  /** The contribution of one element. */
  // @ts-ignore: decorator
  @inline
  static one(kind: Term, g: usize, y: usize, o: usize, x: usize): f32 {
    const first = load<f32>(g);
    if (kind == Term.Add) return first + load<f32>(o);
    if (kind == Term.Sub) return first - load<f32>(o);
    if (kind == Term.Mul) return first * load<f32>(o);
    if (kind == Term.Div) return first / load<f32>(o);
    if (kind == Term.Divisor) return -(first * (load<f32>(y) / load<f32>(x)));
    if (kind == Term.Shared) return load<f32>(x) == load<f32>(y) ? first / load<f32>(o) : 0;
    if (kind == Term.Equal) return first == load<f32>(x) ? 1 : 0;
    return first;
  }

  /** What a fold starts from. */
  // @ts-ignore: decorator
  @inline
  static start(kind: Term): v128 {
    if (kind == Term.Largest) return v128.or(v128.load(INFINITE), v128.load(SIGN));
    return i32x4.splat(0);
  }

  /** Adds a contribution; NaN is the largest number of all. */
  // @ts-ignore: decorator
  @inline
  static fold(kind: Term, sum: v128, term: v128): v128 {
    if (kind == Term.Largest) return f32x4.max(sum, term);
    return f32x4.add(sum, term);
  }

  // @ts-ignore: decorator
  @inline
  static foldOne(kind: Term, sum: f32, term: f32): f32 {
    if (kind == Term.Largest) return max<f32>(sum, term);
    return sum + term;
  }
}
