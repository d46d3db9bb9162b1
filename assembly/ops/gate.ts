// Smooth gates, c(x) = σ(u) and x·c(x): their formulas, and their forward loops, which lay arguments out because most
// of the time is the exponential.
//
//   sigmoid   σ(x)       g·y·(1 − y)
//   silu      x·σ(x)     g·σ·(1 + x·(1 − σ))
//   gelu      x·Φ(x)     g·(Φ + x·φ(x))
//   geluTanh  x·c        g·c·(1 + x·(1 − c)·u')
//
// Φ = (1 + erf(x/√2))/2, the normal distribution, and φ its density (arXiv:1606.08415); c = σ(u) comes close to Φ,
// u = 2·sqrt(2/π)·(x + 0.044715·x³), and is the same as (1 + tanh(u/2))/2.
//
// The classes are as in formula.ts, but x·c(x) says share(x, x²) = c and slope(x, x², c) = f' instead of `gradient`. One
// whose c is σ(u), and σ itself, say gateExponent(x) = −u and gated(x, c) = f instead of `at`.

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
import { expAll, PIECE } from "../math/exp";
import { Vec } from "../math/functions";
import { Simd } from "../math/simd";
import { Job } from "../threads/job";

/**
 * In pieces: −u, its exponential, and the rest, the first two in the place of the result y, which must not be x's.
 * `slopes` leaves the derivative in the place of x.
 */
export class Gate {
  // @ts-ignore: decorator
  @inline
  static forward<F>(slopes: bool, y: usize, x: usize, end: usize): void {
    while (y < end) {
      const stop = min(y + PIECE, end);
      Gate.exponents<F>(y, x, stop);
      expAll(y, y, stop);
      const bytes = stop - y;
      Gate.outputs<F>(slopes, y, x, stop);
      y += bytes;
      x += bytes;
    }
  }

  // @ts-ignore: decorator
  @inline
  static exponents<F>(y: usize, x: usize, end: usize): void {
    const f = changetype<F>(0);
    for (; y < end; y += 32, x += 32) {
      const u0 = f.gateExponent(v128.load(x));
      const u1 = f.gateExponent(v128.load(x, 16));
      v128.store(y, u0);
      v128.store(y, u1, 16);
    }
  }

  // @ts-ignore: decorator
  @inline
  static outputs<F>(slopes: bool, y: usize, x: usize, end: usize): void {
    const f = changetype<F>(0);
    const one = v128.load32_splat(ONE);
    for (; y < end; y += 32, x += 32) {
      const x0 = v128.load(x);
      const x1 = v128.load(x, 16);
      const c0 = f32x4.div(one, f32x4.add(one, v128.load(y)));
      const c1 = f32x4.div(one, f32x4.add(one, v128.load(y, 16)));
      if (isDefined(f.slope)) {
        if (slopes) {
          const slope0 = f.slope(x0, f32x4.mul(x0, x0), c0);
          const slope1 = f.slope(x1, f32x4.mul(x1, x1), c1);
          v128.store(x, slope0);
          v128.store(x, slope1, 16);
        }
      }
      v128.store(y, f.gated(x0, c0));
      v128.store(y, f.gated(x1, c1), 16);
    }
  }
}

class Gates {
  /** Φ(x), the probability that a standard normal number is at most x. */
  // @ts-ignore: decorator
  @inline
  static normal(x: v128): v128 {
    const half = v128.load(HALF);
    return Simd.madd(Vec.erf(f32x4.mul(x, v128.load(ROOT_HALF))), half, half);
  }

  /** u = 2·sqrt(2/π)·(x + 0.044715·x³). σ(u) is precise for x ≪ 0 as well. */
  // @ts-ignore: decorator
  @inline
  static nearLogit(x: v128, square: v128): v128 {
    const cubic = v128.load32_splat(GELU_CUBIC);
    return f32x4.mul(x, Simd.madd(square, cubic, v128.load32_splat(GELU_LINEAR)));
  }

