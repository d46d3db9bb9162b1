import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Arr, array, broadcastTo } from "../../src/reference/array.ts";
import { add } from "../../src/reference/elementwise.ts";
import { matmul, matmulBackward } from "../../src/reference/matmul.ts";
import { transpose } from "../../src/reference/shape.ts";
import { broadcastPair, fill, seed, size, sizeOrZero } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const batches = broadcastPair({ maxRank: 2, maxSize: 3 });

function pair(batches: [number[], number[]], [M, K, N]: number[], seed: number): [Arr, Arr] {
  const shapeA = [...batches[0], M!, K!];
  const shapeB = [...batches[1], K!, N!];
  return [array(shapeA, fill(shapeA, seed)), array(shapeB, fill(shapeB, seed + 1))];
}

test("the gradients of matmul are its slopes, summed over a broadcast batch", () => {
  const sizes = fc.tuple(sizeOrZero(5), sizeOrZero(5), sizeOrZero(5));
  fc.assert(
    fc.property(batches, sizes, seed, (batches, sizes, seed) => {
      const [a, b] = pair(batches, sizes, seed);
      expectGradients({
        inputs: { a, b },
        forward: ({ a, b }) => matmul(a, b),
        backward: (dc, { a, b }) => {
          const { da, db } = matmulBackward(dc, a, b);
          return { a: da, b: db };
        },
        seed,
        roundings: 2 * sizes[1],
        // K products of numbers up to 2.
        magnitude: 4 * sizes[1] + 1,
      });
    }),
  );
});

test("a product of whole numbers is exact, and so associative and distributive to the bit", () => {
  const sizes = fc.tuple(size(7), size(7), size(7), size(7));
  fc.assert(
    fc.property(sizes, seed, ([M, K, L, N], seed) => {
      const whole = (rows: number, columns: number, seed: number) =>
        array([rows, columns], fill([rows, columns], seed, { min: -9, max: 9, integers: true }));
      const [a, b, c, d] = [
        whole(M, K, seed),
        whole(K, L, seed + 1),
        whole(L, N, seed + 2),
        whole(K, L, seed + 3),
      ];
      expectSame(matmul(matmul(a, b), c).data, matmul(a, matmul(b, c)).data);
      expectSame(matmul(a, add(b, d)).data, add(matmul(a, b), matmul(a, d)).data);
    }),
  );
});

test("(A B)^T is B^T A^T to the bit: both add the same products in the same order", () => {
  fc.assert(
    fc.property(
      batches,
      fc.tuple(size(9), sizeOrZero(9), size(9)),
      seed,
      (batches, sizes, seed) => {
        const [a, b] = pair(batches, sizes, seed);
        expectSame(transpose(matmul(a, b)).data, matmul(transpose(b), transpose(a)).data);
      },
    ),
  );
});

test("a batch is each of its products alone, a broadcast matrix a repeated one", () => {
  fc.assert(
    fc.property(batches, fc.tuple(size(5), size(5), size(5)), seed, (batches, sizes, seed) => {
      const [a, b] = pair(batches, sizes, seed);
      const c = matmul(a, b);
      const batch = c.shape.slice(0, -2);
      const [M, K, N] = sizes;
      const fullA = broadcastTo(a, [...batch, M, K]);
      const fullB = broadcastTo(b, [...batch, K, N]);
      for (let n = 0; n < c.data.length / (M * N); n++) {
        const alone = matmul(
          array([M, K], fullA.data.subarray(n * M * K, (n + 1) * M * K)),
          array([K, N], fullB.data.subarray(n * K * N, (n + 1) * K * N)),
        );
        expectSame(c.data.subarray(n * M * N, (n + 1) * M * N), alone.data);
      }
    }),
  );
});

test("a product worked out by hand, and an empty sum, which is 0", () => {
  const c = matmul(array([2, 3], [1, 2, 3, 4, 5, 6]), array([3, 2], [7, 8, 9, 10, 11, 12]));
  expectClose(c.data, [58, 64, 139, 154], 0);
  expectSame(matmul(array([2, 0]), array([0, 3])).data, new Float64Array(6));
});

test("inner sizes that differ are an error that names both shapes", () => {
  assert.throws(() => matmul(array([2, 3]), array([4, 2])), /\[2,3\] times \[4,2\]/);
});

test.run();
