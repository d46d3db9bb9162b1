import * as fc from "fast-check";
import { test } from "uvu";
import { array, row, rowCount } from "../../src/reference/array.ts";
import {
  logSoftmax,
  logSoftmaxBackward,
  softmax,
  softmaxBackward,
} from "../../src/reference/softmax.ts";
import { fill, seed, shape } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

for (const [name, forward, backward] of [
  ["softmax", softmax, softmaxBackward],
  ["logSoftmax", logSoftmax, logSoftmaxBackward],
] as const) {
  test(`the gradient of ${name} is its slope`, () => {
    fc.assert(
      fc.property(shape({ maxSize: 6, maxRank: 3, zeros: true }), seed, (shape, seed) => {
        expectGradients({
          inputs: { x: array(shape, fill(shape, seed)) },
          forward: ({ x }) => forward(x),
          backward: (dy, { x }) => ({ x: backward(dy, x) }),
          seed,
          // A sum over the row, an exponential, a logarithm or quotient.
          roundings: (shape.at(-1) ?? 1) + 8,
          magnitude: 8,
        });
      }),
    );
  });
}

test("the rows of a softmax are positive and add up to 1", () => {
  fc.assert(
    fc.property(shape({ maxSize: 33, maxRank: 2 }), seed, (shape, seed) => {
      const y = softmax(array(shape, fill(shape, seed, { min: -50, max: 50 })));
      const sums = Array.from({ length: rowCount(y) }, (_, i) =>
        row(y, i).reduce((a, b) => a + b, 0),
      );
      // V quotients and V additions, each rounded once.
      expectClose(sums, sums.fill(1).slice(), 2 * (shape.at(-1) ?? 1) * 2 ** -53 + 2 ** -53);
      for (const value of y.data) if (!(value > 0)) throw new Error(`${value} is not positive`);
    }),
  );
});

test("adding a power of two to a row changes no bit of its softmax, however large it is", () => {
  fc.assert(
    fc.property(shape({ maxSize: 17, maxRank: 2 }), seed, (shape, seed) => {
      const x = array(shape, fill(shape, seed, { min: -4, max: 4, integers: true }));
      const moved = array(
        shape,
        x.data.map((value) => value + 2 ** 40),
      );
      expectSame(softmax(moved).data, softmax(x).data);
    }),
  );
});

test("logSoftmax is the logarithm of softmax", () => {
  fc.assert(
    fc.property(shape({ maxSize: 17, maxRank: 2 }), seed, (shape, seed) => {
      const x = array(shape, fill(shape, seed, { min: -20, max: 20 }));
      const V = shape.at(-1) ?? 1;
      // Both are off by the sum of V terms and a few more roundings of numbers up to 50.
      expectClose(logSoftmax(x).data, softmax(x).data.map(Math.log), (V + 4 * 50) * 2 ** -53);
    }),
  );
});

test("a masked entry, minus infinity, gets probability 0", () => {
  const y = softmax(array([3], [0, Number.NEGATIVE_INFINITY, 0]));
  expectSame(y.data, [0.5, 0, 0.5]);
});

test.run();
