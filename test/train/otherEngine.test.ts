// A model works in its own engine, whichever one is current: with several of them, too, it gives the bits that it gives
// alone.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { setActiveAdapters } from "../../src/adapters/inject.ts";
import { injectLora } from "../../src/adapters/lora.ts";
import { current, init } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { adapterFiles, loadAdapter } from "../../src/io/adapter.ts";
import { loadModel, modelFiles } from "../../src/io/model.ts";
import type { TokenBatch } from "../../src/nn/batch.ts";
import { KvCache } from "../../src/nn/cache.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { generate } from "../../src/train/generate.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { engines } from "../support/engines.ts";
import { drawAdapter, randomBatch, smallModel, styles } from "../support/models.ts";
import { letters, lines } from "./run.ts";

const { engine } = (await engines())[0]!;
// The default engine is another build, so that a result of it would have other bits.
const other = await init({ threads: 1 });

/** Reads a result and frees it. */
function values(made: Tensor): string {
  const text = made.toArray().join();
  assert.is(made.engine, engine);
  made.dispose();
  return text;
}

/** All that a program does with a model; `ids` and the cache lie in the model's engine. */
function program(model: Transformer, ids: Tensor, cache: KvCache): unknown[] {
  const batch = randomBatch(model.config, { batchSize: 2, blockSize: 5, packed: true });
  const results: unknown[] = [
    values(model.forward(ids)),
    values(model.hidden(ids)),
    values(model.loss(batch)),
    values(model.forward(ids, { cache })),
  ];
  const adapters = ["one", "two"].map((adapterName, i) => {
    const made = injectLora(model, { r: 2, loraDropout: 0.2 }, { adapterName });
    drawAdapter(made, i);
    return made;
  });
  setActiveAdapters(model, ["one", "two"]);
  results.push(values(model.forward(ids)), evaluate(model, [batch]));
  const data = jsonlDataset(letters, lines(20, 1), { batchSize: 2, blockSize: 16, seed: 1 });
  const options = { steps: 4, gradientAccumulation: 2 };
  const trainer = new Trainer(model, data, options);
  results.push(trainer.trainStep(), trainer.trainStep());
  const state = trainer.state();
  results.push(...trainer.run());
  trainer.loadState(state);
  results.push(state, ...trainer.run());
  trainer.dispose();
  adapters[0]!.merge();
  results.push(adapterFiles(adapters[0]!), modelFiles(model), values(model.forward(ids)));
  adapters[0]!.unmerge();
  results.push(generate(model, [1, 2, 3], { seed: 5, maxNewTokens: 60 }));
  results.push([...model.stateDict().values()].map(({ data }) => data.join()));
  return results;
}

for (const [name, config] of styles) {
  test(`with another current engine a ${name} model gives the bits that it gives alone`, () => {
    const run = (within: (fn: () => unknown[]) => unknown[]): unknown[] => {
      const { model, ids, cache } = engine.run(() => ({
        model: smallModel(config),
        ids: tensor(Int32Array.of(1, 2, 3, 4, 5, 6), { shape: [2, 3] }),
        cache: new KvCache(config, 2, 8),
      }));
      const results = within(() => program(model, ids, cache));
      for (const gone of [model, ids, cache]) gone.dispose();
      return results;
    };
    const alone = run((fn) => engine.run(fn));
    const { persistentBytes } = other.stats();
    assert.is(current(), other);
    assert.equal(
      run((fn) => fn()),
      alone,
    );
    assert.is(other.stats().persistentBytes, persistentBytes);
    assert.is(other.stats().records, 0);
  });
}

test("a model is loaded into the engine that is asked for, and an adapter into its model's", async () => {
  const { files, adapter } = engine.run(() => {
    const model = smallModel(styles[1]![1]);
    return { files: modelFiles(model), adapter: adapterFiles(injectLora(model, { r: 2 })) };
  });
  const model = await loadModel(files, { engine });
  assert.is(model.engine, engine);
  await loadAdapter(model, adapter);
  for (const parameter of model.parameters()) assert.is(parameter.engine, engine);
  model.dispose();
  // Without being asked it is the one that is current at the call, not the one when the files have come.
  assert.is((await loadModel(files)).engine, other);
});

test("a captured step runs in the engine of its model, and says so in another", () => {
  const model = engine.run(() => smallModel(styles[1]![1]));
  const batch = randomBatch(model.config, { batchSize: 1, blockSize: 4 });
  const step = capture((given: TokenBatch) => model.loss(given));
  assert.throws(
    () => step(batch),
    (error: unknown) => error instanceof UsageError && /inside run\(\)/.test(error.message),
  );
  const eager = values(model.loss(batch));
  for (const _ of [1, 2])
    assert.is(
      engine.run(() => step(batch).toArray().join()),
      eager,
    );
  step.dispose();
  model.dispose();
});

test("a loss in a scope of another engine cannot be differentiated, and the error says how it can", () => {
  const model = engine.run(() => smallModel(styles[1]![1]));
  const batch = randomBatch(model.config, { batchSize: 1, blockSize: 4 });
  assert.throws(
    () => scope(() => model.loss(batch).backward()),
    (error: unknown) => error instanceof UsageError && /engine\.run/.test(error.message),
  );
  engine.run(() => scope(() => model.loss(batch).backward()));
  assert.ok([...model.parameters()].every(({ grad }) => grad !== null));
  model.dispose();
});

test.run();
