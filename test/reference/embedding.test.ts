import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Arr, array, row } from "../../src/reference/array.ts";
import { embedding, embeddingBackward } from "../../src/reference/embedding.ts";
import { matmul, matmulBackward } from "../../src/reference/matmul.ts";
import { fill, seed, size, sizeOrZero } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const sizes = fc.record({ B: size(3), T: sizeOrZero(5), V: size(9), D: size(5) });

function drawIds(shape: number[], V: number, seed: number): Arr {
  return array(shape, fill(shape, seed, { min: 0, max: V - 1, integers: true }));
}

test("the gradient of embedding is its slope", () => {
  fc.assert(
    fc.property(sizes, seed, ({ B, T, V, D }, seed) => {
      const ids = drawIds([B, T], V, seed + 1);
      expectGradients({
        inputs: { weight: array([V, D], fill([V, D], seed)) },
        forward: ({ weight }) => embedding(weight, ids),
        backward: (dy, { weight }) => ({ weight: embeddingBackward(dy, weight, ids) }),
        seed,
        roundings: 1,
      });
    }),
  );
});

test("embedding is a product with one-hot rows, to the bit, and so is its gradient", () => {
  fc.assert(
    fc.property(sizes, seed, ({ T, V, D }, seed) => {
      const ids = drawIds([T], V, seed + 1);
      const weight = array([V, D], fill([V, D], seed));
      const oneHot = array([T, V]);
      ids.data.forEach((id, t) => {
        row(oneHot, t)[id] = 1;
      });
      expectSame(embedding(weight, ids).data, matmul(oneHot, weight).data);
      const dy = array([T, D], fill([T, D], seed + 2));
      expectSame(
        embeddingBackward(dy, weight, ids).data,
        matmulBackward(dy, oneHot, weight).db.data,
      );
    }),
  );
});

test("an id outside the table is an error that names it", () => {
  assert.throws(() => embedding(array([3, 2]), array([2], [0, 3])), /id 3 .* 3 rows/);
  assert.throws(() => embedding(array([3, 2]), array([1], [-1])), /id -1 /);
});

test.run();
