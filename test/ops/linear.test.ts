// The linear layer with its low-rank branch: values and gradients, what is computed at all, and what is refused.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../src/core/error.ts";
import { array } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/linear.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { dropout } from "../../src/tensor/dropout.ts";
import { type LowRankBranch, linear } from "../../src/tensor/linear.ts";
import { manualSeed } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import { fill, seed, size, sizeOrZero } from "../support/arbitraries.ts";
import { expectClose } from "../support/compare.ts";
import { differentiate } from "../support/differentiate.ts";
import { all, expectRefusal, U } from "./againstReference.ts";
import {
  expectation,
  expectLayer,
  expectSameRun,
  type LinearSizes,
  layerOf,
  maskOf,
  type Part,
  runLayer,
  type Weight,
} from "./linearCase.ts";

const weights = fc.constantFrom<Weight>("trained", "rows", "panels", "both");
const one = all[0]!.engine;

// Rows as one axis, or as several.
const leading = fc.oneof(
  size(45).map((m) => [m]),
  fc.constantFrom([], [0], [1, 1], [2, 0, 3], [3, 1, 5], [2, 2, 2, 3], [1, 2, 1, 2, 1]),
);

const sizes: fc.Arbitrary<LinearSizes> = fc.record({
  leading,
  n: sizeOrZero(40),
  k: sizeOrZero(40),
  r: fc.option(fc.integer({ min: 0, max: 20 })),
  bias: fc.boolean(),
  scale: fc.constantFrom(1, 2, 0.1, -1.5, 0),
  p: fc.constantFrom(0, 0, 0.1, 0.5, 0.875),
  seed,
});

// Throws unless every engine agrees with the reference, and both thread counts of a build with each other.
function expectReference(sizes: LinearSizes, weight: Weight, fresh: boolean): void {
  const layer = layerOf(sizes);
  const expected = expectation(layer);
  const runs = all.map(({ name, engine }) => {
    const got = runLayer(engine, layer, { weight, fresh });
    expectLayer(got, expected, `${name}, weight: ${weight}`);
    return got;
  });
  expectSameRun(runs[1]!, runs[0]!, "2 threads against 1, baseline");
  expectSameRun(runs[3]!, runs[2]!, "2 threads against 1, relaxed");
}

test("the layer and all its gradients are the reference's, whatever it is made of", () => {
  fc.assert(fc.property(sizes, weights, fc.boolean(), expectReference), { numRuns: 120 });
});

test("so they are at sizes that are shared by two threads, and over several blocks of a sum", () => {
  const base = { bias: true, scale: 0.5, seed: 1 };
  for (const [m, n, k, r, p] of [
    [127, 65, 15, 5, 0],
    [127, 65, 15, 5, 0.25],
    [33, 70, 64, 20, 0.5],
    // Three blocks of a sum over k, over n and over the rows in the relaxed build, two in the other.
    [2, 19, 530, 3, 0.1],
    [7, 530, 19, 16, 0],
    [530, 19, 7, 1, 0.1],
  ] as const) {
    for (const weight of ["trained", "panels"] as const) {
      expectReference({ ...base, leading: [m], n, k, r, p }, weight, r === 5);
    }
  }
});

test("an x without elements, and layers without inputs or outputs, give zeros or nothing", () => {
  for (const { engine } of all) {
    const shapes = { bias: true, r: 2, scale: 1, p: 0, seed: 3 };
    const noInputs = runLayer(engine, layerOf({ ...shapes, leading: [2], n: 3, k: 0 }));
    const { bias } = layerOf({ ...shapes, leading: [2], n: 3, k: 0 }).parts;
    assert.equal([...noInputs.y], [...bias!.data, ...bias!.data]);
    assert.is(runLayer(engine, layerOf({ ...shapes, leading: [2], n: 0, k: 3 })).y.length, 0);
    assert.is(runLayer(engine, layerOf({ ...shapes, leading: [0], n: 2, k: 3 })).y.length, 0);
  }
});

