// The matrix product: batches, broadcasting and vectors, in values and gradients.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError } from "../../src/core/error.ts";
import { type Arr, array } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/matmul.ts";
import { matmul } from "../../src/tensor/matmul.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { broadcastPair, fill, seed, sizeOrZero } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { all, expectOp, expectRefusal, run, tensorOf, U } from "./againstReference.ts";

function random(shape: readonly number[], seed: number): Arr {
  return array(shape, fill(shape, seed));
}

function magnitude(x: Arr): Arr {
  return array(x.shape, x.data.map(Math.abs));
}

/** The reference's product and gradients, and how far from each element float32 may be. */
function expectation(a: Arr, b: Arr, dy: Arr) {
  const [m, k] = a.shape.slice(-2) as [number, number];
  const n = b.shape.at(-1)!;
  // A sum of n products is off by at most n roundings of the sum of their magnitudes, and one for each 256 terms. A
  // matrix that served several products adds up as many sums: fewer than `batch` more roundings.
  const batch = dy.data.length / (m * n || 1);
  const bounded = (values: Arr, size: Arr, length: number) => {
    const roundings = length * (1 + 1 / 256) + batch + 3;
    return { values, tolerance: size.data.map((value) => roundings * U * value) };
  };
  const [values, sizes] = [
    [a, b, dy],
    [magnitude(a), magnitude(b), magnitude(dy)],
  ].map(([a, b, dy]) => ({
    y: reference.matmul(a!, b!),
    ...reference.matmulBackward(dy!, a!, b!),
  })) as [{ y: Arr; da: Arr; db: Arr }, { y: Arr; da: Arr; db: Arr }];
  return {
    y: bounded(values.y, sizes.y, k),
    gradients: [bounded(values.da, sizes.da, n), bounded(values.db, sizes.db, m)],
  };
}

function expectProduct(aShape: readonly number[], bShape: readonly number[], seed: number): void {
  const [a, b] = [random(aShape, seed), random(bShape, seed + 1)];
  const dy = random(reference.matmul(a, b).shape, seed + 2);
  expectOp({ inputs: [a, b], op: matmul, dy, ...expectation(a, b, dy) });
}

test("products and gradients are the reference's, leading axes broadcast either way", () => {
  fc.assert(
    fc.property(
      broadcastPair({ maxSize: 4 }),
      fc.tuple(sizeOrZero(33), sizeOrZero(33), sizeOrZero(33)),
      seed,
      ([left, right], [m, k, n], seed) => {
        expectProduct([...left, m, k], [...right, k, n], seed);
      },
    ),
    { numRuns: 150 },
  );
});

test("every way of broadcasting the leading axes is the reference's", () => {
  for (const [left, right] of [
    [[], []],
    [[5], []],
    [[], [5]],
    [[5], [5]],
    [[1], [5]],
    [[5], [1]],
    [[2, 3], [3]],
    [[3], [2, 3]],
    [
      [2, 1],
      [1, 3],
    ],
    [
      [1, 3],
      [2, 1],
    ],
    [[2, 1], [3]],
    [
      [2, 1, 2],
      [3, 1],
    ],
    [
      [2, 3, 1, 2],
      [2, 1, 3, 1],
    ],
    [[0, 2], [2]],
    [[1], [0]],
  ] as const) {
    for (const [m, k, n] of [
      [7, 9, 5],
      [1, 1, 1],
      [2, 17, 33],
      [0, 3, 2],
      [3, 0, 2],
      [3, 2, 0],
    ] as const) {
      expectProduct([...left, m, k], [...right, k, n], m + 3);
    }
  }
});

test("so they are over several blocks of a sum", () => {
  expectProduct([3, 530], [530, 9], 1);
  expectProduct([9, 2], [2, 530], 2);
  expectProduct([2, 265, 4], [4, 3], 3);
  expectProduct([2, 1, 530, 2], [3, 2, 3], 4);
});

test("a sum over an axis of size 0 is 0, and no gradient comes of it", () => {
  for (const { engine } of all) {
    const inputs = [array([2, 3, 0]), array([0, 4])];
    const { y, shape, gradients } = run(engine, inputs, random([2, 3, 4], 1), matmul);
    assert.equal(shape, [2, 3, 4]);
    assert.ok(y.length === 24 && y.every((value) => value === 0));
    assert.equal(gradients, [new Float32Array(0), new Float32Array(0)]);
  }
});

// A vector as the matrix that it stands for: a row on the left, a column on the right.
function asMatrices(a: Arr, b: Arr): [Arr, Arr] {
  return [
    a.shape.length === 1 ? array([1, a.shape[0]!], a.data) : a,
    b.shape.length === 1 ? array([b.shape[0]!, 1], b.data) : b,
  ];
}

test("a vector counts as a row or a column, and its axis is dropped", () => {
  for (const [aShape, bShape, shape] of [
    [[7], [7], []],
    [[7], [7, 5], [5]],
    [[5, 7], [7], [5]],
    [[7], [2, 3, 7, 5], [2, 3, 5]],
    [[2, 3, 5, 7], [7], [2, 3, 5]],
    [[1], [1], []],
    [[0], [0], []],
    [[0], [0, 3], [3]],
    [[3, 0], [0], [3]],
    [[4], [4, 0], [0]],
  ] as const) {
    const [a, b] = [random(aShape, 5), random(bShape, 6)];
    const dy = random(shape, 7);
    const [left, right] = asMatrices(a, b);
    const matrices = reference.matmul(left, right).shape;
    const { y, gradients } = expectation(left, right, array(matrices, dy.data));
    expectOp({
      inputs: [a, b],
      op: matmul,
      dy,
      y: { ...y, values: array(shape, y.values.data) },
      gradients: gradients.map(({ values, tolerance }, i) => ({
        values: array([a, b][i]!.shape, values.data),
        tolerance,
      })),
    });
  }
});

