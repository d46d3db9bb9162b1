import * as fc from "fast-check";
import { test } from "uvu";
import { array } from "../../src/reference/array.ts";
import { dropout, dropoutBackward } from "../../src/reference/dropout.ts";
import { fill, seed, shape } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

test("the gradient of dropout is its slope: the same mask, the same factor", () => {
  fc.assert(
    fc.property(
      shape({ maxSize: 5, zeros: true }),
      fc.double({ min: 0, max: 0.9, noNaN: true }),
      seed,
      (shape, p, seed) => {
        const mask = array(shape, fill(shape, seed + 1, { min: 0, max: 1, integers: true }));
        expectGradients({
          inputs: { x: array(shape, fill(shape, seed)) },
          forward: ({ x }) => dropout(x, mask, p),
          backward: (dy) => ({ x: dropoutBackward(dy, mask, p) }),
          seed,
          roundings: 3,
        });
      },
    ),
  );
});

test("averaged over all masks of two elements, weighted by their probability, dropout changes nothing", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 0.9, noNaN: true }), seed, (p, seed) => {
      const x = array([2], fill([2], seed));
      const average = [0, 0];
      for (const kept of [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
      ]) {
        const y = dropout(x, array([2], kept), p);
        const probability = kept.reduce((product, keep) => product * (keep === 1 ? 1 - p : p), 1);
        y.data.forEach((value, i) => {
          average[i]! += probability * value;
        });
      }
      expectClose(average, x.data, 16 * 2 ** -53);
    }),
  );
});

test("p = 1 drops everything, p = 0 with nothing dropped changes nothing", () => {
  const x = array([3], [1, -2, 3]);
  expectSame(dropout(x, array([3]), 1).data, [0, 0, 0]);
  expectSame(dropout(x, array([3], [1, 1, 1]), 0).data, x.data);
});

test.run();