test("the mask of the branch is the one that dropout draws in its place", () => {
  for (const { engine } of all) {
    engine.run(() => {
      const shape = [7, 19];
      manualSeed(5 + 2 ** 33);
      scope(() => {
        for (const ordinal of [0, 1]) {
          const kept = dropout(tensor(new Float32Array(133).fill(1), { shape }), { p: 0.3 });
          const mask = maskOf(shape, 5 + 2 ** 33, ordinal, Math.fround(0.3));
          assert.equal(
            Array.from(kept.toArray(), (value) => (value === 0 ? 0 : 1)),
            [...mask.data],
          );
        }
      });
    });
  }
});

test("each layer of a step draws its own mask, layers without dropout none", () => {
  const layer = layerOf({ leading: [9], n: 5, k: 11, r: 3, bias: true, scale: 2, p: 0.5, seed: 8 });
  const expected = [0, 1].map((ordinal) => expectation(layer, ordinal));
  for (const { name, engine } of all) {
    expectLayer(runLayer(engine, layer), expected[0]!, name);
    const second = runLayer(engine, layer, {
      op: (apply, x) => {
        linear(x, zeros([2, 11]));
        apply(x);
        return apply(x);
      },
    });
    expectLayer(second, expected[1]!, `the second layer, ${name}`);
  }
});

test("gradients add up when x feeds several layers", () => {
  const shape = { leading: [6], n: 10, k: 7, bias: true, scale: 1, seed: 2 };
  for (const [r, p] of [
    [null, 0],
    [4, 0],
    [4, 0.5],
  ] as const) {
    const layer = layerOf({ ...shape, r, p });
    const [first, second] = [expectation(layer, 0), expectation(layer, 1)];
    for (const { name, engine } of all) {
      for (const fresh of [false, true]) {
        const got = runLayer(engine, layer, { fresh, op: (apply, x) => apply(x).add(apply(x)) });
        for (const part of ["x", "w", "bias", ...(r === null ? [] : ["a", "b"])] as Part[]) {
          const sum = first.values[part]!.data.map((v, i) => v + second.values[part]!.data[i]!);
          // One more rounding of the whole is far less than the ten that each bound holds beside its sums.
          const bound = first.bounds[part]!.data.map((v, i) => v + second.bounds[part]!.data[i]!);
          expectClose(got.gradients[part]!, sum, bound, { what: `gradient of ${part}, ${name}` });
        }
      }
    }
  }
});

test("only the gradients that are needed are computed, with the bits they have among the others", () => {
  const counters = ["productInputGradient", "productWeightGradient", "productLowRank"] as const;
  for (const p of [0, 0.5]) {
    const layer = layerOf({ leading: [5], n: 6, k: 9, r: 2, bias: true, scale: 1, p, seed: 4 });
    for (const { name, engine } of all) {
      const whole = runLayer(engine, layer);
      for (const needed of [["x"], ["w"], ["bias"], ["a"], ["b"], ["x", "b"], []] as Part[][]) {
        const before = engine.stats();
        const got = runLayer(engine, layer, { needed });
        const after = engine.stats();
        for (const part of ["x", "w", "bias", "a", "b"] as const) {
          const expected = needed.includes(part) ? whole.gradients[part]! : null;
          assert.equal(got.gradients[part], expected, `${part} of ${needed}, ${name}`);
        }
        // Products with A or B: two forward, dY·B if A or x asks for it, then one for each of A, B and x.
        const has = (part: Part): number => Number(needed.includes(part));
        const branch = 2 + Math.max(has("a"), has("x")) + has("a") + has("b") + has("x");
        assert.equal(
          counters.map((counter) => after[counter] - before[counter]),
          [has("x"), has("w"), branch],
          `products for ${needed}, ${name}`,
        );
      }
    }
  }
});

