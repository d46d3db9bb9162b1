import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Arr, array, stridesOf } from "../../src/reference/array.ts";
import * as ops from "../../src/reference/shape.ts";
import { fill, seed, shape, shapeAndAxis, shapeAndOrder } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const drawnAxis = shapeAndAxis({ maxSize: 4, maxRank: 3, zeros: true });

function draw(shape: readonly number[], seed: number): Arr {
  return array(shape, fill(shape, seed));
}

function drawIndex(shape: readonly number[], size: number, seed: number): Arr {
  return array(shape, fill(shape, seed, { min: 0, max: size - 1, integers: true }));
}

// A part [start, end) of an axis of `size`, and a step.
function part(size: number, seed: number): { start: number; end: number; step: number } {
  const [a, b, c] = fill([3], seed, { min: 0, max: size, integers: true });
  return { start: Math.min(a!, b!), end: Math.max(a!, b!), step: 1 + (c! % 3) };
}

function expectSlope(
  x: Arr,
  seed: number,
  forward: (x: Arr) => Arr,
  backward: (dy: Arr) => Arr,
): void {
  expectGradients({
    inputs: { x },
    forward: ({ x }) => forward(x),
    backward: (dy) => ({ x: backward(dy) }),
    seed,
    roundings: 1,
  });
}

test("the gradients of reshape and transpose are their slopes", () => {
  fc.assert(
    fc.property(shapeAndOrder({ maxSize: 4, zeros: true }), seed, ({ shape, order }, seed) => {
      const x = draw(shape, seed);
      const flat = [x.data.length, 1];
      expectSlope(
        x,
        seed,
        (x) => ops.reshape(x, flat),
        (dy) => ops.reshapeBackward(dy, x),
      );
      expectSlope(
        x,
        seed,
        (x) => ops.transpose(x, order),
        (dy) => ops.transposeBackward(dy, order),
      );
      expectSlope(
        x,
        seed,
        (x) => ops.transpose(x),
        (dy) => ops.transposeBackward(dy),
      );
    }),
  );
});

test("the gradient of slice is its slope", () => {
  fc.assert(
    fc.property(drawnAxis, seed, ({ shape, axis }, seed) => {
      const x = draw(shape, seed);
      const options = { axis, ...part(shape.at(axis)!, seed + 1) };
      expectSlope(
        x,
        seed,
        (x) => ops.slice(x, options),
        (dy) => ops.sliceBackward(dy, x, options),
      );
    }),
  );
});

test("the gradients of concat are its slopes", () => {
  fc.assert(
    fc.property(drawnAxis, fc.nat(3), seed, ({ shape, axis }, width, seed) => {
      const second = shape.with(axis, width);
      expectGradients({
        inputs: { a: draw(shape, seed), b: draw(second, seed + 1) },
        forward: ({ a, b }) => ops.concat([a, b, a], axis),
        backward: (dy, { a, b }) => {
          const [first, middle, last] = ops.concatBackward(dy, [a, b, a], axis);
          const both = first!.data.map((value, i) => value + last!.data[i]!);
          return { a: array(a.shape, both), b: middle };
        },
        seed,
        roundings: 1,
      });
    }),
  );
});

test("the gradients of gather and indexSelect are their slopes, elements taken twice included", () => {
  fc.assert(
    fc.property(
      shapeAndAxis({ maxSize: 4, maxRank: 3 }),
      fc.nat(6),
      seed,
      ({ shape, axis }, count, seed) => {
        const x = draw(shape, seed);
        const size = shape.at(axis)!;
        const along = axis < 0 ? axis + shape.length : axis;
        const index = drawIndex(shape.with(along, count), size, seed + 1);
        expectSlope(
          x,
          seed,
          (x) => ops.gather(x, axis, index),
          (dy) => ops.gatherBackward(dy, x, axis, index),
        );
        const list = drawIndex([count], size, seed + 2);
        expectSlope(
          x,
          seed,
          (x) => ops.indexSelect(x, axis, list),
          (dy) => ops.indexSelectBackward(dy, x, axis, list),
        );
      },
    ),
  );
});

