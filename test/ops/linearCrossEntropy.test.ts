import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Engine } from "../../src/core/engine.ts";
import { ShapeError, UsageError } from "../../src/core/error.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { type CrossEntropyOptions, crossEntropy } from "../../src/tensor/crossEntropy.ts";
import { linear } from "../../src/tensor/linear.ts";
import { linearCrossEntropy } from "../../src/tensor/linearCrossEntropy.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, seed, size, uniform } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { differentiate, usesThreads } from "../support/differentiate.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const [one, two] = [all[0]!.engine, all[1]!.engine];
const U = 2 ** -24;

interface Sizes {
  readonly m: number;
  readonly v: number;
  readonly k: number;
  readonly ignored: number;
  readonly seed: number;
}

type Loss = (x: Tensor, w: Tensor, targets: Tensor, options?: CrossEntropyOptions) => Tensor;

const inTwoOps: Loss = (x, w, targets, options) => crossEntropy(linear(x, w), targets, options);

function operands({ m, v, k, ignored, seed }: Sizes) {
  const next = uniform(seed + 2);
  const targets = Int32Array.from({ length: m }, () =>
    next() < ignored ? -100 : Math.floor(next() * v),
  );
  return {
    x: { shape: [m, k], data: fill([m, k], seed) },
    w: { shape: [v, k], data: fill([v, k], seed + 1) },
    targets: { shape: [m], data: targets, dtype: "int32" as const },
  };
}

function run(engine: Engine, op: Loss, sizes: Sizes, fresh = false, options?: CrossEntropyOptions) {
  return differentiate(
    engine,
    operands(sizes),
    ({ x, w, targets }) => op(x, w, targets, options),
    [0.75],
    fresh,
  );
}

const sizes = fc.record({
  m: fc.oneof(size(40), fc.constantFrom(0, 127, 128)),
  v: size(80),
  k: size(40),
  ignored: fc.constantFrom(0, 0.5, 0.98, 1),
  seed,
});

for (const [i, { name, engine }] of all.entries()) {
  // What two ops give on one thread of the same build.
  const plain = all[i & 2]!.engine;

  // Up to 128 rows are one chunk, and one block of the sum over rows in the product dYᵀ·X of linear: dW is the same
  // sum too. Rows left out add zeros there.
  test(`loss and gradients have the bits of linear and crossEntropy, up to one chunk of rows (${name})`, () => {
    fc.assert(
      fc.property(
        sizes,
        fc.boolean(),
        fc.constantFrom("mean" as const, "sum" as const),
        (sizes, fresh, reduction) => {
          const got = run(engine, linearCrossEntropy, sizes, fresh, { reduction });
          const expected = run(plain, inTwoOps, sizes, fresh, { reduction });
          expectSame(got.y, expected.y, { what: "loss" });
          expectSame(got.gradients.x!, expected.gradients.x!, { what: "dx" });
          expectSame(got.gradients.w!, expected.gradients.w!, { what: "dw" });
        },
      ),
      { numRuns: 60 },
    );
  });

  test(`over several chunks loss and dx keep their bits, dw is the same sum in another order (${name})`, () => {
    for (const m of [129, 256, 300, 700]) {
      for (const ignored of [0, 0.4]) {
        const sizes = { m, v: 37, k: 19, ignored, seed: m };
        const got = run(engine, linearCrossEntropy, sizes, true);
        const expected = run(plain, inTwoOps, sizes, true);
        expectSame(got.y, expected.y, { what: "loss" });
        expectSame(got.gradients.x!, expected.gradients.x!, { what: "dx" });
        // Both are sums of m products dL·x, |dL| ≤ 0.75 / rows and |x| ≤ 2, each off by m roundings at most.
        const tolerance = 2 * (m + 2) * U * 0.75 * 2;
        expectClose(got.gradients.w!, expected.gradients.w!, tolerance, { what: "dw" });
      }
    }
  });

  test(`a frozen weight gives the same bits in rows and in panels of either kind, and gets no gradient (${name})`, () => {
    fc.assert(
      fc.property(sizes, (sizes) => {
        const { x, w, targets } = operands(sizes);
        const results = ([null, "forward", "both"] as const).map((prepack) => {
          const weight = engine.run(() => tensor(Float32Array.from(w.data), { shape: w.shape }));
          if (prepack !== null) weight.pack({ prepack });
          const got = differentiate(
            engine,
            { x, targets },
            ({ x, targets }) => linearCrossEntropy(x, weight, targets),
            [1],
          );
          assert.is(weight.grad, null);
          weight.dispose();
          return got;
        });
        for (const result of results.slice(1)) {
          expectSame(result.y, results[0]!.y);
          expectSame(result.gradients.x!, results[0]!.gradients.x!);
        }
      }),
      { numRuns: 30 },
    );
  });

  test(`one tensor may be x and weight at once (${name})`, () => {
    const { w, targets } = operands({ m: 5, v: 5, k: 12, ignored: 0.2, seed: 9 });
    const own = (engine: Engine, op: Loss) =>
      differentiate(engine, { w, targets }, ({ w, targets }) => op(w, w, targets), [1]);
    const got = own(engine, linearCrossEntropy);
    const expected = own(plain, inTwoOps);
    expectSame(got.y, expected.y);
    // dx and dw arrive in another order: |dL| ≤ 1, |w| ≤ 2, sums of 5, 5 and 2 terms.
    expectClose(got.gradients.w!, expected.gradients.w!, 2 * 12 * U * 10 * 2);
  });
}

