// What an optimizer remembers: saved and loaded to the bit, kept for parameters that are stepped, freed in the end.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { MemoryError, ReleasedError } from "../../src/core/error.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { clipGradNorm } from "../../src/optim/clip.ts";
import type { Optimizer } from "../../src/optim/optimizer.ts";
import { SGD } from "../../src/optim/sgd.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill } from "../support/arbitraries.ts";
import { expectSame } from "../support/compare.ts";
import { engines } from "../support/engines.ts";
import { addGradient, bits } from "./gradient.ts";

const all = await engines();
const SIZES = [33, 5, 6001];

function weightsOf(values: readonly ArrayLike<number>[]): Tensor[] {
  return values.map((data) => tensor(Float32Array.from(data), { requiresGrad: true }));
}

function fresh(): Tensor[] {
  return weightsOf(SIZES.map((n, i) => fill([n], i)));
}

/** Step number `step`, from 1, with a rate and gradients that depend on it alone. */
function stepOnce(optimizer: Optimizer, weights: readonly Tensor[], step: number): void {
  weights.forEach((weight, i) => {
    addGradient(weight, fill([weight.size], 1000 * step + i));
  });
  optimizer.setScheduleFactor(1 / step);
  optimizer.step();
  optimizer.zeroGrad();
}

function expectSameWeights(actual: readonly Tensor[], expected: readonly Tensor[]): void {
  for (const [i, weight] of expected.entries()) {
    const what = `parameter ${i}`;
    expectSame(bits(actual[i]!.toArray()), bits(weight.toArray()), { what });
  }
}

function dispose(optimizer: Optimizer, weights: readonly Tensor[]): void {
  optimizer.dispose();
  for (const weight of weights) weight.dispose();
}

const makers: readonly (readonly [string, (weights: readonly Tensor[]) => Optimizer])[] = [
  ["AdamW", (weights) => new AdamW(weights, { lr: 0.01 })],
  ["SGD with momentum", (weights) => new SGD(weights, { lr: 0.1, momentum: 0.9 })],
  ["plain SGD", (weights) => new SGD(weights, { lr: 0.1 })],
];

for (const { name, engine } of all) {
  for (const [what, make] of makers) {
    test(`${what} goes on from a saved state to the same bits, whatever was before (${name})`, () => {
      engine.run(() => {
        const weights = fresh();
        const optimizer = make(weights);
        for (let step = 1; step <= 5; step++) stepOnce(optimizer, weights, step);
        const state = optimizer.stateDict();
        const values = weights.map((weight) => weight.toArray());
        for (let step = 6; step <= 10; step++) stepOnce(optimizer, weights, step);

        const copies = fresh();
        const resumed = make(copies);
        stepOnce(resumed, copies, 77);
        copies.forEach((copy, i) => {
          copy.set(values[i]!);
        });
        resumed.loadStateDict(state);
        for (let step = 6; step <= 10; step++) stepOnce(resumed, copies, step);

        expectSameWeights(copies, weights);
        assert.equal(resumed.stateDict(), optimizer.stateDict());
        dispose(resumed, copies);
        dispose(optimizer, weights);
      });
    });
  }
}

/** Tests that need one engine only. */
function testOnce(name: string, body: (engine: Engine) => void): void {
  const { engine } = all[0]!;
  test(name, () => engine.run(() => body(engine)));
}

testOnce("a saved state does not change with the optimizer", () => {
  const weights = fresh();
  const optimizer = new AdamW(weights);
  stepOnce(optimizer, weights, 1);
  const state = optimizer.stateDict();
  const before = structuredClone(state);
  stepOnce(optimizer, weights, 2);
  assert.equal(state, before);
  dispose(optimizer, weights);
});

testOnce("loading a state from before the first step makes an optimizer new", () => {
  const weights = fresh();
  const optimizer = new AdamW(weights);
  const state = optimizer.stateDict();
  assert.equal(state.parameters, [null, null, null]);
  stepOnce(optimizer, weights, 1);
  optimizer.loadStateDict(state);
  fresh().forEach((start, i) => {
    weights[i]!.set(start.toArray());
    start.dispose();
  });
  const others = fresh();
  const other = new AdamW(others);
  stepOnce(optimizer, weights, 2);
  stepOnce(other, others, 2);
  expectSameWeights(weights, others);
  dispose(optimizer, weights);
  dispose(other, others);
});

testOnce(
  "a parameter without a gradient is skipped, its moments and count of steps included",
  () => {
    const [first, second] = weightsOf([fill([9], 1), fill([9], 2)]) as [Tensor, Tensor];
    const [alone] = weightsOf([fill([9], 2)]) as [Tensor];
    const optimizer = new AdamW([first, second], { lr: 0.1 });
    const other = new AdamW([alone], { lr: 0.1 });
    const before = second.toArray();
    for (let step = 1; step <= 3; step++) stepOnce(optimizer, [first], step);
    expectSame(bits(second.toArray()), bits(before));
    assert.is(optimizer.stateDict().parameters[1], null);
    // Its own first step is corrected as a first step.
    stepOnce(optimizer, [second], 1);
    stepOnce(other, [alone], 1);
    expectSameWeights([second], [alone]);
    assert.equal(
      optimizer.stateDict().parameters.map((state) => state?.step),
      [3, 1],
    );
    dispose(optimizer, [first, second]);
    dispose(other, [alone]);
  },
);