test("transpose moves element (i, j, ...) to where its axes went", () => {
  fc.assert(
    fc.property(shapeAndOrder({ maxSize: 4 }), seed, ({ shape, order }, seed) => {
      const x = draw(shape, seed);
      const y = ops.transpose(x, order);
      // Walking y in order reads x with the strides of x in the new order.
      const strides = order.map((axis) => stridesOf(shape)[axis]!);
      const read: number[] = [];
      const walk = (axis: number, offset: number): void => {
        if (axis === order.length) read.push(x.data[offset]!);
        else for (let i = 0; i < y.shape[axis]!; i++) walk(axis + 1, offset + i * strides[axis]!);
      };
      walk(0, 0);
      expectSame(y.data, read, y);
      expectSame(ops.transposeBackward(y, order).data, x.data);
    }),
  );
});

test("cutting an array in two and putting it together again changes nothing", () => {
  fc.assert(
    fc.property(drawnAxis, fc.nat(4), seed, ({ shape, axis }, cut, seed) => {
      const x = draw(shape, seed);
      const size = shape.at(axis)!;
      const border = Math.min(cut, size);
      const front = ops.slice(x, { axis, start: 0, end: border });
      const back = ops.slice(x, { axis, start: border, end: size });
      const whole = ops.concat([front, back], axis);
      assert.equal(whole.shape, x.shape);
      expectSame(whole.data, x.data);
    }),
  );
});

test("indexSelect is the concatenation of the slices that it names", () => {
  fc.assert(
    fc.property(
      shapeAndAxis({ maxSize: 4, maxRank: 3 }),
      fc.integer({ min: 1, max: 5 }),
      seed,
      ({ shape, axis }, count, seed) => {
        const x = draw(shape, seed);
        const index = drawIndex([count], shape.at(axis)!, seed + 1);
        const slices = Array.from(index.data, (i) => ops.slice(x, { axis, start: i, end: i + 1 }));
        expectSame(ops.indexSelect(x, axis, index).data, ops.concat(slices, axis).data);
      },
    ),
  );
});

test("gather picks one element for each element of its index", () => {
  const x = array([2, 3], [1, 2, 3, 4, 5, 6]);
  expectSame(ops.gather(x, 1, array([2, 2], [2, 0, 1, 1])).data, [3, 1, 5, 5]);
  expectSame(ops.gather(x, 0, array([1, 3], [1, 0, 1])).data, [4, 2, 6]);
  const twice = ops.gatherBackward(
    array([2, 2], [1, 2, 10, 20]),
    x,
    1,
    array([2, 2], [2, 0, 1, 1]),
  );
  expectSame(twice.data, [2, 0, 1, 0, 30, 0]);
});

test("reshape works out one size, and keeps the order of the numbers", () => {
  fc.assert(
    fc.property(shape({ maxSize: 4 }), seed, (shape, seed) => {
      const x = draw(shape, seed);
      const y = ops.reshape(x, [shape[0]!, -1]);
      assert.equal(y.shape, [shape[0]!, x.data.length / shape[0]!]);
      expectSame(y.data, x.data);
    }),
  );
});

test("what does not fit is an error that names shapes and indices", () => {
  const x = array([2, 3]);
  assert.throws(() => ops.reshape(x, [4, 2]), /\[4,2\] holds 8 numbers, but 6/);
  assert.throws(() => ops.transpose(x, [0, 0]), /\[0,0\].*\[2,3\]/);
  assert.throws(() => ops.slice(x, { axis: 1, start: 1, end: 4 }), /\[1, 4\).*\[2,3\]/);
  assert.throws(() => ops.concat([x, array([3, 2])], 0), /\[3,2\].*\[3,3\]/);
  assert.throws(() => ops.gather(x, 1, array([1, 1], [3])), /index 3 .* size 3/);
  assert.throws(() => ops.indexSelect(x, 2, array([1])), /Axis 2/);
});

test.run();
