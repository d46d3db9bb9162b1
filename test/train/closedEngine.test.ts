// Whatever a program holds of an engine that was closed: each use says so in the same words, and dispose() does nothing.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { setActiveAdapters } from "../../src/adapters/inject.ts";
import { injectLora } from "../../src/adapters/lora.ts";
import { Engine, init } from "../../src/core/engine.ts";
import { ReleasedError } from "../../src/core/error.ts";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { adapterFiles, loadAdapter } from "../../src/io/adapter.ts";
import { modelFiles } from "../../src/io/model.ts";
import type { TokenBatch } from "../../src/nn/batch.ts";
import { KvCache } from "../../src/nn/cache.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { clipGradNorm } from "../../src/optim/clip.ts";
import { SGD } from "../../src/optim/sgd.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { manualSeed } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { generate, generateTokens } from "../../src/train/generate.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { llamaStyle, randomBatch, smallModel } from "../support/models.ts";
import { thrown } from "../support/thrown.ts";
import { letters, lines } from "./run.ts";

const CLOSED = /^The engine was closed, by close\(\) or by a further init\(\), and all .* is gone/;

/** A model and all that a program makes of it, in the engine that is current. */
function made() {
  const model = smallModel(llamaStyle);
  const adapter = injectLora(model, { r: 2, targetModules: ["q_proj"] });
  const data = jsonlDataset(letters, lines(20, 1), { batchSize: 2, blockSize: 16, seed: 1 });
  const trainer = new Trainer(model, data, { steps: 4 });
  trainer.trainStep();
  const optimizers = [
    new AdamW(adapter.parameters(), { lr: 0.1 }),
    new SGD(adapter.parameters(), { lr: 0.1, momentum: 0.9 }),
  ];
  const batch = randomBatch(llamaStyle, { batchSize: 1, blockSize: 4 });
  const step = capture((given: TokenBatch) => {
    const loss = model.loss(given);
    loss.backward();
    clipGradNorm(model.trainableParameters(), 0.1);
    for (const optimizer of optimizers) optimizer.step();
    return loss;
  });
  const loss = step(batch);
  const cache = new KvCache(llamaStyle, 1, 8);
  const ids = tensor(Int32Array.of(1, 2, 3), { shape: [1, 3] });
  model.forward(ids, { cache }).dispose();
  const files = adapterFiles(adapter);
  const state = trainer.state();
  const tokens = generateTokens(model, [1, 2], { maxNewTokens: 9, stopTokens: [] });
  tokens.next();
  return {
    model,
    adapter,
    data,
    trainer,
    optimizers,
    batch,
    step,
    loss,
    cache,
    ids,
    files,
    state,
    tokens,
  };
}

for (const [how, end] of [
  ["by close()", async (engine: Engine) => engine.close()],
  ["by a further init()", async () => void (await init({ threads: 1, deterministic: true }))],
] as const) {
  test(`all that lives in an engine that was closed ${how} says so, and nothing is garbage`, async () => {
    const engine = await init({ threads: 1 });
    const all = made();
    const { model, adapter, data, trainer, optimizers, batch, step, loss, cache, ids } = all;
    await end(engine);
    const uses: readonly (() => unknown)[] = [
      () => loss.item(),
      () => model.forward(ids),
      () => model.forward(ids, { cache }),
      () => model.loss(batch),
      () => scope(() => model.loss(batch).backward()),
      () => model.stateDict(),
      () => model.setRequiresGrad(true),
      () => modelFiles(model),
      () => evaluate(model, [batch]),
      () => evaluate(model, data.validationBatches()),
      () => generate(model, [1, 2]),
      () => all.tokens.next(),
      () => adapter.merge(),
      () => adapterFiles(adapter),
      () => injectLora(model, { r: 2 }, { adapterName: "more" }),
      () => setActiveAdapters(model, []),
      () => trainer.trainStep(),
      () => trainer.state(),
      () => trainer.loadState(all.state),
      () => new Trainer(model, data, { steps: 2 }),
      () => step(batch),
      () => engine.run(() => step(batch)),
      () => clipGradNorm(adapter.parameters(), 1),
      () => engine.run(() => manualSeed(1)),
      () => engine.run(() => new KvCache(llamaStyle, 1, 4)),
      ...optimizers.flatMap((optimizer) => [
        () => optimizer.step(),
        () => optimizer.zeroGrad(),
        () => optimizer.stateDict(),
        () => optimizer.loadStateDict({ optimizer: "AdamW", parameters: [] }),
      ]),
    ];
    for (const use of uses) {
      const error = thrown(use);
      assert.instance(error, ReleasedError, `${use}: ${error.stack}`);
      assert.match(error.message, CLOSED, `${use}`);
    }
    const error = await loadAdapter(model, all.files, { adapterName: "more" }).catch(
      (reason: unknown) => reason,
    );
    assert.instance(error, ReleasedError);
    for (const thing of [trainer, ...optimizers, step, cache, ids, model]) thing.dispose();
  });
}

test("what is closed leaves other engines as they were", async () => {
  const [one, two] = [await Engine.create({ threads: 1 }), await Engine.create({ threads: 1 })];
  const left = one.run(made);
  const right = two.run(made);
  one.close();
  const before = two.stats().persistentBytes;
  two.run(() => {
    for (const thing of [left.trainer, left.step, left.cache, left.model]) thing.dispose();
  });
  assert.is(two.stats().persistentBytes, before);
  assert.is(two.run(() => right.trainer.trainStep()).step, 2);
  two.close();
});

test.run();
