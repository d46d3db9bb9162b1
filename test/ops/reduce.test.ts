// sum, mean and max over any set of axes.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError } from "../../src/core/error.ts";
import { type Arr, array } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/reduce.ts";
import { tensor } from "../../src/tensor/create.ts";
import { max, mean, type ReduceOptions, sum } from "../../src/tensor/reduce.ts";
import { scope } from "../../src/tensor/scope.ts";
import { fill, seed, shapeAndAxes } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { all, expectOp, expectRefusal, expectThreads, run, U } from "./againstReference.ts";

function random(shape: readonly number[], seed: number): Arr {
  return array(shape, fill(shape, seed));
}

function magnitudes(x: Arr): Arr {
  return array(x.shape, x.data.map(Math.abs));
}

// n numbers in any order of additions: off by at most n u times the sum of their magnitudes.
function expectSum(x: Arr, options: ReduceOptions, seed: number): void {
  const y = reference.sum(x, options);
  const n = x.data.length / Math.max(1, y.data.length);
  const sizes = reference.sum(magnitudes(x), options);
  const dy = random(y.shape, seed);
  expectOp({
    inputs: [x],
    op: (x) => sum(x, options),
    dy,
    y: { values: y, tolerance: sizes.data.map((size) => n * U * size) },
    gradients: [{ values: reference.sumBackward(dy, x, options), tolerance: 0 }],
  });
}

// As the sum, and a division.
function expectMean(x: Arr, options: ReduceOptions, seed: number): void {
  const y = reference.mean(x, options);
  const n = x.data.length / Math.max(1, y.data.length);
  const sizes = reference.mean(magnitudes(x), options);
  const dy = random(y.shape, seed);
  const dx = reference.meanBackward(dy, x, options);
  expectOp({
    inputs: [x],
    op: (x) => mean(x, options),
    dy,
    y: { values: y, tolerance: sizes.data.map((size) => 1.01 * (n + 1) * U * size) },
    gradients: [{ values: dx, tolerance: dx.data.map((value) => U * Math.abs(value)) }],
  });
}

// Exact, but for the division of the gradient among equals.
function expectMax(x: Arr, options: ReduceOptions, seed: number): void {
  const y = reference.max(x, options);
  const dy = random(y.shape, seed);
  const dx = reference.maxBackward(dy, x, options);
  expectOp({
    inputs: [x],
    op: (x) => max(x, options),
    dy,
    y: { values: y, tolerance: 0 },
    gradients: [{ values: dx, tolerance: dx.data.map((value) => U * Math.abs(value)) }],
  });
}

const drawn = fc.record({
  x: shapeAndAxes({ minRank: 0, maxRank: 5, maxSize: 7, zeros: true }),
  keepdim: fc.boolean(),
  seed,
});

function optionsOf(axes: readonly number[] | undefined, keepdim: boolean): ReduceOptions {
  return axes === undefined ? { keepdim } : { axes, keepdim };
}

test("sum and mean agree with the reference over any axes, empty ones included", () => {
  fc.assert(
    fc.property(drawn, ({ x: { shape, axes }, keepdim, seed }) => {
      const options = optionsOf(axes, keepdim);
      expectSum(random(shape, seed), options, seed);
      expectMean(random(shape, seed), options, seed);
    }),
    { numRuns: 100 },
  );
});

test("max agrees with the reference over any axes, and equal elements share its gradient", () => {
  fc.assert(
    fc.property(drawn, ({ x: { shape, axes }, keepdim, seed }) => {
      const options = optionsOf(axes, keepdim);
      const reduced = shape.filter((_, axis) => axes === undefined || axes.includes(axis));
      fc.pre(!reduced.includes(0));
      expectMax(random(shape, seed), options, seed);
      expectMax(
        array(shape, fill(shape, seed, { min: -1, max: 1, integers: true })),
        options,
        seed,
      );
    }),
    { numRuns: 100 },
  );
});

test("long rows, long columns and both ends of a tensor are reduced right", () => {
  for (const [shape, axes] of [
    [[3, 1037], [1]],
    [[1037, 3], [0]],
    [[1037, 37], [0]],
    [
      [5, 67, 9],
      [0, 2],
    ],
    [[5, 67, 9], [1]],
    [[5, 67, 1], [1]],
    [
      [5, 6, 1],
      [0, 2],
    ],
    [
      [2, 3, 4, 5, 6, 7],
      [0, 2, 4],
    ],
    [
      [2, 3, 4, 5, 6, 7],
      [1, 3, 5],
    ],
  ] as const) {
    const x = random(shape, 5);
    expectSum(x, { axes }, 6);
    expectMean(x, { axes }, 7);
    expectMax(x, { axes }, 8);
  }
});

