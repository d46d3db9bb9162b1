import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Arr, array, sizeOf } from "../../src/reference/array.ts";
import type { ReduceOptions } from "../../src/reference/reduce.ts";
import {
  max,
  maxBackward,
  mean,
  meanBackward,
  sum,
  sumBackward,
} from "../../src/reference/reduce.ts";
import { fill, seed, shapeAndAxes, shapeAndAxis, uniform } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const drawn = shapeAndAxes({ minRank: 0, maxSize: 5 });

function options(axes: number[] | undefined, keepdim: boolean): ReduceOptions {
  return axes === undefined ? { keepdim } : { axes, keepdim };
}

// 0, 1, 2, ... in a random order: no two are equal or near each other, so the maximum has a slope.
function shuffled(shape: readonly number[], seed: number): Arr {
  const next = uniform(seed);
  const keys = Array.from({ length: sizeOf(shape) }, next);
  const order = keys.map((_, i) => i).sort((a, b) => keys[a]! - keys[b]!);
  return array(shape, order);
}

for (const [name, forward, backward] of [
  ["sum", sum, sumBackward],
  ["mean", mean, meanBackward],
  ["max", max, maxBackward],
] as const) {
  test(`the gradient of ${name} is its slope`, () => {
    fc.assert(
      fc.property(drawn, fc.boolean(), seed, ({ shape, axes }, keepdim, seed) => {
        const x = name === "max" ? shuffled(shape, seed) : array(shape, fill(shape, seed));
        expectGradients({
          inputs: { x },
          forward: ({ x }) => forward(x, options(axes, keepdim)),
          backward: (dy, { x }) => ({ x: backward(dy, x, options(axes, keepdim)) }),
          seed,
          roundings: x.data.length + 1,
          // A partial sum is at most the sum of all magnitudes.
          magnitude: x.data.reduce((total, value) => total + Math.abs(value), 1),
        });
      }),
    );
  });

  test(`${name} over several axes is ${name} over one after the other`, () => {
    fc.assert(
      fc.property(drawn, seed, ({ shape, axes }, seed) => {
        const x = array(shape, fill(shape, seed));
        const all = axes ?? shape.map((_, axis) => axis);
        const stepwise = all.reduce((y, axis) => forward(y, { axes: [axis], keepdim: true }), x);
        // Two orders of summing n numbers of at most 2: each is off by at most n^2 2^-53 * 2.
        const n = x.data.length;
        const y = forward(x, options(axes, true));
        assert.equal(y.shape, stepwise.shape);
        expectClose(y.data, stepwise.data, 4 * n * n * 2 ** -53, y);
      }),
    );
  });

  test(`${name}: keepdim changes the shape alone, and a negative axis counts from the back`, () => {
    fc.assert(
      fc.property(shapeAndAxis({ maxSize: 5 }), seed, ({ shape, axis }, seed) => {
        const x = array(shape, fill(shape, seed));
        const front = axis < 0 ? axis + shape.length : axis;
        const kept = forward(x, { axes: [front], keepdim: true });
        const removed = forward(x, { axes: [axis] });
        assert.equal(kept.shape, shape.with(front, 1));
        assert.equal(removed.shape, shape.toSpliced(front, 1));
        expectSame(removed.data, kept.data);
      }),
    );
  });
}

test("equal maxima share the gradient evenly", () => {
  fc.assert(
    fc.property(drawn, seed, ({ shape, axes }, seed) => {
      const x = array(shape, fill(shape, seed, { min: 0, max: 2, integers: true }));
      const y = max(x, options(axes, true));
      const dy = array(y.shape, fill(y.shape, seed + 1));
      const dx = maxBackward(dy, x, options(axes, true));
      // What comes back is what went in, split into equal parts: max / dx-values of one group are equal.
      const parts = dx.data.filter((value) => value !== 0).length;
      const ties = sum(
        array(
          shape,
          dx.data.map((value) => (value === 0 ? 0 : 1)),
        ),
        options(axes, true),
      );
      assert.ok(parts >= y.data.length);
      const total = sum(dx, options(axes, true));
      expectClose(total.data, dy.data, (i) => 2 * ties.data[i]! * 2 ** -53 * ties.data[i]!);
    }),
  );
  const dx = maxBackward(array([], [6]), array([4], [1, 3, 3, 3]));
  expectSame(dx.data, [0, 2, 2, 2]);
});

test("a sum over an empty axis is 0, its maximum is an error", () => {
  expectSame(sum(array([2, 0]), { axes: [1] }).data, [0, 0]);
  assert.throws(() => max(array([2, 0]), { axes: [1] }), /size 0/);
  expectSame(max(array([0, 2]), { axes: [1] }).data, []);
});

test.run();
