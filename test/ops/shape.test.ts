// The ops that move numbers: reshape, permute, transpose, slice, concat, gather, indexSelect. Their values are exact.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../src/core/error.ts";
import { type Arr, array, sizeOf } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/shape.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import {
  concat,
  gather,
  indexSelect,
  permute,
  reshape,
  slice,
  transpose,
} from "../../src/tensor/shape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, seed, shape, shapeAndAxis, shapeAndOrder } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { all, expectOp, expectRefusal, expectThreads, U } from "./againstReference.ts";

function random(shape: readonly number[], seed: number): Arr {
  return array(shape, fill(shape, seed));
}

function indicesBelow(size: number, shape: readonly number[], seed: number): Arr {
  return array(shape, fill(shape, seed, { min: 0, max: size - 1, integers: true }));
}

function indexTensor(index: Arr): Tensor {
  return tensor(Int32Array.from(index.data), { shape: index.shape });
}

// An op that moves every element to one place: y is exact, and so are the gradients.
function expectMove(
  inputs: readonly Arr[],
  op: (...inputs: Tensor[]) => Tensor,
  y: Arr,
  backward: (dy: Arr) => readonly Arr[],
): void {
  const dy = random(y.shape, 5);
  expectOp({
    inputs,
    op,
    dy,
    y: { values: y, tolerance: 0 },
    gradients: backward(dy).map((values) => ({ values, tolerance: 0 })),
  });
}

test("reshape keeps numbers and their order, and works out one size", () => {
  const x = random([4, 6], 1);
  for (const shape of [[24], [2, 12], [-1, 3], [2, -1, 4], [1, 24, 1]]) {
    expectMove(
      [x],
      (x) => reshape(x, shape),
      reference.reshape(x, shape),
      (dy) => [reference.reshapeBackward(dy, x)],
    );
  }
});

test("permute agrees with the reference for every order of axes", () => {
  fc.assert(
    fc.property(
      shapeAndOrder({ minRank: 0, maxRank: 6, maxSize: 6, zeros: true }),
      seed,
      ({ shape, order }, seed) => {
        const x = random(shape, seed);
        expectMove(
          [x],
          (x) => permute(x, order),
          reference.transpose(x, order),
          (dy) => [reference.transposeBackward(dy, order)],
        );
      },
    ),
    { numRuns: 100 },
  );
});

test("large matrices, batches of them and moved rows are transposed right", () => {
  for (const [shape, order] of [
    [
      [67, 131],
      [1, 0],
    ],
    [
      [3, 18, 35],
      [0, 2, 1],
    ],
    [
      [18, 3, 35],
      [2, 1, 0],
    ],
    [
      [2, 17, 3, 70],
      [0, 2, 1, 3],
    ],
    [
      [2, 17, 3, 6],
      [3, 1, 0, 2],
    ],
  ] as const) {
    const x = random(shape, 1);
    expectMove(
      [x],
      (x) => permute(x, order),
      reference.transpose(x, order),
      (dy) => [reference.transposeBackward(dy, order)],
    );
  }
});

test("transpose exchanges two axes", () => {
  const x = random([2, 3, 4], 1);
  expectMove(
    [x],
    (x) => transpose(x, 0, -1),
    reference.transpose(x, [2, 1, 0]),
    (dy) => [reference.transposeBackward(dy, [2, 1, 0])],
  );
});

test("slice agrees with the reference on any axis", () => {
  fc.assert(
    fc.property(
      shapeAndAxis({ maxSize: 20, zeros: true }),
      fc.nat(20),
      fc.nat(20),
      seed,
      ({ shape, axis }, first, second, seed) => {
        const size = shape.at(axis)!;
        const start = Math.min(first, second, size);
        const end = Math.min(Math.max(first, second), size);
        const x = random(shape, seed);
        expectMove(
          [x],
          (x) => slice(x, axis, start, end),
          reference.slice(x, { axis, start, end }),
          (dy) => [reference.sliceBackward(dy, x, { axis, start, end })],
        );
      },
    ),
    { numRuns: 100 },
  );
});

