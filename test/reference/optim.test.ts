import * as fc from "fast-check";
import { test } from "uvu";
import { type Arr, array } from "../../src/reference/array.ts";
import { adamW, clipGradNorm, gradNorm, sgd } from "../../src/reference/optim.ts";
import { fill, seed, size } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";

const U = 2 ** -53;

// The gradients of `steps` steps on n weights.
function drawGradients(steps: number, n: number, seed: number): Arr[] {
  return Array.from({ length: steps }, (_, t) => array([n], fill([n], seed + t)));
}

test("AdamW's moments are the weighted means of all gradients so far, and its weights follow them", () => {
  fc.assert(
    fc.property(size(5), fc.integer({ min: 1, max: 20 }), seed, (n, steps, seed) => {
      const gradients = drawGradients(steps, n, seed + 1);
      const [b1, b2] = [0.8, 0.95];
      const [lr, eps, weightDecay] = [0.01, 1e-8, 0.1];
      const start = array([n], fill([n], seed));
      let state = { p: start, m: array([n]), v: array([n]) };
      const p = Array.from(start.data);
      for (let t = 1; t <= steps; t++) {
        const { p: weights, m, v } = state;
        state = adamW(weights, gradients[t - 1]!, m, v, {
          lr,
          step: t,
          betas: [b1, b2],
          eps,
          weightDecay,
        });
        // Closed form: gradient i has the weight b^(t-i), and all weights together sum to (1 - b^t) / (1 - b).
        for (let j = 0; j < n; j++) {
          let first = 0;
          let second = 0;
          let weights1 = 0;
          let weights2 = 0;
          for (let i = 1; i <= t; i++) {
            const g = gradients[i - 1]!.data[j]!;
            first += b1 ** (t - i) * g;
            second += b2 ** (t - i) * g * g;
            weights1 += b1 ** (t - i);
            weights2 += b2 ** (t - i);
          }
          const move = lr * (first / weights1 / (Math.sqrt(second / weights2) + eps));
          p[j] = p[j]! - lr * weightDecay * p[j]! - move;
        }
      }
      // The first moment may cancel, so a step of about lr is off by lr 40 U for each of its 20 terms; positions of
      // up to 3 are rounded twice a step.
      expectClose(state.p.data, p, steps * (6 * U + lr * 64 * (steps + 4) * U));
    }),
  );
});

test("AdamW's first step has the length lr along every axis, whatever the size of the gradient", () => {
  fc.assert(
    fc.property(size(9), fc.integer({ min: -10, max: 10 }), seed, (n, exponent, seed) => {
      const g = array(
        [n],
        fill([n], seed).map((value) => value * 10 ** exponent),
      );
      const zero = array([n]);
      const { p } = adamW(zero, g, zero, zero, { lr: 0.125, step: 1, eps: 0, weightDecay: 0.5 });
      expectClose(
        p.data,
        g.data.map((value) => -0.125 * Math.sign(value)),
        0.125 * 16 * U,
      );
    }),
  );
});

test("AdamW without a gradient only decays, by the factor 1 - lr wd a step", () => {
  fc.assert(
    fc.property(size(9), seed, (n, seed) => {
      const start = array([n], fill([n], seed));
      const zero = array([n]);
      const { p, m, v } = adamW(start, zero, zero, zero, { lr: 0.5, step: 1, weightDecay: 0.5 });
      expectSame(
        p.data,
        start.data.map((value) => 0.75 * value),
      );
      expectSame(m.data, zero.data);
      expectSame(v.data, zero.data);
    }),
  );
});

test("SGD's velocity is the sum of all gradients, each faded by momentum once a step", () => {
  fc.assert(
    fc.property(size(5), fc.integer({ min: 1, max: 20 }), seed, (n, steps, seed) => {
      const gradients = drawGradients(steps, n, seed + 1);
      let state = { p: array([n]), velocity: array([n]) };
      // p after T steps: gradient i has moved it lr times 1 + momentum + ... + momentum^(T-i).
      for (const g of gradients)
        state = sgd(state.p, g, state.velocity, { lr: 0.25, momentum: 0.5 });
      const expected = Array.from({ length: n }, (_, j) =>
        gradients.reduce((p, g, i) => p - 0.25 * g.data[j]! * 2 * (1 - 0.5 ** (steps - i)), 0),
      );
      expectClose(state.p.data, expected, steps * steps * 4 * U);
    }),
  );
});

test("SGD without momentum steps down the gradient, with weight decay as a part of it", () => {
  const p = array([2], [1, -2]);
  const g = array([2], [0.5, 0.25]);
  const zero = array([2]);
  expectSame(sgd(p, g, zero, { lr: 0.5 }).p.data, [0.75, -2.125]);
  expectSame(sgd(p, g, zero, { lr: 0.5, weightDecay: 0.5 }).p.data, [0.5, -1.625]);
});

test("Nesterov's SGD is plain momentum seen from one look ahead", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), seed, (steps, seed) => {
      const [lr, momentum] = [0.25, 0.5];
      const gradients = drawGradients(steps, 3, seed);
      let plain = { p: array([3]), velocity: array([3]) };
      let nesterov = { p: array([3]), velocity: array([3]) };
      for (const g of gradients) {
        plain = sgd(plain.p, g, plain.velocity, { lr, momentum });
        nesterov = sgd(nesterov.p, g, nesterov.velocity, { lr, momentum, nesterov: true });
      }
      const ahead = plain.p.data.map((value, i) => value - lr * momentum * plain.velocity.data[i]!);
      expectClose(nesterov.p.data, ahead, steps * steps * 8 * U);
    }),
  );
});

test("clipping leaves short gradients alone, and brings long ones to maxNorm in their direction", () => {
  fc.assert(
    fc.property(fc.array(size(5), { minLength: 1, maxLength: 4 }), seed, (sizes, seed) => {
      const gradients = sizes.map((n, i) => array([n], fill([n], seed + i)));
      const all = gradients.flatMap((g) => Array.from(g.data));
      const length = Math.hypot(...all);
      expectClose([gradNorm(gradients)], [length], 32 * U * length);

      const loose = clipGradNorm(gradients, 2 * length + 1);
      expectSame(
        loose.gradients.flatMap((g) => Array.from(g.data)),
        all,
      );
      const tight = clipGradNorm(gradients, length / 4);
      expectSame([tight.norm], [gradNorm(gradients)]);
      const factor = length / 4 / (length + 1e-6);
      expectClose(
        tight.gradients.flatMap((g) => Array.from(g.data)),
        all.map((value) => factor * value),
        64 * U * 2,
      );
    }),
  );
});

test("clipping gradients that are all zero leaves zeros, not NaN", () => {
  const { gradients, norm } = clipGradNorm([array([3]), array([0])], 1);
  expectSame([norm, ...gradients[0]!.data], [0, 0, 0, 0]);
});

test.run();
