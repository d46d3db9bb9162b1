// Output head and loss as one op where the head has a low-rank branch: the numbers of linear and crossEntropy.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Engine } from "../../src/core/engine.ts";
import { ShapeError, UsageError } from "../../src/core/error.ts";
import { array } from "../../src/reference/array.ts";
import * as referenceLoss from "../../src/reference/crossEntropy.ts";
import * as referenceLinear from "../../src/reference/linear.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { crossEntropy } from "../../src/tensor/crossEntropy.ts";
import { linear } from "../../src/tensor/linear.ts";
import { linearCrossEntropy } from "../../src/tensor/linearCrossEntropy.ts";
import { manualSeed } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, seed, size, uniform } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { differentiate } from "../support/differentiate.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const [one] = [all[0]!.engine];
const U = 2 ** -24;
const SCALE = 0.5;

interface Case {
  readonly m: number;
  readonly v: number;
  readonly k: number;
  readonly r: number;
  readonly ignored: number;
  readonly trained: boolean;
  readonly fresh: boolean;
  readonly reduction: "mean" | "sum";
  /** The gradient of the loss. */
  readonly g: number;
  readonly seed: number;
  readonly dropout?: number;
}

const cases: fc.Arbitrary<Case> = fc.record({
  m: fc.oneof(size(40), fc.constantFrom(0, 127, 128)),
  v: size(80),
  k: size(40),
  r: fc.integer({ min: 1, max: 9 }),
  ignored: fc.constantFrom(0, 0.5, 0.98, 1),
  trained: fc.boolean(),
  fresh: fc.boolean(),
  reduction: fc.constantFrom("mean", "sum"),
  g: fc.constantFrom(1, 0.75),
  seed,
});

type Loss = (x: Tensor, w: Tensor, targets: Tensor, a: Tensor, b: Tensor, given: Case) => Tensor;

const inOne: Loss = (x, w, targets, a, b, { reduction, dropout = 0 }) =>
  linearCrossEntropy(x, w, targets, { reduction, lowRank: { a, b, scale: SCALE, dropout } });
const inTwo: Loss = (x, w, targets, a, b, { reduction, dropout = 0 }) =>
  crossEntropy(linear(x, w, null, { a, b, scale: SCALE, dropout }), targets, { reduction });

function operands({ m, v, k, r, ignored, trained, seed }: Case) {
  const next = uniform(seed + 9);
  const targets = Float64Array.from({ length: m }, () =>
    next() < ignored ? -100 : Math.floor(next() * v),
  );
  return {
    x: array([m, k], fill([m, k], seed)),
    w: { ...array([v, k], fill([v, k], seed + 1)), grad: trained },
    a: array([r, k], fill([r, k], seed + 2)),
    b: array([v, r], fill([v, r], seed + 3)),
    targets: { ...array([m], targets), dtype: "int32" as const },
  };
}

function run(engine: Engine, op: Loss, given: Case) {
  return differentiate(
    engine,
    operands(given),
    ({ x, w, targets, a, b }) => {
      engine.run(() => manualSeed(4));
      return op(x, w, targets, a, b, given);
    },
    [given.g],
    given.fresh,
  );
}

for (const [i, { name, engine }] of all.entries()) {
  const plain = all[i & 2]!.engine;

  test(`loss and gradients have the bits of linear and crossEntropy, up to one chunk of rows (${name})`, () => {
    fc.assert(
      fc.property(cases, (given) => {
        const got = run(engine, inOne, given);
        const expected = run(plain, inTwo, given);
        expectSame(got.y, expected.y, { what: "loss" });
        for (const part of ["x", "a", "b"] as const) {
          expectSame(got.gradients[part]!, expected.gradients[part]!, { what: `d${part}` });
        }
        if (given.trained) expectSame(got.gradients.w!, expected.gradients.w!, { what: "dw" });
        else assert.is(got.gradients.w, null);
      }),
      { numRuns: 80 },
    );
  });

  test(`over several chunks loss and dx keep their bits, dA and dB are the same sums in another order (${name})`, () => {
    for (const m of [129, 300, 700]) {
      for (const [g, fresh] of [
        [1, true],
        [1, false],
        [0.75, true],
      ] as const) {
        const given: Case = {
          ...{ m, v: 37, k: 19, r: 3, ignored: 0.3, trained: false, reduction: "mean" },
          ...{ seed: m, g, fresh },
        };
        const got = run(engine, inOne, given);
        const expected = run(plain, inTwo, given);
        expectSame(got.y, expected.y, { what: "loss" });
        expectSame(got.gradients.x!, expected.gradients.x!, { what: "dx" });
        // Sums of m products: |dL| ≤ 1 / rows in a mean and Σ |dL| ≤ 2 / rows over a row; |x|, |A|, |B| ≤ 2, so that
        // |t| ≤ 0.5·19·4 and |dt| ≤ 0.5·2·2 / rows. Each is off by m roundings at most, in either order.
        const sums = 2 * (m + 2) * U;
        expectClose(got.gradients.b!, expected.gradients.b!, sums * 38, { what: "dB" });
        expectClose(got.gradients.a!, expected.gradients.a!, sums * 4, { what: "dA" });
      }
    }
  });

  test(`gradients are those of the float64 reference (${name})`, () => {
    fc.assert(
      fc.property(cases, (given) => {
        const { x, w, a, b, targets } = operands(given);
        const lowRank = { A: a, B: b, scale: SCALE };
        const logits = referenceLinear.linear(x, w, { lowRank });
        const options = { reduction: given.reduction };
        const loss = referenceLoss.crossEntropy(logits, targets, options);
        const dy = referenceLoss.crossEntropyBackward(
          array([], [given.g]),
          logits,
          targets,
          options,
        );
        const { dx, dA, dB } = referenceLinear.linearBackward(dy, x, w, { lowRank });
        const got = run(engine, inOne, given);
        const { k, r, v, m } = given;
        // |x|, |W|, |A|, |B| ≤ 2: a logit is at most 4k + 8kr·s and off by so many roundings of it; a probability by twice
        // that and the v roundings of its sum; what is summed over v columns or m rows of it is at most 2 a row, times
        // 4, t or B.
        const most = 4 * k + 8 * k * r * SCALE;
        const logit = (k + 2 * r + 5) * U * most;
        const row = 2 * (2 * logit + (2 * most + v + 20) * U);
        expectClose(
          got.y,
          loss.data,
          m * (2 * logit + (2 * most + v + 20) * U) + Math.abs(loss.data[0]!) * 2 * U,
        );
        expectClose(got.gradients.x!, dx.data, (row + v * U) * (2 + 4 * r * SCALE) * 2);
        expectClose(got.gradients.a!, dA!.data, m * (row + (v + m) * U) * 4 * SCALE * 2);
        expectClose(got.gradients.b!, dB!.data, m * (row + (k + m) * U) * 4 * k * SCALE * 2);
      }),
      { numRuns: 30 },
    );
  });
}

