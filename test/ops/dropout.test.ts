// Dropout: which elements go is random, but a function of seed, step, ordinal and place alone.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../src/core/error.ts";
import { type Arr, array } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/dropout.ts";
import { full, tensor } from "../../src/tensor/create.ts";
import { dropout } from "../../src/tensor/dropout.ts";
import { manualSeed } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import { fill, seed, shape } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { all, expectRefusal, expectThreads, run, tensorOf, U } from "./againstReference.ts";

function random(shape: readonly number[], seed: number): Arr {
  return array(shape, fill(shape, seed));
}

/** What is left of n ones, as 0 and 1: the mask of the next scope's first dropout. */
function maskOf(n: number, p: number): number[] {
  return scope(() => Array.from(dropout(full([n], 1), { p }).toArray(), (y) => (y === 0 ? 0 : 1)));
}

test("what is kept is divided by 1 - p, forward and backward, with the same mask", () => {
  fc.assert(
    fc.property(
      shape({ minRank: 0, maxSize: 33, maxRank: 3 }),
      fc.constantFrom(0.1, 0.25, 0.5, 0.9),
      seed,
      (shape, p, seed) => {
        const x = random(shape, seed);
        const dy = random(shape, seed + 1);
        for (const { engine } of all) {
          engine.run(() => manualSeed(seed));
          const { y, gradients } = run(engine, [x], dy, (x) => dropout(x, { p }));
          const mask = array(
            x.shape,
            Array.from(y, (value) => (value === 0 ? 0 : 1)),
          );
          // p and 1 / (1 - p) are rounded to float32, the former magnified by p / (1 - p); then the product is.
          const slack = U * (2.01 + p / (1 - p));
          const expected = reference.dropout(x, mask, p).data;
          expectClose(y, expected, (_, value) => slack * Math.abs(value));
          const dx = reference.dropoutBackward(dy, mask, p).data;
          expectClose(gradients[0]!, dx, (_, value) => slack * Math.abs(value));
        }
      },
    ),
    { numRuns: 40 },
  );
});

test("the share of dropped elements is p, wherever in the tensor one looks", () => {
  for (const { engine } of all) {
    engine.run(() => {
      manualSeed(7);
      for (const p of [0.05, 0.3, 0.5, 0.8]) {
        const n = 40000;
        const mask = maskOf(n, p);
        for (const part of [mask, mask.filter((_, i) => i % 4 === 3), mask.slice(0, 5000)]) {
          const dropped = part.filter((kept) => kept === 0).length / part.length;
          // Five standard deviations of a binomial share.
          const allowed = 5 * Math.sqrt((p * (1 - p)) / part.length);
          assert.ok(Math.abs(dropped - p) <= allowed, `${dropped} of ${part.length}, p = ${p}`);
        }
        // Dropped neighbours: p² of all pairs, with a variance below 3p²/n, since pairs overlap; five of its roots.
        const pairs = mask.filter((kept, i) => kept === 0 && mask[i + 1] === 0).length / n;
        const most = 5 * Math.sqrt(3 / n) * p;
        assert.ok(Math.abs(pairs - p * p) <= most, `${pairs} pairs of neighbours, p = ${p}`);
      }
    });
  }
});

test("an element's fate depends on its place alone: longer tensors begin with the same mask", () => {
  for (const { engine } of all) {
    engine.run(() => {
      manualSeed(3);
      const long = maskOf(1000, 0.5);
      for (const n of [1, 3, 16, 37, 999]) {
        manualSeed(3);
        assert.equal(maskOf(n, 0.5), long.slice(0, n));
      }
    });
  }
});

test("all builds and thread counts drop the same elements", () => {
  const masks = all.map(({ engine }) =>
    engine.run(() => {
      manualSeed(11);
      return maskOf(20000, 0.4);
    }),
  );
  for (const mask of masks) assert.equal(mask, masks[0]);
});

test("the same seed and step give the same mask; another seed, step or dropout gives another", () => {
  for (const { engine } of all) {
    engine.run(() => {
      const draw = (seed: number, step: number): number[] => {
        manualSeed(seed, step);
        return maskOf(256, 0.5);
      };
      const first = draw(1, 0);
      assert.equal(draw(1, 0), first);
      assert.not.equal(draw(2, 0), first);
      assert.not.equal(draw(1 + 2 ** 32, 0), first);
      const second = maskOf(256, 0.5);
      assert.not.equal(draw(1, 0), second);
      assert.equal(draw(1, 1), draw(1, 1));
      manualSeed(1);
      maskOf(1, 0.5);
      assert.equal(maskOf(256, 0.5), draw(1, 1));
      manualSeed(1);
      scope(() => {
        const x = full([256], 1);
        const [a, b] = [dropout(x).toArray(), dropout(x).toArray()];
        assert.not.equal([...a], [...b]);
      });
    });
  }
});

test("dropout gives the same bits on two threads", () => {
  const x = random([150, 101], 1);
  expectThreads([x], random([150, 101], 2), (x) => {
    manualSeed(5);
    return dropout(x, { p: 0.2 });
  });
});

test("dropped elements are 0, even infinite ones", () => {
  for (const { engine } of all) {
    engine.run(() =>
      scope(() => {
        manualSeed(1);
        const y = dropout(full([64], Number.POSITIVE_INFINITY)).toArray();
        assert.ok(y.every((value) => value === 0 || value === Number.POSITIVE_INFINITY));
        assert.ok(y.includes(0));
      }),
    );
  }
});

test("without training, or with p = 0, x is returned as it is", () => {
  all[0]!.engine.run(() =>
    scope(() => {
      const x = tensorOf(random([4], 1));
      assert.is(dropout(x, { training: false }), x);
      assert.is(dropout(x, { p: 0 }), x);
      expectSame(dropout(x, { p: 0.9, training: false }).toArray(), random([4], 1).data);
    }),
  );
});

test("probabilities outside [0, 1), and integers, are refused", () => {
  all[0]!.engine.run(() =>
    scope(() => {
      const x = tensor([1, 2]);
      for (const p of [1, -0.1, 1.5, Number.NaN]) {
        expectRefusal(() => dropout(x, { p }), UsageError, "p = ", "below 1");
      }
      expectRefusal(() => dropout(tensor(Int32Array.of(1))), ShapeError, "int32");
    }),
  );
});

test.run();