test("bounds of a slice count from the back when negative, and the end may be left out", () => {
  const x = random([5, 4], 1);
  const parts: readonly [number, number | undefined, number, number][] = [
    [-2, undefined, 3, 5],
    [1, -1, 1, 4],
    [2, undefined, 2, 5],
  ];
  for (const [from, to, start, end] of parts) {
    expectMove(
      [x],
      (x) => slice(x, 0, from, to),
      reference.slice(x, { axis: 0, start, end }),
      (dy) => [reference.sliceBackward(dy, x, { axis: 0, start, end })],
    );
  }
});

test("concat agrees with the reference for any number of parts, more than a record holds included", () => {
  fc.assert(
    fc.property(
      shapeAndAxis({ maxRank: 3, maxSize: 5 }),
      fc.array(fc.nat(4), { minLength: 1, maxLength: 14 }),
      seed,
      ({ shape, axis }, lengths, seed) => {
        const parts = lengths.map((n, i) =>
          random(
            shape.map((size, k) => (k === (axis < 0 ? axis + shape.length : axis) ? n : size)),
            seed + i,
          ),
        );
        expectMove(
          parts,
          (...parts) => concat(parts, axis),
          reference.concat(parts, axis),
          (dy) => reference.concatBackward(dy, parts, axis),
        );
      },
    ),
    { numRuns: 60 },
  );
});

test("a tensor that is two parts of a concat gets both gradients", () => {
  const x = random([3, 5], 1);
  const y = reference.concat([x, x], 1);
  const dy = random(y.shape, 2);
  const [left, right] = reference.concatBackward(dy, [x, x], 1);
  const values = array(
    x.shape,
    left!.data.map((value, i) => value + right!.data[i]!),
  );
  const tolerance = values.data.map((value) => U * Math.abs(value));
  expectOp({
    inputs: [x],
    op: (x) => concat([x, x], 1),
    dy,
    y: { values: y, tolerance: 0 },
    gradients: [{ values, tolerance }],
  });
});

test("concat outside of scopes leaves nothing behind but its result", () => {
  for (const { engine } of all) {
    engine.run(() => {
      const parts = Array.from({ length: 40 }, (_, i) => tensor([i]));
      const before = engine.stats().persistentBytes;
      const whole = concat(parts, 0);
      assert.equal([...whole.toArray()], [...parts.keys()]);
      whole.dispose();
      assert.is(engine.stats().persistentBytes, before);
      for (const part of parts) part.dispose();
    });
  }
});

// Gradients of a gather are sums of up to n numbers, n being how often an element was taken.
function expectGather(x: Arr, op: (x: Tensor) => Tensor, y: Arr, backward: (dy: Arr) => Arr): void {
  const dy = random(y.shape, 5);
  const sizes = backward(array(dy.shape, dy.data.map(Math.abs)));
  const counts = backward(array(dy.shape, new Float64Array(dy.data.length).fill(1)));
  expectOp({
    inputs: [x],
    op,
    dy,
    y: { values: y, tolerance: 0 },
    gradients: [
      { values: backward(dy), tolerance: sizes.data.map((size, i) => counts.data[i]! * U * size) },
    ],
  });
}

test("gather agrees with the reference, indices that repeat included", () => {
  fc.assert(
    fc.property(
      shape({ maxRank: 4, maxSize: 6 }).chain((full) =>
        fc.record({
          shape: fc.constant(full),
          axis: fc.integer({ min: -full.length, max: full.length - 1 }),
          sizes: fc.tuple(...full.map((n) => fc.integer({ min: 0, max: n }))),
          along: fc.nat(9),
        }),
      ),
      seed,
      ({ shape, axis, sizes, along }, seed) => {
        const x = random(shape, seed);
        const k = axis < 0 ? axis + shape.length : axis;
        const indexShape = (sizes as number[]).with(k, along);
        const index = indicesBelow(shape[k]!, indexShape, seed + 1);
        expectGather(
          x,
          (x) => gather(x, axis, indexTensor(index)),
          reference.gather(x, axis, index),
          (dy) => reference.gatherBackward(dy, x, axis, index),
        );
      },
    ),
    { numRuns: 100 },
  );
});