testOnce("a step inside a scope gives the same bits as outside", () => {
  const [outside, inside] = [fresh(), fresh()];
  const [a, b] = [new AdamW(outside), new AdamW(inside)];
  for (let step = 1; step <= 3; step++) {
    stepOnce(a, outside, step);
    scope(() => stepOnce(b, inside, step));
  }
  expectSameWeights(inside, outside);
  dispose(a, outside);
  dispose(b, inside);
});

testOnce("the rate of a group is its lr times the schedule's factor; the decay follows it", () => {
  const [a, b] = [fresh(), fresh()];
  const scheduled = new AdamW([
    { params: a.slice(0, 1), lr: 0.5, weightDecay: 0.25 },
    { params: a.slice(1), lr: 0.125, weightDecay: 0 },
  ]);
  const direct = new AdamW([
    { params: b.slice(0, 1), lr: 0.125, weightDecay: 0.25 },
    { params: b.slice(1), lr: 1, weightDecay: 0.5 },
  ]);
  direct.paramGroups[1]!.lr = 0.03125;
  direct.paramGroups[1]!.weightDecay = 0;
  for (const [optimizer, weights] of [
    [scheduled, a],
    [direct, b],
  ] as const) {
    weights.forEach((weight, i) => {
      addGradient(weight, fill([weight.size], i));
    });
    if (optimizer === scheduled) optimizer.setScheduleFactor(0.25);
    optimizer.step();
  }
  expectSameWeights(a, b);
  scheduled.setScheduleFactor(0);
  const before = a.map((weight) => weight.toArray());
  scheduled.step();
  a.forEach((weight, i) => {
    expectSame(bits(weight.toArray()), bits(before[i]!), { what: "at rate 0" });
  });
  dispose(scheduled, a);
  dispose(direct, b);
});

testOnce(
  "moments are made for parameters that are stepped alone, byte for byte, and freed",
  (engine) => {
    const elements = SIZES.reduce((sum, n) => sum + n, 0);
    for (const [make, moments] of [
      [(weights: Tensor[]) => new AdamW(weights), 2],
      [(weights: Tensor[]) => new SGD(weights, { momentum: 0.5 }), 1],
      [(weights: Tensor[]) => new SGD(weights), 0],
    ] as const) {
      const weights = fresh();
      const { persistentBytes } = engine.stats();
      assert.is(engine.stats().optimizerBytes, 0);
      const optimizer = make(weights);
      assert.is(engine.stats().optimizerBytes, 0);
      stepOnce(optimizer, weights.slice(1), 1);
      assert.is(engine.stats().optimizerBytes, moments * 4 * (elements - SIZES[0]!));
      stepOnce(optimizer, weights, 2);
      stepOnce(optimizer, weights, 3);
      assert.is(engine.stats().optimizerBytes, moments * 4 * elements);
      clipGradNorm(weights, 1);
      optimizer.dispose();
      optimizer.dispose();
      assert.is(engine.stats().optimizerBytes, 0);
      assert.is(engine.stats().persistentBytes, persistentBytes);
      for (const weight of weights) weight.dispose();
    }
  },
);

testOnce("moments of an optimizer are freed also when its parameters went first", (engine) => {
  const weights = fresh();
  const optimizer = new AdamW(weights);
  stepOnce(optimizer, weights, 1);
  for (const weight of weights) weight.dispose();
  optimizer.dispose();
  assert.is(engine.stats().optimizerBytes, 0);
});

testOnce("a step with a parameter that is gone changes nothing, and says so", () => {
  const weights = fresh();
  const optimizer = new AdamW(weights);
  addGradient(weights[0]!, fill([SIZES[0]!], 1));
  const before = weights[0]!.toArray();
  weights[2]!.dispose();
  assert.throws(
    () => optimizer.step(),
    (error: unknown) => error instanceof ReleasedError,
  );
  expectSame(bits(weights[0]!.toArray()), bits(before));
  assert.is(optimizer.stateDict().parameters[0], null);
  dispose(optimizer, weights);
});

testOnce("a disposed optimizer says so", () => {
  const weights = fresh();
  const optimizer = new AdamW(weights);
  const state = optimizer.stateDict();
  optimizer.dispose();
  for (const use of [
    () => optimizer.step(),
    () => optimizer.stateDict(),
    () => optimizer.loadStateDict(state),
  ]) {
    assert.throws(use, (error: unknown) => {
      return (
        error instanceof ReleasedError && /AdamW was used after its dispose/.test(error.message)
      );
    });
  }
  for (const weight of weights) weight.dispose();
});

test("when moments do not fit into memory nothing has changed, and a smaller step works", async () => {
  const engine = await Engine.create({ threads: 1, deterministic: true, maximumMemory: 2 ** 21 });
  engine.run(() => {
    // 520 KB each for values, gradient and first moment; the second moment no longer fits into 2 MiB.
    const large = zeros([130000], { requiresGrad: true });
    const small = zeros([10], { requiresGrad: true });
    const optimizer = new AdamW([large, small]);
    scope(() => large.sum().backward());
    assert.throws(
      () => optimizer.step(),
      (error: unknown) => error instanceof MemoryError,
    );
    assert.is(engine.stats().optimizerBytes, 0);
    assert.ok(large.toArray().every((value) => value === 0));
    large.zeroGrad();
    addGradient(small, new Float32Array(10).fill(1));
    optimizer.step();
    assert.is(engine.stats().optimizerBytes, 2 * 4 * 10);
    dispose(optimizer, [large, small]);
  });
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
