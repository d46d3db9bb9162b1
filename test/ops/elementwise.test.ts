// add, sub, mul, div: every pair of shapes that broadcasts, both gradients, numbers as operands.

import * as fc from "fast-check";
import { test } from "uvu";
import { ShapeError, UsageError } from "../../src/core/error.ts";
import { type Arr, array, broadcastShape } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/elementwise.ts";
import { tensor } from "../../src/tensor/create.ts";
import { add, div, mul, sub } from "../../src/tensor/elementwise.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { broadcastPair, fill, seed } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { all, expectOp, expectRefusal, expectThreads, run, U } from "./againstReference.ts";

type Pair = (a: Tensor | number, b: Tensor | number) => Tensor;
type Backward = (dy: Arr, a: Arr, b: Arr) => reference.PairGradients;

interface Operation {
  readonly name: string;
  readonly op: Pair;
  readonly forward: (a: Arr, b: Arr) => Arr;
  readonly backward: Backward;
}

const operations: readonly Operation[] = [
  { name: "add", op: add, forward: reference.add, backward: reference.addBackward },
  { name: "sub", op: sub, forward: reference.sub, backward: reference.subBackward },
  { name: "mul", op: mul, forward: reference.mul, backward: reference.mulBackward },
  { name: "div", op: div, forward: reference.div, backward: reference.divBackward },
];

function random(shape: readonly number[], seed: number): Arr {
  return array(shape, fill(shape, seed));
}

// Divisors: [0.5, 2], so that no quotient is far from the dividends' size.
function divisor(shape: readonly number[], seed: number): Arr {
  return array(shape, fill(shape, seed, { min: 0.5, max: 2 }));
}

function magnitudes(x: Arr): Arr {
  return array(x.shape, x.data.map(Math.abs));
}

// A gradient is a sum of n terms, each rounded up to 3 times (−g·(y / b), where y is rounded too): it is off by at
// most (n + 3) u times the sum of the terms' magnitudes, which the reference gives for the magnitudes of all.
function gradientsOf(backward: Backward, dy: Arr, a: Arr, b: Arr) {
  const exact = backward(dy, a, b);
  const sums = backward(magnitudes(dy), magnitudes(a), magnitudes(b));
  return (["da", "db"] as const).map((which) => {
    const terms = dy.data.length / Math.max(1, exact[which].data.length);
    return {
      values: exact[which],
      tolerance: sums[which].data.map((sum) => 1.01 * (terms + 3) * U * Math.abs(sum)),
    };
  });
}

function expectOperation({ op, forward, backward }: Operation, a: Arr, b: Arr, seed: number): void {
  const y = forward(a, b);
  const dy = random(y.shape, seed ^ 77);
  expectOp({
    inputs: [a, b],
    op,
    dy,
    y: { values: y, tolerance: y.data.map((value) => U * Math.abs(value)) },
    gradients: gradientsOf(backward, dy, a, b),
  });
}