test("indexSelect agrees with the reference on any axis", () => {
  fc.assert(
    fc.property(shapeAndAxis({ maxSize: 20 }), fc.nat(12), seed, ({ shape, axis }, n, seed) => {
      const x = random(shape, seed);
      const index = indicesBelow(shape.at(axis)!, [n], seed + 1);
      expectGather(
        x,
        (x) => indexSelect(x, axis, indexTensor(index)),
        reference.indexSelect(x, axis, index),
        (dy) => reference.indexSelectBackward(dy, x, axis, index),
      );
    }),
    { numRuns: 60 },
  );
});

test("moves give the same bits on two threads", () => {
  const x = random([60, 40, 30], 1);
  const moves: readonly [readonly number[], (x: Tensor) => Tensor][] = [
    [[30, 40, 60], (x) => permute(x, [2, 1, 0])],
    [[60, 30, 40], (x) => permute(x, [0, 2, 1])],
    [[40, 60, 30], (x) => permute(x, [1, 0, 2])],
    [[60, 27, 30], (x) => slice(x, 1, 5, 32)],
    [[60, 80, 30], (x) => concat([x, x], 1)],
  ];
  for (const [shape, op] of moves) expectThreads([x], random(shape, 2), op);
  const few = indicesBelow(40, [60, 21, 30], 3);
  expectThreads([x], random([60, 21, 30], 4), (x) => gather(x, 1, indexTensor(few)));
  const rows = indicesBelow(60, [70], 5);
  expectThreads([x], random([70, 40, 30], 6), (x) => indexSelect(x, 0, indexTensor(rows)));
});

test("an index written anew with a wrong number gives NaN, and no gradient to anyone", () => {
  for (const { engine } of all) {
    engine.run(() =>
      scope(() => {
        const x = tensor([1, 2, 3], { requiresGrad: true });
        const index = tensor(Int32Array.of(2, 0), { shape: [2] });
        const y = gather(x, 0, index);
        index.set([-1, 1]);
        engine.wasm.replay();
        expectSame(y.toArray(), [Number.NaN, 2]);
        y.sum().backward();
        expectSame(x.grad!, [0, 1, 0]);
      }),
    );
  }
});

test("what does not fit is refused with the shapes named", () => {
  all[0]!.engine.run(() =>
    scope(() => {
      const x = tensor(new Float32Array(6), { shape: [2, 3] });
      const y = tensor(new Float32Array(8), { shape: [2, 4] });
      const index = tensor(Int32Array.of(0, 3), { shape: [2] });
      expectRefusal(() => reshape(x, [4]), ShapeError, "[2,3]", "[4]");
      expectRefusal(() => reshape(x, [-1, 4]), ShapeError, "[2,3]", "[-1,4]");
      expectRefusal(() => reshape(x, [-1, -1]), ShapeError, "[2,3]", "one");
      expectRefusal(() => permute(x, [0, 0]), ShapeError, "[2,3]", "[0,0]");
      expectRefusal(() => permute(x, [0]), ShapeError, "[2,3]", "[0]");
      expectRefusal(() => transpose(x, 0, 2), ShapeError, "[2,3]", "axis 2");
      expectRefusal(() => slice(x, 1, 2, 4), ShapeError, "[2,3]", "[2, 4)");
      expectRefusal(() => slice(x, 1, 2, 1), ShapeError, "[2,3]", "[2, 1)");
      expectRefusal(() => slice(x, 0, 0.5), ShapeError, "[2,3]", "0.5");
      expectRefusal(() => concat([x, y], 0), ShapeError, "[2,3]", "[2,4]");
      expectRefusal(() => concat([], 0), UsageError, "no tensors");
      expectRefusal(() => gather(x, 0, index), ShapeError, "[2,3]", "[2]");
      expectRefusal(() => indexSelect(x, 0, index), UsageError, "3", "[2,3]");
      expectRefusal(() => indexSelect(x, 0, y.reshape([8])), ShapeError, "float32", "int32");
      expectRefusal(() => indexSelect(x, 0, index.reshape([1, 2])), ShapeError, "[1,2]");
      expectRefusal(() => permute(index, [0]), ShapeError, "int32");
      assert.is(sizeOf(index.reshape([2, 1]).shape), 2);
    }),
  );
});

test.run();