  /** The derivative of x·σ(u): c + c·(1 − c)·x·u', where `inner` is x·u'. */
  // @ts-ignore: decorator
  @inline
  static slope(c: v128, inner: v128): v128 {
    return Simd.madd(f32x4.mul(c, f32x4.sub(v128.load(ONE), c)), inner, c);
  }
}

// @ts-ignore: decorator
@unmanaged
export class Sigmoid {
  // @ts-ignore: decorator
  @inline
  gateExponent(x: v128): v128 {
    return f32x4.neg(x);
  }

  // @ts-ignore: decorator
  @inline
  gated(_x: v128, c: v128): v128 {
    return c;
  }

  // @ts-ignore: decorator
  @inline
  gradient(g: v128, _x: v128, y: v128): v128 {
    return f32x4.mul(g, f32x4.mul(y, f32x4.sub(v128.load(ONE), y)));
  }

  cost(job: Job): f64 {
    return job == Job.Forward ? 1.7 : 0.5;
  }

  readsInput(): bool {
    return false;
  }

  readsResult(): bool {
    return true;
  }
}

// @ts-ignore: decorator
@unmanaged
export class GeluTanh {
  // @ts-ignore: decorator
  @inline
  gateExponent(x: v128): v128 {
    return f32x4.neg(Gates.nearLogit(x, f32x4.mul(x, x)));
  }

  // @ts-ignore: decorator
  @inline
  gated(x: v128, c: v128): v128 {
    return f32x4.mul(x, c);
  }

  // @ts-ignore: decorator
  @inline
  share(x: v128, square: v128): v128 {
    return Vec.sigmoid(Gates.nearLogit(x, square));
  }

  // @ts-ignore: decorator
  @inline
  slope(x: v128, square: v128, share: v128): v128 {
    const inner = Simd.madd(square, v128.load(GELU_SLOPE), v128.load(GELU_LINEAR));
    return Gates.slope(share, f32x4.mul(x, inner));
  }

  cost(job: Job): f64 {
    return job == Job.Forward ? 2 : 2.7;
  }

  readsInput(): bool {
    return true;
  }

  readsResult(): bool {
    return false;
  }
}

// @ts-ignore: decorator
@unmanaged
export class Gelu {
  // @ts-ignore: decorator
  @inline
  at(x: v128): v128 {
    return f32x4.mul(x, Gates.normal(x));
  }

  // @ts-ignore: decorator
  @inline
  share(x: v128, _square: v128): v128 {
    return Gates.normal(x);
  }

  // @ts-ignore: decorator
  @inline
  slope(x: v128, square: v128, share: v128): v128 {
    const power = Vec.exp(f32x4.mul(square, v128.load(MINUS_HALF)));
    return Simd.madd(x, f32x4.mul(power, v128.load(NORMAL_PEAK)), share);
  }

  cost(job: Job): f64 {
    return job == Job.Forward ? 4.5 : 6;
  }

  readsInput(): bool {
    return true;
  }

  readsResult(): bool {
    return false;
  }
}

// @ts-ignore: decorator
@unmanaged
export class Silu {
  // @ts-ignore: decorator
  @inline
  gateExponent(x: v128): v128 {
    return f32x4.neg(x);
  }

  // @ts-ignore: decorator
  @inline
  gated(x: v128, c: v128): v128 {
    return f32x4.mul(x, c);
  }

  // @ts-ignore: decorator
  @inline
  share(x: v128, _square: v128): v128 {
    return Vec.sigmoid(x);
  }

  // @ts-ignore: decorator
  @inline
  slope(x: v128, _square: v128, share: v128): v128 {
    return Gates.slope(share, x);
  }

  cost(job: Job): f64 {
    return job == Job.Forward ? 2 : 2.7;
  }

  readsInput(): bool {
    return true;
  }

  readsResult(): bool {
    return false;
  }
}