test("with dropout it is the two ops", () => {
  const given: Case = {
    ...{ m: 30, v: 20, k: 16, r: 2, ignored: 0.2, trained: true, fresh: true },
    ...{ reduction: "mean", g: 1, seed: 3, dropout: 0.4 },
  };
  const [got, expected] = [run(one, inOne, given), run(one, inTwo, given)];
  expectSame(got.y, expected.y);
  for (const part of ["x", "w", "a", "b"] as const) {
    expectSame(got.gradients[part]!, expected.gradients[part]!, { what: part });
  }
});

test("a weight that is frozen or thawed between forward and backward changes no other gradient", () => {
  const given: Case = {
    ...{ m: 140, v: 20, k: 16, r: 2, ignored: 0.2, trained: true, fresh: true },
    ...{ reduction: "mean", g: 1, seed: 5 },
  };
  const { x, w, a, b, targets } = operands(given);
  const run = (before: boolean, after: boolean): (Float32Array | null)[] =>
    one.run(() => {
      const leaf = (from: { data: Float64Array; shape: readonly number[] }, requiresGrad = true) =>
        tensor(Float32Array.from(from.data), { shape: from.shape, requiresGrad });
      const leaves = [leaf(x), leaf(w, before), leaf(a), leaf(b)] as const;
      const ids = tensor(Int32Array.from(targets.data));
      scope(() => {
        const [input, weight, a, b] = leaves;
        // The gradient of what an op has made is stored, not added.
        const lowRank = { a: a.neg(), b: b.neg(), scale: SCALE };
        const loss = linearCrossEntropy(input.neg(), weight, ids, { lowRank });
        weight.requiresGrad = after;
        loss.backward();
      });
      const gradients = leaves.map((leaf) => leaf.grad);
      for (const t of [...leaves, ids]) t.dispose();
      return gradients;
    });
  const [expected, frozen] = [run(true, true), run(false, false)];
  for (const i of [0, 2, 3]) assert.equal(frozen[i], expected[i]);
  assert.equal(run(true, false), frozen);
  assert.equal(run(false, true), expected);
});

test("a frozen weight may lie in panels, and the logits are never all there", () => {
  const [m, v, k] = [2000, 1000, 16];
  one.run(() => {
    const x = zeros([m, k], { requiresGrad: true });
    const [a, b] = [zeros([4, k], { requiresGrad: true }), zeros([v, 4], { requiresGrad: true })];
    const w = zeros([v, k]);
    w.pack();
    const targets = tensor(new Int32Array(m));
    scope(() => {
      linearCrossEntropy(x.neg(), w, targets, { lowRank: { a, b, scale: 1 } }).backward();
    });
    const { arenaPeak, scratchBytes } = one.stats();
    assert.ok(arenaPeak + scratchBytes < (m * v * 4) / 4, `${arenaPeak} + ${scratchBytes} bytes`);
    for (const t of [x, a, b, w, targets]) t.dispose();
  });
});

test("a branch that does not fit is refused", () => {
  one.run(() => {
    const [x, w, targets] = [zeros([4, 3]), zeros([5, 3]), tensor(new Int32Array(4))];
    const [a, b] = [zeros([2, 3]), zeros([5, 2])];
    const refused = (lowRank: { a: Tensor; b: Tensor; scale: number; dropout?: number }) => () =>
      linearCrossEntropy(x, w, targets, { lowRank });
    assert.throws(
      refused({ a: b, b, scale: 1 }),
      (e: Error) => e instanceof ShapeError && /\[5,2\]/.test(e.message),
    );
    assert.throws(
      refused({ a, b: a, scale: 1 }),
      (e: Error) => e instanceof ShapeError && /\[2,3\]/.test(e.message),
    );
    assert.throws(
      refused({ a, b, scale: 1, dropout: 1 }),
      (e: Error) => e instanceof UsageError && /dropout is 1/.test(e.message),
    );
    for (const t of [x, w, targets, a, b]) t.dispose();
  });
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
