// A whole training step, loss to updated weights: the same bits on one thread, two and three, and for the same seed.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { Engine } from "../../src/core/engine.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { manualSeed } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import { engines } from "../support/engines.ts";
import { drawAdapter, randomBatch, smallModel, styles } from "../support/models.ts";

const all = await engines();
const three = await Engine.create({ deterministic: true, threads: 3 });

interface TrainingStep {
  readonly loss: number;
  readonly gradients: readonly Float32Array[];
  readonly weights: readonly Float32Array[];
  readonly parallel: boolean;
}

interface StepOptions {
  readonly dropout?: number;
  readonly seed?: number;
  readonly step?: number;
  /** Trains everything instead of an adapter. */
  readonly full?: boolean;
  readonly packed?: boolean;
}

/** Loss, gradients and updated weights of two AdamW steps, with everything that trains. */
function trainingStep(
  engine: Engine,
  config: ModelConfig,
  options: StepOptions = {},
): TrainingStep {
  const { dropout = 0, seed: dropoutSeed = 0, step = 0, full = false, packed = false } = options;
  return engine.run(() => {
    const model = smallModel(config);
    if (!full) {
      const adapter = injectLora(model, {
        r: 5,
        loraDropout: dropout,
        targetModules: "all-linear",
      });
      drawAdapter(adapter);
    }
    model.train();
    const batch = randomBatch(config, { batchSize: 5, blockSize: 33, packed });
    const trained = [...model.trainableParameters()];
    const optimizer = new AdamW(trained, { lr: 1e-2 });
    manualSeed(dropoutSeed, step);
    let result: TrainingStep | undefined;
    for (let i = 0; i < 2; i++) {
      const { parallelJobs } = engine.stats();
      const loss = scope(() => {
        const value = model.loss(batch);
        value.backward();
        return value.item();
      });
      const gradients = trained.map((parameter) => parameter.grad!);
      optimizer.step();
      optimizer.zeroGrad();
      const weights = trained.map((parameter) => parameter.toArray() as Float32Array);
      result = { loss, gradients, weights, parallel: engine.stats().parallelJobs > parallelJobs };
    }
    optimizer.dispose();
    model.dispose();
    return result!;
  });
}

for (const [family, config] of styles) {
  for (const options of [
    {},
    { packed: true },
    { dropout: 0.2 },
    { full: true },
    { full: true, packed: true },
  ] satisfies StepOptions[]) {
    const what = JSON.stringify(options);
    test(`two and three threads train to the bits of one: ${family} ${what}`, () => {
      for (const [one, more] of [
        [all[0]!.engine, all[1]!.engine],
        [all[0]!.engine, three],
        [all[2]!.engine, all[3]!.engine],
      ] as const) {
        const [alone, shared] = [one, more].map((engine) => trainingStep(engine, config, options));
        assert.equal([alone!.parallel, shared!.parallel], [false, true]);
        assert.is(shared!.loss, alone!.loss);
        assert.equal(shared!.gradients, alone!.gradients);
        assert.equal(shared!.weights, alone!.weights);
      }
    });
  }
}

for (const { name, engine } of all) {
  test(`the same seed drops the same elements, another seed others (${name})`, () => {
    engine.run(() => {
      for (const [, config] of styles) {
        const run = (dropout: number, at: number, step = 0): TrainingStep =>
          trainingStep(engine, config, { dropout, seed: at, step });
        const one = run(0.3, 1);
        assert.equal(run(0.3, 1), one);
        assert.is.not(run(0.3, 2).loss, one.loss);
        assert.is.not(run(0.3, 1, 5).loss, one.loss);
        assert.is.not(run(0, 1).loss, one.loss);
        assert.equal(run(0, 1).loss, run(0, 2).loss);
      }
    });
  });
}

test.run();
