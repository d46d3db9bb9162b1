// A captured training step of a whole model: the bits of running it each time, for as long as it is what it was when
// it was recorded, and recorded anew when it is not.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { capture } from "../../src/tensor/capture.ts";
import { scope } from "../../src/tensor/scope.ts";
import { seed } from "../support/arbitraries.ts";
import { batchesOf, expectSameBits, type Training, train, training } from "../support/captured.ts";
import { engines } from "../support/engines.ts";
import { heldBytes } from "../support/inEngine.ts";
import { llamaStyle, randomBatch, styles } from "../support/models.ts";

const all = await engines();
const [baseline] = all;

for (const { name, engine } of all) {
  for (const [style, config] of styles) {
    for (const [what, setup] of [
      ["LoRA", {}],
      ["LoRA with dropout", { lora: { loraDropout: 0.3 } }],
      ["full", { full: true }],
      ["SGD, nothing to clip", { sgd: true, maxNorm: 1e9 }],
      ["blocks run again", { lora: { loraDropout: 0.3 }, checkpointing: true }],
    ] as const) {
      test(`replays are the eager steps bit for bit: ${style}, ${what} (${name})`, () => {
        const batches = batchesOf(config, 6);
        const recordings = expectSameBits(engine, () => training(config, setup), batches);
        assert.is(recordings, 1);
      });
    }
  }
}

test("for random shapes, ranks and targets replays are the eager steps bit for bit", () => {
  fc.assert(
    fc.property(
      fc.record({
        start: seed,
        batchSize: fc.integer({ min: 1, max: 4 }),
        blockSize: fc.integer({ min: 1, max: 20 }),
        r: fc.integer({ min: 1, max: 9 }),
        targetModules: fc.constantFrom(["q_proj"], ["v_proj", "down_proj"], "all-linear" as const),
        loraDropout: fc.constantFrom(0, 0.2),
      }),
      ({ start, batchSize, blockSize, ...lora }) => {
        const batches = [0, 1, 2].map((i) =>
          randomBatch(llamaStyle, { batchSize, blockSize, seed: start + i, ignored: 0 }),
        );
        expectSameBits(baseline!.engine, () => training(llamaStyle, { lora }), batches);
      },
    ),
    { numRuns: 30 },
  );
});

test("replays on two and on three threads have the bits of one", async () => {
  const three = await Engine.create({ deterministic: true, threads: 3 });
  for (const [style, config] of styles) {
    const batches = [1, 2, 3].map((seed) =>
      randomBatch(config, { batchSize: 5, blockSize: 33, seed }),
    );
    const [one, ...more] = [all[0]!.engine, all[1]!.engine, three].map((engine) => {
      const { parallelJobs } = engine.stats();
      const made = (): Training => training(config, { lora: { loraDropout: 0.2 } });
      const result = train(engine, made, batches, { captured: true });
      assert.is(engine.stats().parallelJobs > parallelJobs, engine.threads > 1, style);
      return result;
    });
    for (const result of more) assert.equal(result, one, style);
  }
  three.shutdown();
});

test("rates and schedules that change between replays take effect", () => {
  const recordings = expectSameBits(
    baseline!.engine,
    () => training(llamaStyle),
    batchesOf(llamaStyle, 5),
    ({ optimizer }, step) => {
      optimizer.setScheduleFactor(1 / (step + 1));
      optimizer.paramGroups[0]!.lr = 0.01 + step / 1000;
    },
  );
  assert.is(recordings, 1);
});

test("an optimizer's state that is loaded between replays takes effect", () => {
  const recordings = expectSameBits(
    baseline!.engine,
    () => training(llamaStyle),
    batchesOf(llamaStyle, 5),
    ({ optimizer }, step) => {
      if (step !== 3) return;
      const state = optimizer.stateDict();
      optimizer.loadStateDict({ ...state, parameters: state.parameters.map(() => null) });
    },
  );
  assert.is(recordings, 1);
});

test("an eval in between, which uses the same memory, changes nothing", () => {
  const batches = batchesOf(llamaStyle, 6);
  const recordings = expectSameBits(
    baseline!.engine,
    () => training(llamaStyle, { lora: { loraDropout: 0.2 } }),
    batches,
    ({ model }, step) => {
      model.eval();
      scope(() => model.loss(batches[step]!).item());
      model.train();
    },
  );
  assert.is(recordings, 1);
});

test("a token outside the vocabulary is refused by a replay as by the first run, and nothing has changed", () => {
  const good = batchesOf(llamaStyle, 3);
  const bad = { ...good[1]!, inputs: good[1]!.inputs.slice() };
  bad.inputs[4] = 61;
  baseline!.engine.run(() => {
    const run = training(llamaStyle);
    const step = capture(run.body);
    const message = /61 at \[0,4\]/;
    assert.throws(() => step(bad), message);
    step(good[0]!);
    const weights = run.trained.map((p) => p.toArray());
    assert.throws(() => step(bad), message);
    assert.equal(
      run.trained.map((p) => p.toArray()),
      weights,
    );
    assert.is(step.recordings, 1);
    const loss = step(good[2]!).item();
    const expected = train(baseline!.engine, () => training(llamaStyle), [good[0]!, good[2]!], {
      captured: false,
    });
    assert.is(loss, expected.losses[1]);
    step.dispose();
    run.optimizer.dispose();
    run.model.dispose();
  });
});

test("1,000 replays leave memory where it was and make no record, and dispose gives all of it back", () => {
  const { engine } = baseline!;
  engine.run(() => {
    const run = training(llamaStyle, { lora: { loraDropout: 0.1 } });
    const batch = randomBatch(llamaStyle, { batchSize: 1, blockSize: 5 });
    scope(() => run.body(batch));
    const before = heldBytes(engine);
    const { optimizerBytes } = engine.stats();
    const step = capture(run.body);
    step(batch);
    step(batch);
    const first = engine.stats();
    assert.is(first.arenaBytes, 0);
    for (let i = 0; i < 1000; i++) step(batch);
    const last = engine.stats();
    assert.is(last.persistentBytes, first.persistentBytes);
    assert.is(last.records, first.records);
    assert.is(last.optimizerBytes, optimizerBytes);
    assert.is(last.leafGradientBytes, 0);
    const held = heldBytes(engine);
    step.dispose();
    assert.ok(held > before);
    assert.is(heldBytes(engine), before);
    run.optimizer.dispose();
    run.model.dispose();
  });
});

test.run();
