// Models whose blocks run again in backward: the bits of those that keep everything, in less memory.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Engine } from "../../src/core/engine.ts";
import { scope } from "../../src/tensor/scope.ts";
import { seed } from "../support/arbitraries.ts";
import { batchesOf, train, training } from "../support/captured.ts";
import { engines } from "../support/engines.ts";
import { llamaStyle, randomBatch, styles } from "../support/models.ts";

const all = await engines();
const [baseline] = all;

for (const { name, engine } of all) {
  for (const [style, config] of styles) {
    for (const [what, setup] of [
      ["LoRA", {}],
      [
        "LoRA with dropout on two targets",
        { lora: { loraDropout: 0.3, targetModules: ["q_proj", "c_attn", "down_proj", "c_proj"] } },
      ],
      ["full", { full: true }],
    ] as const) {
      test(`training with blocks that run again gives the same bits: ${style}, ${what} (${name})`, () => {
        const batches = batchesOf(config, 3);
        const plain = train(engine, () => training(config, setup), batches, { captured: false });
        for (const captured of [false, true]) {
          const made = () => training(config, { ...setup, checkpointing: true });
          const again = train(engine, made, batches, { captured });
          assert.equal(again.losses, plain.losses);
          assert.equal(again.weights, plain.weights);
        }
      });
    }
  }
}

test("for random shapes, ranks and targets the bits are the same", () => {
  fc.assert(
    fc.property(
      fc.record({
        start: seed,
        batchSize: fc.integer({ min: 1, max: 4 }),
        blockSize: fc.integer({ min: 1, max: 20 }),
        captured: fc.boolean(),
        r: fc.integer({ min: 1, max: 9 }),
        targetModules: fc.constantFrom(["q_proj"], ["v_proj", "down_proj"], "all-linear" as const),
        loraDropout: fc.constantFrom(0, 0.2),
      }),
      ({ start, batchSize, blockSize, captured, ...lora }) => {
        const batches = [0, 1].map((i) =>
          randomBatch(llamaStyle, { batchSize, blockSize, seed: start + i, ignored: 0 }),
        );
        const [plain, again] = [false, true].map((checkpointing) =>
          train(baseline!.engine, () => training(llamaStyle, { lora, checkpointing }), batches, {
            captured: captured && checkpointing,
          }),
        );
        assert.equal(again!.losses, plain!.losses);
        assert.equal(again!.weights, plain!.weights);
      },
    ),
    { numRuns: 30 },
  );
});

test("switching it makes a captured step record anew", () => {
  const batches = batchesOf(llamaStyle, 4);
  const { recordings } = train(baseline!.engine, () => training(llamaStyle), batches, {
    captured: true,
    between: ({ model }, step) => {
      model.gradientCheckpointing = step === 2;
    },
  });
  assert.is(recordings, 3);
});

test("the arena need not hold the activations of more than one block", async () => {
  const deep = { ...llamaStyle, layers: 8 };
  const batch = randomBatch(deep, { batchSize: 4, blockSize: 24, seed: 1 });
  const peaks: number[] = [];
  for (const checkpointing of [false, true]) {
    const engine = await Engine.create({ threads: 1 });
    engine.run(() => {
      const { model } = training(deep, { checkpointing });
      scope(() => model.loss(batch).backward());
    });
    peaks.push(engine.stats().arenaPeak);
  }
  // Of eight blocks one, and the inputs of eight; embedding, head and gradients stay.
  assert.ok(peaks[1]! < 0.45 * peaks[0]!, `${peaks}`);
});

test.run();
