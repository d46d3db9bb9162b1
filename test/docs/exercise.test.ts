// The exercise of docs/lora.md: which of the two factors learns first.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { init } from "../../src/core/engine.ts";
import { zeros } from "../../src/tensor/create.ts";
import { linear } from "../../src/tensor/linear.ts";
import { normal } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";

await init({ threads: 1 });

const size = fc.integer({ min: 1, max: 20 });

/** Are the gradients of A and of B zero everywhere? */
function isStill(m: number, k: number, n: number, r: number, start: { a: boolean; b: boolean }) {
  return scope(() => {
    const x = normal([m, k], { seed: 1 });
    const weight = normal([n, k], { seed: 2 });
    const factor = (shape: readonly number[], seed: number, random: boolean) =>
      random ? normal(shape, { seed, requiresGrad: true }) : zeros(shape, { requiresGrad: true });
    const a = factor([r, k], 3, start.a);
    const b = factor([n, r], 4, start.b);
    linear(x, weight, null, { a, b, scale: 2 }).sum().backward();
    return [a, b].map(({ grad }) => grad === null || grad.every((value) => value === 0));
  });
}

test("with A = 0 and a random B, A learns first", () => {
  fc.assert(
    fc.property(size, size, size, size, (m, k, n, r) => {
      assert.equal(isStill(m, k, n, r, { a: false, b: true }), [false, true]);
    }),
  );
});

test("with B = 0 and a random A, B learns first", () => {
  fc.assert(
    fc.property(size, size, size, size, (m, k, n, r) => {
      assert.equal(isStill(m, k, n, r, { a: true, b: false }), [true, false]);
    }),
  );
});

test("with both zero, neither ever learns", () => {
  fc.assert(
    fc.property(size, size, size, size, (m, k, n, r) => {
      assert.equal(isStill(m, k, n, r, { a: false, b: false }), [true, true]);
    }),
  );
});

test.run();
