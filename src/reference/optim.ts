// Optimizers as plain functions from (weights, gradients, state) to new weights and state. p, g, m, v have one shape.

import { type Arr, array, dot, expectShape } from "./array.ts";

/** The settings of one AdamW step. */
export interface AdamWOptions {
  readonly lr: number;
  /** The number of this step, from 1 on. */
  readonly step: number;
  /** Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Default 1e-8. */
  readonly eps?: number;
  /** Default 0.01, as in PyTorch. */
  readonly weightDecay?: number;
}

/**
 * One step of AdamW (arXiv:1711.05101 algorithm 2, with PyTorch's placing of lr):
 *   m = b1 m + (1 - b1) g             running mean of the gradient
 *   v = b2 v + (1 - b2) g^2           running mean of its square
 *   mhat = m / (1 - b1^t),  vhat = v / (1 - b2^t)      both started at 0: divide by the weight that they have so far
 *   p = p (1 - lr wd) - lr mhat / (sqrt(vhat) + eps)   the decay is decoupled: it does not pass through m and v
 */
export function adamW(
  p: Arr,
  g: Arr,
  m: Arr,
  v: Arr,
  options: AdamWOptions,
): { p: Arr; m: Arr; v: Arr } {
  const { lr, step, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = options;
  const [b1, b2] = betas;
  for (const [name, x] of Object.entries({ g, m, v })) expectShape(name, x, p.shape);
  const next = { p: array(p.shape), m: array(p.shape), v: array(p.shape) };
  for (let i = 0; i < p.data.length; i++) {
    const gradient = g.data[i]!;
    const mi = b1 * m.data[i]! + (1 - b1) * gradient;
    const vi = b2 * v.data[i]! + (1 - b2) * gradient * gradient;
    const mhat = mi / (1 - b1 ** step);
    const vhat = vi / (1 - b2 ** step);
    next.m.data[i] = mi;
    next.v.data[i] = vi;
    next.p.data[i] = p.data[i]! * (1 - lr * weightDecay) - (lr * mhat) / (Math.sqrt(vhat) + eps);
  }
  return next;
}

/** The settings of one SGD step. */
export interface SgdOptions {
  readonly lr: number;
  /** Default 0: no memory of earlier gradients. */
  readonly momentum?: number;
  /** Added to the gradient as weightDecay * p (default 0), as in PyTorch's SGD. */
  readonly weightDecay?: number;
  /** Look ahead along the velocity (default false). */
  readonly nesterov?: boolean;
}

/**
 * One step of stochastic gradient descent with momentum, in PyTorch's form; `velocity` starts at 0:
 *   d = g + wd p,   velocity = momentum velocity + d,   p = p - lr velocity     (nesterov: p - lr (d + momentum velocity))
 */
export function sgd(p: Arr, g: Arr, velocity: Arr, options: SgdOptions): { p: Arr; velocity: Arr } {
  const { lr, momentum = 0, weightDecay = 0, nesterov = false } = options;
  for (const [name, x] of Object.entries({ g, velocity })) expectShape(name, x, p.shape);
  const next = { p: array(p.shape), velocity: array(p.shape) };
  for (let i = 0; i < p.data.length; i++) {
    const d = g.data[i]! + weightDecay * p.data[i]!;
    const vi = momentum * velocity.data[i]! + d;
    next.velocity.data[i] = vi;
    next.p.data[i] = p.data[i]! - lr * (nesterov ? d + momentum * vi : vi);
  }
  return next;
}

/** The 2-norm of all gradients taken together as one long vector. */
export function gradNorm(gradients: readonly Arr[]): number {
  return Math.sqrt(gradients.reduce((sum, g) => sum + dot(g.data, g.data), 0));
}

/**
 * Global-norm clipping (arXiv:1211.5063): every gradient times min(1, maxNorm / (norm + 1e-6)), so that the direction
 * stays and the length is at most `maxNorm`. `norm` is the one before clipping. 1e-6 is PyTorch's guard against 0/0.
 */
export function clipGradNorm(
  gradients: readonly Arr[],
  maxNorm: number,
): { gradients: Arr[]; norm: number } {
  const norm = gradNorm(gradients);
  const factor = Math.min(1, maxNorm / (norm + 1e-6));
  return {
    gradients: gradients.map((g) =>
      array(
        g.shape,
        g.data.map((value) => factor * value),
      ),
    ),
    norm,
  };
}