test("outside of scopes a product of vectors leaves nothing but its result, also in another engine", () => {
  for (const { engine } of all) {
    // Which engine is the current one does not matter: the tensors know theirs.
    for (const current of [engine, all[0]!.engine, all[3]!.engine]) {
      const tensors = engine.run(() => [
        tensorOf(random([3], 1)),
        tensorOf(random([3, 4], 2)),
        tensorOf(random([2, 5, 3], 3)),
      ]) as [Tensor, Tensor, Tensor];
      const [v, right, left] = tensors;
      const before = engine.stats().persistentBytes;
      for (const [a, b, shape] of [
        [v, right, [4]],
        [left, v, [2, 5]],
        [v, v, []],
        [left, right, [2, 5, 4]],
      ] as const) {
        const y = current.run(() => matmul(a, b));
        assert.equal(y.shape, shape);
        assert.ok(y.persistent && y.engine === engine);
        y.dispose();
        assert.is(engine.stats().persistentBytes, before, `[${a.shape}] x [${b.shape}]`);
        expectRefusal(() => current.run(() => matmul(v, left)), ShapeError, "[3]", "[2,5,3]");
        assert.is(engine.stats().persistentBytes, before, "after an error");
      }
      for (const t of tensors) t.dispose();
    }
  }
});

test("gradients add up when a tensor is both operands, plain, transposed or in a batch", () => {
  const asIs = { other: (x: Tensor) => x, otherOf: (x: Arr) => x };
  const turned = { other: (x: Tensor) => x.transpose(-2, -1), otherOf: transposed };
  for (const { shape, other, otherOf } of [
    { shape: [9, 9], ...asIs },
    { shape: [3, 9, 9], ...asIs },
    { shape: [5, 9], ...turned },
    { shape: [3, 5, 9], ...turned },
  ]) {
    const x = random(shape, 4);
    const right = otherOf(x);
    const dy = random(reference.matmul(x, right).shape, 5);
    const { y, gradients } = expectation(x, right, dy);
    const [da, db] = gradients as [(typeof gradients)[0], (typeof gradients)[0]];
    // A transposed operand's gradient comes back transposed.
    const back = otherOf(db.values);
    const dbBound = otherOf(array(db.values.shape, db.tolerance)).data;
    // The sum of both is rounded once more.
    const tolerance = da.tolerance.map((bound, i) => {
      const total = Math.abs(da.values.data[i]!) + Math.abs(back.data[i]!);
      return bound + dbBound[i]! + 2 * U * total;
    });
    const values = array(
      shape,
      da.values.data.map((value, i) => value + back.data[i]!),
    );
    const op = (x: Tensor) => matmul(x, other(x));
    expectOp({ inputs: [x], op, dy, y, gradients: [{ values, tolerance }] });
  }
});

function transposed(x: Arr): Arr {
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  const y = array([...x.shape.slice(0, -2), columns, rows]);
  for (let i = 0; i < x.data.length; i++) {
    const matrix = i - (i % (rows * columns));
    const [row, column] = [Math.floor((i - matrix) / columns), i % columns];
    y.data[matrix + column * rows + row] = x.data[i]!;
  }
  return y;
}

test("transposed operands give the bits of the same numbers laid out anew", () => {
  const [a, b] = [random([4, 7, 9], 1), random([9, 5], 2)];
  const dy = random([4, 7, 5], 3);
  for (const { name, engine } of all) {
    const expected = run(engine, [a, b], dy, matmul);
    const got = run(engine, [transposed(a), transposed(b)], dy, (a, b) =>
      matmul(a!.transpose(1, 2), b!.transpose(0, 1)),
    );
    expectSame(got.y, expected.y, { what: `y, ${name}` });
    [a, b].forEach((operand, i) => {
      const gradient = transposed(array(operand.shape, expected.gradients[i]!));
      expectSame(got.gradients[i]!, gradient.data, { what: `gradient ${i}, ${name}` });
    });
  }
});

test("only what needs a gradient gets one", () => {
  const { engine } = all[0]!;
  const [a, b] = [random([2, 3, 4], 1), random([4, 5], 2)];
  const dy = random([2, 3, 5], 3);
  const whole = run(engine, [a, b], dy, matmul);
  engine.run(() => {
    for (const needed of [0, 1]) {
      scope(() => {
        const tensors = [tensorOf(a, needed === 0), tensorOf(b, needed === 1)] as const;
        matmul(...tensors)
          .mul(tensorOf(dy))
          .sum()
          .backward();
        assert.equal(tensors[needed]!.grad, whole.gradients[needed]);
        assert.is(tensors[1 - needed]!.grad, null);
      });
    }
    scope(() => assert.not(matmul(tensorOf(a), tensorOf(b)).requiresGrad));
  });
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
