import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError, UsageError } from "../../src/core/error.ts";
import { type Arr, array, row } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/crossEntropy.ts";
import { logSumExp, softmax } from "../../src/reference/softmax.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { type CrossEntropyOptions, crossEntropy } from "../../src/tensor/crossEntropy.ts";
import { scope } from "../../src/tensor/scope.ts";
import { fill, seed, size, uniform } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { differentiate, usesThreads } from "../support/differentiate.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const [one, two] = [all[0]!.engine, all[1]!.engine];
const U = 2 ** -24;
const RANGE = { min: -20, max: 20 };

// Targets of which some are to be left out; `ignored` is the share of them.
function someTargets(n: number, v: number, seed: number, ignored: number): Arr {
  const next = uniform(seed);
  const data = Float64Array.from({ length: n }, () => {
    const target = Math.floor(next() * v);
    return next() < ignored ? -100 : target;
  });
  return array([n], data);
}

const cases = fc.record({
  n: fc.integer({ min: 0, max: 12 }),
  v: size(140),
  ignored: fc.constantFrom(0, 0.4, 1),
  reduction: fc.constantFrom("mean" as const, "sum" as const),
  seed,
  fresh: fc.boolean(),
});

for (const { name, engine } of all) {
  test(`loss and gradient are the reference's (${name})`, () => {
    fc.assert(
      fc.property(cases, ({ n, v, ignored, reduction, seed, fresh }) => {
        const logits = array([n, v], fill([n, v], seed, RANGE));
        const targets = someTargets(n, v, seed + 1, ignored);
        const options: CrossEntropyOptions = { reduction };
        const got = differentiate(
          engine,
          { logits, targets: { ...targets, dtype: "int32" } },
          ({ logits, targets }) => crossEntropy(logits, targets, options),
          [0.75],
          fresh,
        );
        const loss = reference.crossEntropy(logits, targets, options);
        const dx = reference.crossEntropyBackward(array([], [0.75]), logits, targets, options);
        const p = softmax(logits);
        const counted = targets.data.filter((t) => t !== -100).length;
        const weight = reduction === "mean" && counted > 0 ? 1 / counted : 1;
        let tolerance = Math.abs(loss.data[0]!) * 2 * U;
        const dxTolerance = new Float64Array(n * v);
        for (let i = 0; i < n; i++) {
          if (targets.data[i] === -100) continue;
          const x = row(logits, i);
          const range = Math.max(...x) - Math.min(...x);
          // As in softmax.test.ts: differences, exp's 2 ulp, n roundings of the sum, log's 2 ulp, the loss itself.
          const sum = (range + v + 5) * U;
          const rowLoss = logSumExp(x) - x[targets.data[i]!]!;
          tolerance += weight * (range * U + sum + 4 * U * (Math.log(v) + 1) + 2 * U * rowLoss);
          for (let j = 0; j < v; j++) {
            const c = 0.75 * weight;
            const own = j === targets.data[i] ? 2 * U : 0;
            dxTolerance[i * v + j] =
              c * (p.data[i * v + j]! * (sum + (range + 10) * U) + own) + 2 ** -120;
          }
        }
        expectClose(got.y, loss.data, tolerance, { what: "loss" });
        expectClose(got.gradients.logits!, dx.data, dxTolerance, { what: "dx", shape: [n, v] });
      }),
    );
  });

  test(`without a row that counts, loss and gradient are exactly 0 (${name})`, () => {
    const { y, gradients } = differentiate(
      engine,
      {
        logits: { shape: [2, 5], data: fill([10], 1) },
        targets: { shape: [2], data: [7, 7], dtype: "int32" },
      },
      ({ logits, targets }) => crossEntropy(logits, targets, { ignoreIndex: 7 }),
      [1],
      true,
    );
    expectSame(y, [0]);
    expectSame(gradients.logits!, new Float32Array(10));
  });

  test(`the gradient of a row does not depend on the other rows of a sum (${name})`, () => {
    fc.assert(
      fc.property(size(70), seed, (v, seed) => {
        const logits = array([4, v], fill([4, v], seed, RANGE));
        const targets = someTargets(4, v, seed, 0);
        const run = (logits: Arr, targets: Arr) =>
          differentiate(
            engine,
            { logits, targets: { ...targets, dtype: "int32" as const } },
            ({ logits, targets }) => crossEntropy(logits, targets, { reduction: "sum" }),
            [1],
          ).gradients.logits!;
        const batch = run(logits, targets);
        for (let i = 0; i < 4; i++) {
          const alone = run(
            array([1, v], row(logits, i)),
            array([1], targets.data.subarray(i, i + 1)),
          );
          expectSame(alone, batch.subarray(i * v, (i + 1) * v));
        }
      }),
      { numRuns: 30 },
    );
  });

  test(`logits of 1000 and targets written anew: no overflow, and a replay sees them (${name})`, () => {
    engine.run(() =>
      scope(() => {
        const logits = tensor([[1000, 0, -1000]]);
        const targets = tensor(Int32Array.of(0));
        const loss = crossEntropy(logits, targets);
        assert.is(loss.item(), 0);
        targets.set([2]);
        engine.wasm.replay();
        assert.is(loss.item(), 2000);
        // What the front end could not see is not followed into memory.
        targets.set([3]);
        engine.wasm.replay();
        assert.ok(Number.isNaN(loss.item()));
      }),
    );
  });
}