for (const [first, second] of [all.slice(0, 2), all.slice(2)] as const) {
  test(`two threads give the bits of one (${first!.name}, ${second!.name})`, () => {
    for (const ignored of [0, 0.4, 0.995]) {
      const sizes = { m: 300, v: 70, k: 40, ignored, seed: 5 };
      for (const fresh of [false, true]) {
        const a = run(first!.engine, linearCrossEntropy, sizes, fresh);
        const b = run(second!.engine, linearCrossEntropy, sizes, fresh);
        expectSame(a.y, b.y);
        expectSame(a.gradients.x!, b.gradients.x!);
        expectSame(a.gradients.w!, b.gradients.w!);
      }
    }
  });
}

test("it runs on both threads, and never holds all logits", () => {
  const [m, v, k] = [4000, 1000, 16];
  const logits = m * v * 4;
  two.run(() => {
    const x = zeros([m, k], { requiresGrad: true });
    const w = zeros([v, k]);
    const targets = tensor(new Int32Array(m));
    assert.ok(
      usesThreads(two, () =>
        scope(() => {
          linearCrossEntropy(x, w, targets).backward();
        }),
      ),
    );
    const { arenaPeak, scratchBytes } = two.stats();
    assert.ok(arenaPeak + scratchBytes < logits / 4, `${arenaPeak} + ${scratchBytes} bytes`);
    for (const t of [x, w, targets]) t.dispose();
  });
});

test("misfits are refused with both shapes, a target out of range with index and value", () => {
  one.run(() => {
    const [x, w] = [zeros([4, 3]), zeros([5, 3])];
    assert.throws(
      () => linearCrossEntropy(x, zeros([5, 4]), tensor(new Int32Array(4))),
      (e: Error) =>
        e instanceof ShapeError && e.message.includes("[4,3]") && e.message.includes("[5,4]"),
    );
    assert.throws(
      () => linearCrossEntropy(x, w, tensor(new Int32Array(5))),
      (e: Error) => e instanceof ShapeError && e.message.includes("[5]"),
    );
    assert.throws(
      () => linearCrossEntropy(x, w, tensor(Int32Array.of(0, -1, 2, 3))),
      (e: Error) =>
        e instanceof UsageError && e.message.includes("target -1") && e.message.includes("[1]"),
    );
  });
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
