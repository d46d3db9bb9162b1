import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Arr, array, dot, row, rowCount } from "../../src/reference/array.ts";
import { rope, ropeBackward } from "../../src/reference/rope.ts";
import { indexSelect } from "../../src/reference/shape.ts";
import { attentionSizes, fill, seed } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const U = 2 ** -53;
const convention = fc.constantFrom("half" as const, "interleaved" as const);

test("the gradient of rope is its slope, for positions [T] and [B, T]", () => {
  fc.assert(
    fc.property(
      attentionSizes(5),
      convention,
      fc.boolean(),
      seed,
      (sizes, convention, own, seed) => {
        const { B, T, H, D } = sizes;
        const shape = own ? [B, T] : [T];
        const positions = array(shape, fill(shape, seed + 1, { min: 0, max: 500, integers: true }));
        const options = { convention, theta: 1000 };
        expectGradients({
          inputs: { x: array([B, T, H, D], fill([B, T, H, D], seed)) },
          forward: ({ x }) => rope(x, positions, options),
          backward: (dy) => ({ x: ropeBackward(dy, positions, options) }),
          seed,
          roundings: 8,
          magnitude: 4,
        });
      },
    ),
  );
});

test("rope keeps the length of every head's vector", () => {
  fc.assert(
    fc.property(attentionSizes(), convention, seed, ({ B, T, H, D }, convention, seed) => {
      const x = array([B, T, H, D], fill([B, T, H, D], seed));
      const positions = array(
        [T],
        Float64Array.from({ length: T }, (_, t) => 37 * t),
      );
      const y = rope(x, positions, { convention });
      for (let i = 0; i < rowCount(x); i++) {
        const square = dot(row(x, i), row(x, i));
        // cos^2 + sin^2 of rounded values is 1 up to 4 U; products and sums of D terms add their own.
        expectClose([dot(row(y, i), row(y, i))], [square], 2 * (D + 12) * U * square);
      }
    }),
  );
});

// <rope(q, m), rope(k, n)> for one head.
function score(q: Arr, k: Arr, m: number, n: number, convention: "half" | "interleaved"): number {
  return dot(
    rope(q, array([1], [m]), { convention }).data,
    rope(k, array([1], [n]), { convention }).data,
  );
}

test("the score of a rotated query and key depends on the difference of their positions alone", () => {
  const position = fc.integer({ min: 0, max: 2000 });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      position,
      position,
      position,
      convention,
      seed,
      (half, m, n, shift, convention, seed) => {
        const shape = [1, 1, 2 * half];
        const q = array(shape, fill(shape, seed));
        const k = array(shape, fill(shape, seed + 1));
        const near = score(q, k, m, n, convention);
        const far = score(q, k, m + shift, n + shift, convention);
        // Rounding an angle of up to 4000 (and its power of theta) moves it by up to 4000 * 4 U, and the score by
        // that for each of its D terms of up to 2 * 4.
        expectClose([far], [near], 2 * 2 * half * 8 * (4000 * 4 + 16) * U);
      },
    ),
  );
});

test("both conventions are the same rotation, up to the order of a head's numbers", () => {
  fc.assert(
    fc.property(attentionSizes(), seed, ({ B, T, H, D }, seed) => {
      const x = array([B, T, H, D], fill([B, T, H, D], seed));
      const positions = array(
        [T],
        Float64Array.from({ length: T }, (_, t) => t),
      );
      // From (0, 1, 2, 3, ...) to (0, 2, 4, ..., 1, 3, 5, ...): neighbours become halves.
      const order = array(
        [D],
        Float64Array.from({ length: D }, (_, i) => (i < D / 2 ? 2 * i : 2 * i - D + 1)),
      );
      const interleaved = rope(x, positions, { convention: "interleaved" });
      const half = rope(indexSelect(x, -1, order), positions, { convention: "half" });
      expectSame(indexSelect(interleaved, -1, order).data, half.data);
    }),
  );
});

test("position 0 rotates nothing, and the first pair turns by its position in radians", () => {
  const x = array([1, 1, 4], [1, 2, 3, 4]);
  expectSame(rope(x, array([1], [0])).data, x.data);
  const quarter = rope(x, array([1], [Math.PI / 2]), { convention: "interleaved" });
  expectClose(quarter.data.subarray(0, 2), [-2, 1], 4 * U);
});

test("a head of odd width is an error that names the shape", () => {
  assert.throws(() => rope(array([2, 1, 3]), array([2])), /\[2,1,3\].*even D/);
});

test.run();