for (const [first, second] of [all.slice(0, 2), all.slice(2)] as const) {
  test(`two threads give the bits of one (${first!.name}, ${second!.name})`, () => {
    const logits = array([61, 113], fill([61, 113], 3, RANGE));
    for (const ignored of [0, 0.5, 0.97]) {
      const targets = someTargets(61, 113, 4, ignored);
      for (const fresh of [false, true]) {
        const [a, b] = [first!, second!].map(({ engine }) =>
          differentiate(
            engine,
            { logits, targets: { ...targets, dtype: "int32" as const } },
            ({ logits, targets }) => crossEntropy(logits, targets),
            [1],
            fresh,
          ),
        );
        expectSame(a!.y, b!.y);
        expectSame(a!.gradients.logits!, b!.gradients.logits!);
      }
    }
  });
}

test("a large loss runs on both threads", () => {
  two.run(() => {
    const logits = zeros([64, 128]);
    const targets = tensor(new Int32Array(64));
    assert.ok(usesThreads(two, () => crossEntropy(logits, targets).dispose()));
  });
});

test("forward keeps statistics of rows, not probabilities", () => {
  one.run(() =>
    scope(() => {
      const logits = zeros([32, 1000], { requiresGrad: true });
      const targets = tensor(new Int32Array(32));
      const before = one.stats().arenaBytes;
      crossEntropy(logits, targets);
      // 32 numbers a row at most, of the 1000 that probabilities would take.
      assert.ok(one.stats().arenaBytes - before < 32 * 32 * 4);
    }),
  );
});

test("a target out of range is refused with its index and value, other misfits with both shapes", () => {
  one.run(() => {
    const logits = zeros([2, 3, 5]);
    const bad = tensor(Int32Array.of(0, 1, 2, 3, 5, -100), { shape: [2, 3] });
    assert.throws(
      () => crossEntropy(logits, bad),
      (e: Error) =>
        e instanceof UsageError && e.message.includes("target 5") && e.message.includes("[1,1]"),
    );
    assert.throws(
      () => crossEntropy(logits, tensor(new Int32Array(6))),
      (e: Error) =>
        e instanceof ShapeError && e.message.includes("[6]") && e.message.includes("[2,3]"),
    );
    assert.throws(
      () => crossEntropy(logits, zeros([2, 3])),
      (e: Error) => e instanceof ShapeError && e.message.includes("float32"),
    );
    const good = tensor(new Int32Array(6), { shape: [2, 3] });
    assert.throws(
      () => crossEntropy(logits, good, { ignoreIndex: 0.5 }),
      (e: Error) => e instanceof UsageError && e.message.includes("0.5"),
    );
  });
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
