// A loss with a factor is the loss times the factor, to the bit: the gradients that forward takes ahead are those of backward.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Engine } from "../../src/core/engine.ts";
import { ShapeError, UsageError } from "../../src/core/error.ts";
import { array } from "../../src/reference/array.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { crossEntropy } from "../../src/tensor/crossEntropy.ts";
import { linear } from "../../src/tensor/linear.ts";
import { linearCrossEntropy } from "../../src/tensor/linearCrossEntropy.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, seed, size, uniform } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { differentiate } from "../support/differentiate.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const [one] = [all[0]!.engine];

interface Case {
  readonly m: number;
  readonly v: number;
  readonly k: number;
  /** 0 for no branch. */
  readonly r: number;
  readonly ignored: number;
  readonly trained: boolean;
  readonly fresh: boolean;
  /** Does the factor train? */
  readonly learned: boolean;
  readonly reduction: "mean" | "sum";
  readonly factor: number;
  readonly g: number;
  readonly seed: number;
}

const cases: fc.Arbitrary<Case> = fc.record({
  m: fc.oneof(size(40), fc.constantFrom(0, 128, 129, 300)),
  v: size(80),
  k: size(40),
  r: fc.integer({ min: 0, max: 9 }),
  ignored: fc.constantFrom(0, 0.5, 1),
  trained: fc.boolean(),
  fresh: fc.boolean(),
  learned: fc.boolean(),
  reduction: fc.constantFrom("mean", "sum"),
  factor: fc.constantFrom(1 / 3, 1, 0, -2.7, 1 / 1023),
  g: fc.constantFrom(1, 0.75),
  seed,
});

function run(engine: Engine, given: Case, within: boolean, isHead: boolean) {
  const { m, v, k, r, ignored, trained, learned, reduction, seed } = given;
  const next = uniform(seed + 9);
  const targets = Float64Array.from({ length: m }, () =>
    next() < ignored ? -100 : Math.floor(next() * v),
  );
  const operands = {
    x: array([m, k], fill([m, k], seed)),
    w: { ...array([v, k], fill([v, k], seed + 1)), grad: trained },
    a: array([Math.max(r, 1), k], fill([Math.max(r, 1), k], seed + 2)),
    b: array([v, Math.max(r, 1)], fill([v, Math.max(r, 1)], seed + 3)),
    factor: { ...array([], [given.factor]), grad: learned },
    targets: { ...array([m], targets), dtype: "int32" as const },
  };
  const loss = (parts: Record<keyof typeof operands, Tensor>): Tensor => {
    const { x, w, a, b, factor, targets } = parts;
    const lowRank = { a, b, scale: 0.5 };
    const options = { reduction, ...(within ? { factor } : {}) };
    const plain = isHead
      ? linearCrossEntropy(x, w, targets, { ...options, ...(r > 0 ? { lowRank } : {}) })
      : crossEntropy(linear(x, w, null, r > 0 ? lowRank : null), targets, options);
    return within ? plain : plain.mul(factor);
  };
  return differentiate(engine, operands, loss, [given.g], given.fresh);
}

for (const { name, engine } of all) {
  test(`a loss with a factor has the bits of the loss times the factor (${name})`, () => {
    fc.assert(
      fc.property(cases, fc.boolean(), (given, isHead) => {
        const got = run(engine, given, true, isHead);
        const expected = run(engine, given, false, isHead);
        expectSame(got.y, expected.y, { what: "loss" });
        for (const part of ["x", "w", "a", "b", "factor"] as const) {
          const [found, known] = [got.gradients[part], expected.gradients[part]];
          if (found && known) expectSame(found, known, { what: `d${part}` });
          else assert.is(found, known);
        }
      }),
      { numRuns: 120 },
    );
  });
}

test("with a factor forward has made the logits for backward, whatever the reduction", () => {
  const [m, v, k] = [256, 64, 32];
  const work = (reduction: "mean" | "sum", within: boolean): number =>
    one.run(() => {
      const x = zeros([m, k], { requiresGrad: true });
      const [w, factor, targets] = [zeros([v, k]), tensor(0.5), tensor(new Int32Array(m))];
      const spent = scope(() => {
        const options = { reduction, ...(within ? { factor } : {}) };
        const loss = linearCrossEntropy(x.neg(), w, targets, options);
        const scaled = within ? loss : loss.mul(factor);
        const before = one.stats().threadWork[0]!;
        scaled.backward();
        return one.stats().threadWork[0]! - before;
      });
      for (const t of [x, w, factor, targets]) t.dispose();
      return spent;
    });
  for (const reduction of ["mean", "sum"] as const) {
    assert.ok(work(reduction, false) > m * v * k);
    assert.ok(work(reduction, true) < m * v * k, reduction);
  }
});

test("a factor that is not one number is refused with its shape", () => {
  one.run(() => {
    const [x, w, factor] = [zeros([4, 3]), zeros([5, 3]), zeros([2])];
    const ids = tensor(new Int32Array(4));
    for (const loss of [
      () => linearCrossEntropy(x, w, ids, { factor }),
      () => crossEntropy(linear(x, w), ids, { factor }),
    ]) {
      assert.throws(
        () => scope(() => void loss()),
        (e: Error) => e instanceof ShapeError && /factor of float32 \[2\]/.test(e.message),
      );
    }
    for (const wrong of [0.5, null] as unknown[] as Tensor[]) {
      assert.throws(
        () => scope(() => void crossEntropy(linear(x, w), ids, { factor: wrong })),
        (e: Error) => e instanceof UsageError && e.message.includes(`got ${wrong} as factor`),
      );
    }
    for (const t of [x, w, factor, ids]) t.dispose();
  });
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test("a factor that is told to train only after the loss was taken gets no gradient", () => {
  one.run(() => {
    const x = zeros([8, 16], { requiresGrad: true, persistent: true });
    const w = tensor(Float32Array.from(fill([10, 16], 1)), { shape: [10, 16], persistent: true });
    const targets = tensor([1, 2, 3, 4, 5, 6, 7, 8], { dtype: "int32", persistent: true });
    const factor = tensor(2, { shape: [], persistent: true });
    // What the next scope finds in its memory.
    scope(() => tensor(new Float32Array(4096).fill(7)).neg());
    scope(() => {
      const loss = linearCrossEntropy(x.neg(), w, targets, { factor });
      factor.requiresGrad = true;
      loss.backward();
    });
    assert.equal(factor.grad ?? new Float32Array(1), new Float32Array(1));
    for (const tensor of [x, w, targets, factor]) tensor.dispose();
  });
});

test.run();