for (const operation of operations) {
  const { name, op, forward, backward } = operation;

  test(`${name} and its gradients agree with the reference on shapes that broadcast`, () => {
    fc.assert(
      fc.property(broadcastPair({ maxRank: 4, zeros: true }), seed, ([left, right], seed) => {
        expectOperation(operation, random(left, seed), divisor(right, seed + 1), seed);
      }),
      { numRuns: 60 },
    );
  });

  test(`${name} broadcasts up to six axes, from both sides at once`, () => {
    expectOperation(operation, random([3, 1, 2, 1, 5, 1], 1), divisor([2, 1, 4, 1, 17], 2), 3);
    expectOperation(operation, random([2, 3, 1, 2, 1, 18], 4), divisor([2, 1, 5, 2, 3, 1], 5), 6);
  });

  test(`${name} sums gradients over rows, columns and everything`, () => {
    expectOperation(operation, random([67, 37], 1), divisor([37], 2), 3);
    expectOperation(operation, random([37], 1), divisor([67, 37], 2), 3);
    expectOperation(operation, random([67, 37], 1), divisor([67, 1], 2), 3);
    expectOperation(operation, random([67, 1], 1), divisor([1, 37], 2), 3);
    expectOperation(operation, random([], 1), divisor([67, 37], 2), 3);
    expectOperation(operation, random([67, 37], 1), divisor([], 2), 3);
  });

  test(`${name} takes a number on either side`, () => {
    const x = divisor([5, 7], 1);
    const dy = random([5, 7], 2);
    // 0.3 is no float32 number; the engine and the reference both get the nearest one.
    const number = Math.fround(0.3);
    const [da] = gradientsOf(backward, dy, x, array([], [number]));
    const [, db] = gradientsOf(backward, dy, array([], [number]), x);
    for (const [y, gradient, run] of [
      [forward(x, array([], [number])), da!, (t: Tensor) => op(t, 0.3)],
      [forward(array([], [number]), x), db!, (t: Tensor) => op(0.3, t)],
    ] as const) {
      const tolerance = y.data.map((value) => U * Math.abs(value));
      expectOp({ inputs: [x], op: run, dy, y: { values: y, tolerance }, gradients: [gradient] });
    }
  });

  test(`${name} gives the same bits on two threads, for every way to broadcast`, () => {
    for (const [left, right] of [
      [
        [150, 300],
        [150, 300],
      ],
      [[150, 300], [300]],
      [
        [150, 1],
        [150, 300],
      ],
      [[150, 300], []],
      [
        [70, 1, 33],
        [1, 20, 33],
      ],
    ] as const) {
      const dy = random(broadcastShape(left, right), 3);
      expectThreads([random(left, 1), divisor(right, 2)], dy, op);
    }
  });

  test(`a row of ${name} has the same bits alone as in a batch`, () => {
    const a = random([9, 37], 1);
    const b = divisor([9, 37], 2);
    const dy = random([9, 37], 3);
    const rowOf = (x: Arr, row: number): Arr =>
      array([1, 37], x.data.slice(row * 37, row * 37 + 37));
    for (const { name, engine } of all) {
      const whole = run(engine, [a, b], dy, op);
      for (const row of [0, 4, 8]) {
        const alone = run(engine, [rowOf(a, row), rowOf(b, row)], rowOf(dy, row), op);
        const part = (x: Float32Array): Float32Array => x.subarray(row * 37, row * 37 + 37);
        expectSame(part(whole.y), alone.y, { what: `row ${row}, ${name}` });
        expectSame(part(whole.gradients[0]!), alone.gradients[0]!, { what: `da, ${name}` });
        expectSame(part(whole.gradients[1]!), alone.gradients[1]!, { what: `db, ${name}` });
      }
    }
  });
}

test("a tensor that is both operands gets both gradients", () => {
  const x = divisor([5, 9], 1);
  const dy = random([5, 9], 2);
  for (const { op, forward, backward } of operations) {
    const y = forward(x, x);
    const [da, db] = gradientsOf(backward, dy, x, x);
    const values = array(
      x.shape,
      da!.values.data.map((value, i) => value + db!.values.data[i]!),
    );
    // One more rounding, where the two are added.
    const tolerance = values.data.map(
      (sum, i) => da!.tolerance[i]! + db!.tolerance[i]! + U * Math.abs(sum),
    );
    expectOp({
      inputs: [x],
      op: (t) => op(t, t),
      dy,
      y: { values: y, tolerance: y.data.map((value) => U * Math.abs(value)) },
      gradients: [{ values, tolerance }],
    });
  }
});

test("a tensor and a view of it as operands get both gradients, whatever the number of threads", () => {
  const x = divisor([300], 1);
  const dy = random([300, 300], 2);
  expectThreads([x], dy, (t) => mul(t.reshape([300, 1]), t));
  const column = array([300, 1], x.data);
  const { da, db } = reference.mulBackward(dy, column, x);
  const values = array(
    [300],
    da.data.map((value, i) => value + db.data[i]!),
  );
  const sums = reference.mulBackward(magnitudes(dy), column, x);
  const y = reference.mul(column, x);
  expectOp({
    inputs: [x],
    op: (t) => mul(t.reshape([300, 1]), t),
    dy,
    y: { values: y, tolerance: y.data.map((value) => U * Math.abs(value)) },
    gradients: [
      { values, tolerance: sums.da.data.map((sum, i) => 305 * U * (sum + sums.db.data[i]!)) },
    ],
  });
});

test("shapes that do not broadcast are refused with both of them named", () => {
  all[0]!.engine.run(() =>
    scope(() => {
      const a = tensor(new Float32Array(6), { shape: [2, 3] });
      const b = tensor(new Float32Array(8), { shape: [2, 4] });
      for (const { op, name } of operations) {
        expectRefusal(() => op(a, b), ShapeError, name, "[2,3]", "[2,4]");
      }
    }),
  );
});

test("integers and two numbers are refused", () => {
  all[0]!.engine.run(() =>
    scope(() => {
      const indices = tensor(Int32Array.of(1, 2), { shape: [2] });
      const floats = tensor(Float32Array.of(1, 2), { shape: [2] });
      expectRefusal(() => add(indices, floats), ShapeError, "int32", "float32");
      expectRefusal(() => add(floats, indices), ShapeError, "int32");
      expectRefusal(() => mul(2, indices), ShapeError, "int32");
      expectRefusal(() => add(1, 2), UsageError, "two numbers");
    }),
  );
});

test.run();