test("one tensor may be x and weight, x and a factor, or both factors at once", () => {
  const t = array([6, 6], fill([6, 6], 1));
  const w = array([6, 6], fill([6, 6], 2));
  const dy = array([6, 6], fill([6, 6], 3));
  const cases: readonly [string, readonly (0 | 1)[]][] = [
    ["x and weight", [0, 0, 1, 1]],
    ["x and A", [0, 1, 0, 1]],
    ["all", [0, 0, 0, 0]],
    ["A and B", [1, 1, 0, 0]],
  ];
  for (const [what, picks] of cases) {
    const [x, W, A, B] = picks.map((i) => [t, w][i]!) as [typeof t, typeof t, typeof t, typeof t];
    const y = reference.linear(x, W, { lowRank: { A, B, scale: 0.5 } });
    const parts = reference.linearBackward(dy, x, W, { lowRank: { A, B, scale: 0.5 } });
    const roles = [parts.dx, parts.dW, parts.dA!, parts.dB!];
    const sum = array([6, 6]);
    roles.forEach((gradient, role) => {
      if (picks[role] === 0) for (let i = 0; i < 36; i++) sum.data[i]! += gradient.data[i]!;
    });
    // All numbers are below 2 in magnitude: y sums 6 products below 4 and 36 below 8 · 0.5; a gradient of any role
    // is no larger, four roles are 4 · 200. Roundings: sums of 6 within sums of 6, and a few.
    const bound = 30 * U * 4 * 200;
    for (const { name, engine } of all) {
      for (const fresh of [false, true]) {
        const got = differentiate(
          engine,
          { t, w },
          ({ t, w }) => {
            const [x, W, a, b] = picks.map((i) => [t, w][i]!) as [
              typeof t,
              typeof t,
              typeof t,
              typeof t,
            ];
            return linear(x, W, null, { a, b, scale: 0.5 });
          },
          dy.data,
          fresh,
        );
        expectClose(got.y, y.data, bound, { what: `y, ${what}, ${name}` });
        expectClose(got.gradients.t!, sum.data, bound, { what: `gradient, ${what}, ${name}` });
      }
    }
  }
});

test("shapes that do not fit are refused by name", () => {
  one.run(() =>
    scope(() => {
      const [x, w] = [zeros([2, 3, 4]), zeros([5, 4])];
      const ints = (shape: number[]) => zeros(shape, { dtype: "int32" });
      const refused = (fn: () => unknown, ...words: string[]): void =>
        expectRefusal(fn, ShapeError, ...words);
      refused(() => linear(x, zeros([4, 5])), "[2,3,4]", "[4,5]", "[N, K]");
      refused(() => linear(x, zeros([4])), "[2,3,4]", "[4]");
      refused(() => linear(x, zeros([1, 5, 4])), "[2,3,4]", "[1,5,4]");
      refused(() => linear(zeros([]), w), "x float32 []", "[5,4]");
      refused(() => linear(ints([2, 4]), w), "int32 [2,4]", "[5,4]");
      refused(() => linear(x, ints([5, 4])), "[2,3,4]", "int32", "[5,4]");
      refused(() => linear(x, w, zeros([4])), "bias", "[4]", "[5,4]", "expected float32 [5]");
      refused(() => linear(x, w, zeros([5, 1])), "bias", "[5,1]", "[5,4]");
      refused(() => linear(x, w, ints([5])), "bias", "int32 [5]", "float32 [5]");
      const branch = (a: number[], b: number[]): LowRankBranch => ({
        a: zeros(a),
        b: zeros(b),
        scale: 1,
      });
      refused(() => linear(x, w, null, branch([2, 5], [5, 2])), "A", "[2,5]", "[r, 4]");
      refused(() => linear(x, w, null, branch([8], [5, 2])), "A", "[8]", "[r, 4]");
      refused(() => linear(x, w, null, branch([2, 4], [4, 2])), "B", "[4,2]", "[5, 2]");
      refused(() => linear(x, w, null, branch([2, 4], [5, 3])), "B", "[5,3]", "[5, 2]");
      const whole = { a: ints([2, 4]), b: zeros([5, 2]), scale: 1 };
      refused(() => linear(x, w, null, whole), "A", "int32 [2,4]", "float32 [r, 4]");
    }),
  );
});

test("a dropout outside [0, 1) is refused", () => {
  one.run(() =>
    scope(() => {
      for (const p of [1, -0.1, 2, Number.NaN]) {
        const branch = { a: zeros([2, 4]), b: zeros([5, 2]), scale: 1, dropout: p };
        const refused = () => linear(zeros([3, 4]), zeros([5, 4]), null, branch);
        expectRefusal(refused, UsageError, `dropout is ${p}`, "below 1");
      }
    }),
  );
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
