import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Arr, array, broadcastTo } from "../../src/reference/array.ts";
import * as elementwise from "../../src/reference/elementwise.ts";
import { broadcastPair, fill, seed } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const ops: [
  string,
  (a: Arr, b: Arr) => Arr,
  (dy: Arr, a: Arr, b: Arr) => elementwise.PairGradients,
][] = [
  ["add", elementwise.add, elementwise.addBackward],
  ["sub", elementwise.sub, elementwise.subBackward],
  ["mul", elementwise.mul, elementwise.mulBackward],
  ["div", elementwise.div, elementwise.divBackward],
];

for (const [name, forward, backward] of ops) {
  test(`the gradients of ${name} are its slopes, summed over broadcast axes`, () => {
    fc.assert(
      fc.property(broadcastPair({ maxSize: 4, zeros: true }), seed, (shapes, seed) => {
        const a = array(shapes[0], fill(shapes[0], seed));
        // Denominators stay away from 0, where no difference quotient exists.
        const b = array(shapes[1], fill(shapes[1], seed + 1, { min: 0.5, max: 2 }));
        expectGradients({
          inputs: { a, b },
          forward: ({ a, b }) => forward(a, b),
          backward: (dy, { a, b }) => {
            const { da, db } = backward(dy, a, b);
            return { a: da, b: db };
          },
          seed,
          roundings: 2,
        });
      }),
    );
  });

  test(`${name} of broadcast arguments equals ${name} of their repeated copies`, () => {
    fc.assert(
      fc.property(broadcastPair({ zeros: true }), seed, (shapes, seed) => {
        const a = array(shapes[0], fill(shapes[0], seed));
        const b = array(shapes[1], fill(shapes[1], seed + 1));
        const y = forward(a, b);
        const repeated = forward(broadcastTo(a, y.shape), broadcastTo(b, y.shape));
        assert.equal(y.shape, repeated.shape);
        expectSame(y.data, repeated.data, y);
      }),
    );
  });
}

test("a row is added to every row, a column to every column", () => {
  const x = array([2, 3], [1, 2, 3, 4, 5, 6]);
  expectSame(elementwise.add(x, array([3], [10, 20, 30])).data, [11, 22, 33, 14, 25, 36]);
  expectSame(elementwise.add(x, array([2, 1], [10, 20])).data, [11, 12, 13, 24, 25, 26]);
});

test("shapes that do not broadcast are an error that names both", () => {
  assert.throws(() => elementwise.add(array([2, 3]), array([2, 4])), /\[2,3\].*\[2,4\].*axis 1/);
});

test.run();
