// Functions of one number as formulas: y = f(x), dx = g·f'(x), written with y where that is less work than with x.
// The smooth gates sigmoid, silu and gelu are in gate.ts, the loops in activation.ts; exp, log and the like are those of
// math/functions.ts.
//
//   neg   −x           −g              relu      max(x, 0)  g where x > 0, else 0
//   exp   e^x          g·y             log       ln x       g / x
//   sqrt  √x           g / 2y          tanh      tanh x     g·(1 − y²)
//
// Each function is a class that says
//   at(x)                     f(x); or all(y, x, end), a loop of its own
//   gradient(g, x, y)         g·f'(x)
//   readsInput, readsResult   whether `gradient` reads x, and y
//   cost(job)                 nanoseconds an element

import { HALF, ONE } from "../math/constants";
import { expAll } from "../math/exp";
import { Vec } from "../math/functions";
import { Job } from "../threads/job";

// @ts-ignore: decorator
@unmanaged
export class Neg {
  // @ts-ignore: decorator
  @inline
  at(x: v128): v128 {
    return f32x4.neg(x);
  }

  // @ts-ignore: decorator
  @inline
  gradient(g: v128, _x: v128, _y: v128): v128 {
    return f32x4.neg(g);
  }

  cost(_job: Job): f64 {
    return 0.4;
  }

  readsInput(): bool {
    return false;
  }

  readsResult(): bool {
    return false;
  }
}

/** Its forward loop is that of math/exp.ts. */
// @ts-ignore: decorator
@unmanaged
export class Exp {
  // @ts-ignore: decorator
  @inline
  all(y: usize, x: usize, end: usize): void {
    expAll(y, x, end);
  }

  // @ts-ignore: decorator
  @inline
  gradient(g: v128, _x: v128, y: v128): v128 {
    return f32x4.mul(g, y);
  }

  cost(job: Job): f64 {
    return job == Job.Forward ? 1.2 : 0.4;
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
export class Log {
  // @ts-ignore: decorator
  @inline
  at(x: v128): v128 {
    return Vec.log(x);
  }

  // @ts-ignore: decorator
  @inline
  gradient(g: v128, x: v128, _y: v128): v128 {
    return f32x4.div(g, x);
  }

  cost(job: Job): f64 {
    return job == Job.Forward ? 2 : 0.5;
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
export class Sqrt {
  // @ts-ignore: decorator
  @inline
  at(x: v128): v128 {
    return f32x4.sqrt(x);
  }

  // @ts-ignore: decorator
  @inline
  gradient(g: v128, _x: v128, y: v128): v128 {
    return f32x4.div(f32x4.mul(g, v128.load(HALF)), y);
  }

  cost(_job: Job): f64 {
    return 0.4;
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
export class Tanh {
  // @ts-ignore: decorator
  @inline
  at(x: v128): v128 {
    return Vec.tanh(x);
  }

  // @ts-ignore: decorator
  @inline
  gradient(g: v128, _x: v128, y: v128): v128 {
    const one = v128.load(ONE);
    return f32x4.mul(g, f32x4.mul(f32x4.sub(one, y), f32x4.add(one, y)));
  }

  cost(job: Job): f64 {
    return job == Job.Forward ? 2.7 : 0.5;
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
export class Relu {
  // @ts-ignore: decorator
  @inline
  at(x: v128): v128 {
    // pmax(x, 0) is x < 0 ? 0 : x, so a NaN stays.
    return f32x4.pmax(x, i32x4.splat(0));
  }

  // @ts-ignore: decorator
  @inline
  gradient(g: v128, x: v128, _y: v128): v128 {
    return v128.and(g, f32x4.gt(x, i32x4.splat(0)));
  }

  cost(_job: Job): f64 {
    return 0.4;
  }

  readsInput(): bool {
    return true;
  }

  readsResult(): bool {
    return false;
  }
}
