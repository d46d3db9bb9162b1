import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { array } from "../../src/reference/array.ts";
import { add } from "../../src/reference/elementwise.ts";
import { linear, linearBackward } from "../../src/reference/linear.ts";
import { matmul } from "../../src/reference/matmul.ts";
import { transpose } from "../../src/reference/shape.ts";
import { fill, seed, size, sizeOrZero, uniform } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const sizes = fc.record({ B: size(3), T: sizeOrZero(3), K: size(6), N: size(6), r: size(4) });

function keepMask(shape: readonly number[], p: number, seed: number) {
  const next = uniform(seed);
  const size = shape.reduce((product, n) => product * n, 1);
  return array(
    shape,
    Float64Array.from({ length: size }, () => (next() < p ? 0 : 1)),
  );
}

test("all gradients of linear with bias, branch and dropout are its slopes", () => {
  fc.assert(
    fc.property(sizes, fc.constantFrom(0, 0.25, 0.5), seed, ({ B, T, K, N, r }, p, seed) => {
      const draw = (shape: number[], offset: number) => array(shape, fill(shape, seed + offset));
      const mask = p === 0 ? undefined : keepMask([B, T, K], p, seed + 9);
      const scale = 0.75;
      expectGradients({
        inputs: {
          x: draw([B, T, K], 0),
          W: draw([N, K], 1),
          bias: draw([N], 2),
          A: draw([r, K], 3),
          B: draw([N, r], 4),
        },
        forward: ({ x, W, bias, A, B }) =>
          linear(x, W, { bias, lowRank: { A, B, scale, mask, p } }),
        backward: (dy, { x, W, bias, A, B }) => {
          const { dx, dW, db, dA, dB } = linearBackward(dy, x, W, {
            bias,
            lowRank: { A, B, scale, mask, p },
          });
          return { x: dx, W: dW, bias: db, A: dA, B: dB };
        },
        seed,
        roundings: K + r + 4,
        // The base sums K products of up to 4; the branch K r of up to 8 * scale / (1 - p).
        magnitude: 4 * K + 2 + (8 * scale * K * r) / (1 - p),
      });
    }),
  );
});

test("linear without a branch is x W^T + b", () => {
  fc.assert(
    fc.property(sizes, seed, ({ B, T, K, N }, seed) => {
      const x = array([B, T, K], fill([B, T, K], seed));
      const W = array([N, K], fill([N, K], seed + 1));
      const bias = array([N], fill([N], seed + 2));
      const plain = matmul(x, transpose(W));
      expectSame(linear(x, W).data, plain.data);
      expectSame(linear(x, W, { bias }).data, add(plain, bias).data);
    }),
  );
});

test("a branch whose B is zero changes no bit, and sends a gradient to B alone", () => {
  fc.assert(
    fc.property(sizes, seed, ({ B, T, K, N, r }, seed) => {
      const x = array([B, T, K], fill([B, T, K], seed));
      const W = array([N, K], fill([N, K], seed + 1));
      const lowRank = { A: array([r, K], fill([r, K], seed + 2)), B: array([N, r]), scale: 2 };
      expectSame(linear(x, W, { lowRank }).data, linear(x, W).data);
      const dy = array([B, T, N], fill([B, T, N], seed + 3));
      const gradients = linearBackward(dy, x, W, { lowRank });
      expectSame(gradients.dx.data, linearBackward(dy, x, W).dx.data);
      expectSame(gradients.dA!.data, new Float64Array(r * K));
    }),
  );
});

test("two adapters at once are one branch of their ranks concatenated", () => {
  fc.assert(
    fc.property(sizes, seed, ({ T, K, N, r }, seed) => {
      const x = array([T, K], fill([T, K], seed));
      const W = array([N, K]);
      const A = array([2 * r, K], fill([2 * r, K], seed + 1));
      const B = array([N, 2 * r], fill([N, 2 * r], seed + 2));
      const half = (first: number) => ({
        A: array([r, K], A.data.subarray(first * K, (first + r) * K)),
        B: array(
          [N, r],
          Float64Array.from(
            { length: N * r },
            (_, i) => B.data[Math.floor(i / r) * 2 * r + first + (i % r)]!,
          ),
        ),
        scale: 1.5,
      });
      const both = linear(x, W, { lowRank: { A, B, scale: 1.5 } });
      const sum = add(linear(x, W, { lowRank: half(0) }), linear(x, W, { lowRank: half(r) }));
      // At most K + 2r + 4 roundings in sums of 2rK products of up to 8 * 1.5.
      const bound = 2 * (K + 2 * r + 4) * 2 ** -53 * (24 * r * K);
      expectClose(both.data, sum.data, bound, both);
    }),
  );
});

test("factors that do not fit the weight are an error that names the shapes", () => {
  const lowRank = { A: array([2, 4]), B: array([5, 2]), scale: 1 };
  assert.throws(
    () => linear(array([1, 3]), array([5, 3]), { lowRank }),
    /A has the shape \[2,4\].*\[2,3\]/,
  );
  assert.throws(() => linear(array([1, 4]), array([5, 3])), /x has the shape \[1,4\].*\[1,3\]/);
});

test.run();