test("negative axes count from the back", () => {
  const x = random([3, 4, 5], 1);
  expectSum(x, { axes: [-1] }, 2);
  expectMean(x, { axes: [-3, -1] }, 3);
  expectMax(x, { axes: [-2], keepdim: true }, 4);
});

test("reductions give the same bits on two threads", () => {
  for (const op of [sum, mean, max]) {
    for (const axes of [[0], [1], [2], [0, 2]]) {
      const x = random([40, 50, 60], 1);
      const dy = random(reference.sum(x, { axes }).shape, 2);
      expectThreads([x], dy, (x) => op(x, { axes }));
    }
  }
});

test("a row is summed to the same bits in any batch, a kept axis of size 1 included", () => {
  const x = random([6, 5, 7, 37], 1);
  for (const { engine } of all) {
    for (const axes of [[3], [1, 3], [2], [1, 2], [1], [1, 2, 3]]) {
      const options = { axes, keepdim: true };
      const dy = array(
        x.shape.map((n, axis) => (axes.includes(axis) ? 1 : n)),
        new Float64Array((6 * 5 * 7 * 37) / axes.reduce((n, axis) => n * x.shape[axis]!, 1)).fill(
          1,
        ),
      );
      const whole = run(engine, [x], dy, (x) => sum(x, options));
      const one = array([1, 5, 7, 37], x.data.slice(2 * 1295, 3 * 1295));
      const part = dy.data.length / 6;
      const alone = run(
        engine,
        [one],
        array([1, ...dy.shape.slice(1)], new Float64Array(part).fill(1)),
        (x) => sum(x, options),
      );
      expectSame(alone.y, whole.y.subarray(2 * part, 3 * part), { what: `axes [${axes}]` });
    }
  }
});

test("an inner axis that is kept does not change how the others are summed", () => {
  const x = random([64, 5], 1);
  const column = array(
    [64, 1],
    x.data.filter((_, i) => i % 5 === 2),
  );
  for (const { engine } of all) {
    const options = { axes: [0] };
    const five = run(engine, [x], array([5], [1, 1, 1, 1, 1]), (x) => sum(x, options));
    const one = run(engine, [column], array([1], [1]), (x) => sum(x, options));
    expectSame(one.y, five.y.subarray(2, 3));
  }
});

test("NaN is the maximum of whatever it is among", () => {
  const nan = Number.NaN;
  const x = array([3, 3], [1, nan, 2, nan, 0, 1, 1, 2, 3]);
  for (const { engine } of all) {
    const rows = run(engine, [x], array([3], [1, 1, 1]), (x) => max(x, { axes: [1] }));
    expectSame(rows.y, [nan, nan, 3]);
    expectSame(rows.gradients[0]!, [0, 0, 0, 0, 0, 0, 0, 0, 1]);
    const columns = run(engine, [x], array([3], [1, 1, 1]), (x) => max(x, { axes: [0] }));
    expectSame(columns.y, [nan, nan, 3]);
  }
});

test("the mean of nothing is NaN, its sum 0", () => {
  all[0]!.engine.run(() =>
    scope(() => {
      const x = tensor(new Float32Array(0), { shape: [2, 0] });
      assert.equal([...sum(x, { axes: [1] }).toArray()], [0, 0]);
      assert.ok(Number.isNaN(mean(x).item()));
    }),
  );
});

test("axes that do not exist, axes named twice, and a maximum of nothing are refused", () => {
  all[0]!.engine.run(() =>
    scope(() => {
      const x = tensor(new Float32Array(6), { shape: [2, 3] });
      expectRefusal(() => sum(x, { axes: [2] }), ShapeError, "sum", "[2,3]", "axis 2");
      expectRefusal(() => mean(x, { axes: [1, -1] }), ShapeError, "mean", "[2,3]", "twice");
      const empty = tensor(new Float32Array(0), { shape: [2, 0] });
      expectRefusal(() => max(empty, { axes: [1] }), ShapeError, "max", "[2,0]");
      expectRefusal(() => sum(tensor(Int32Array.of(1))), ShapeError, "sum", "int32");
    }),
  );
});

test.run();
