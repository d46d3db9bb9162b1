// Adapters over a base whose frozen weights are packed for both products: the same bits for more memory.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { AdaptedLinear } from "../../src/adapters/adaptedLinear.ts";
import { injectLora } from "../../src/adapters/lora.ts";
import type { LoraOptions } from "../../src/adapters/loraConfig.ts";
import { Engine } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import { adapterFiles, loadAdapter } from "../../src/io/adapter.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import { Linear } from "../../src/nn/linear.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { zeros } from "../../src/tensor/create.ts";
import type { Prepack } from "../../src/tensor/pack.ts";
import { manualSeed } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import { engines } from "../support/engines.ts";
import { logitsOf } from "../support/logits.ts";
import { drawAdapter, llamaStyle, randomBatch, smallModel, styles } from "../support/models.ts";

const all = await engines();
const { engine } = all[1]!;
const batch = randomBatch(llamaStyle, { batchSize: 2, blockSize: 8 });

const linears = (model: Transformer): Linear[] =>
  [...model.namedModules()].map(([, module]) => module).filter((m) => m instanceof Linear);

/** The forms of the weights of linear layers, each once. */
const forms = (model: Transformer): (Prepack | null)[] => [
  ...new Set(linears(model).map(({ weight }) => weight.prepack)),
];

/** An adapter's tensors after four steps of AdamW, and its files. */
function trained(config: ModelConfig, options: LoraOptions): unknown {
  const model = smallModel(config);
  const adapter = injectLora(model, { r: 5, targetModules: "all-linear", ...options });
  drawAdapter(adapter);
  model.train();
  const steps = randomBatch(config, { batchSize: 5, blockSize: 33 });
  const optimizer = new AdamW(adapter.parameters(), { lr: 1e-2 });
  manualSeed(3);
  const losses: number[] = [];
  for (let i = 0; i < 4; i++) {
    scope(() => {
      const loss = model.loss(steps);
      loss.backward();
      losses.push(loss.item());
    });
    optimizer.step();
    optimizer.zeroGrad();
  }
  const tensors = [...adapter.parameters()].map((parameter) => parameter.toArray());
  const files = [...adapterFiles(adapter)];
  optimizer.dispose();
  model.dispose();
  return { losses, tensors, files };
}

for (const { name, engine } of all) {
  test(`packed for both products, an adapter trains to the same bits and files (${name})`, () => {
    engine.run(() => {
      for (const [, config] of styles) {
        for (const loraDropout of [0, 0.2]) {
          const plain = trained(config, { loraDropout });
          assert.equal(trained(config, { loraDropout, prepack: "both" }), plain);
        }
      }
    });
  });
}

test("the second form of a weight [N, K] takes 4·N·K bytes, K in whole panels of 8, until it is dropped", async () => {
  const fresh = await Engine.create({ threads: 1 });
  fresh.run(() => {
    const held = (): number => fresh.stats().persistentBytes;
    // Widths of whole cache lines, so that no block is larger than what lies in it.
    const config = {
      ...llamaStyle,
      hiddenSize: 60,
      headDim: 16,
      intermediateSize: 48,
      vocabSize: 64,
    };
    // Packing keeps scratch for one panel, of the widest weight here.
    const widest = zeros([8, 64]);
    widest.pack();
    widest.dispose();
    const empty = held();
    const model = smallModel(config);
    model.freeze();
    const forward = held();
    const second = linears(model).reduce(
      (sum, { inFeatures, outFeatures }) => sum + 4 * Math.ceil(inFeatures / 8) * 8 * outFeatures,
      0,
    );
    for (let i = 0; i < 3; i++) {
      model.pack({ prepack: "both" });
      assert.is(held() - forward, second);
      model.pack();
      assert.is(held() - forward, second);
      if (i === 1) model.freeze({ prepack: "forward" });
      else model.pack({ prepack: "forward" });
      assert.is(held(), forward);
    }
    model.freeze({ prepack: "both" });
    model.setRequiresGrad(true);
    assert.equal(forms(model), [null]);
    model.freeze({ prepack: "both" });
    model.dispose();
    assert.is(held(), empty);
  });
});

test("merging and unmerging keep the form and the bits, and give memory back", async () => {
  const { model, adapter, files } = engine.run(() => {
    const model = smallModel(llamaStyle);
    const options = { r: 3, targetModules: "all-linear", prepack: "both" } as const;
    const adapter = injectLora(model, options);
    drawAdapter(adapter);
    assert.equal(forms(model), ["both"]);
    const files = adapterFiles(adapter);
    assert.not.match(new TextDecoder().decode(files.get("adapter_config.json")), /prepack/i);
    const before = logitsOf(model, batch);
    const { persistentBytes } = engine.stats();
    adapter.merge();
    assert.equal(forms(model), ["both"]);
    const merged = logitsOf(model, batch);
    adapter.unmerge();
    assert.is(engine.stats().persistentBytes, persistentBytes);
    adapter.merge();
    // What is merged and what is kept below it have one form.
    model.pack({ prepack: "forward" });
    assert.equal(forms(model), ["forward"]);
    assert.equal(logitsOf(model, batch), merged);
    adapter.unmerge();
    assert.equal(forms(model), ["forward"]);
    adapter.merge();
    assert.equal(forms(model), ["forward"]);
    assert.equal(logitsOf(model, batch), merged);
    model.pack({ prepack: "both" });
    adapter.unmerge();
    assert.equal(logitsOf(model, batch), before);
    return { model, adapter, files };
  });
  // Others on the same base leave it as it is, unless they ask.
  const other = await loadAdapter(model, files, { adapterName: "other" });
  assert.equal(forms(model), ["both"]);
  engine.run(() => {
    injectLora(model, { r: 2, prepack: "forward" }, { adapterName: "third" }).remove();
    assert.equal(forms(model), ["forward"]);
    other.remove();
    adapter.remove();
    assert.not.ok(linears(model).some((layer) => layer instanceof AdaptedLinear));
    injectLora(model, { r: 2 }).remove();
    assert.equal(forms(model), ["forward"]);
    model.dispose();
  });
});

test("a prepack that is none is refused everywhere, and nothing changes", () => {
  engine.run(() => {
    const model = smallModel(llamaStyle);
    const { persistentBytes } = engine.stats();
    const wrong = { prepack: "backward" as Prepack };
    for (const act of [
      () => injectLora(model, wrong),
      () => model.freeze(wrong),
      () => model.pack(wrong),
      () => linears(model)[0]!.pack(wrong),
    ]) {
      assert.throws(
        act,
        (error: unknown) =>
          error instanceof UsageError &&
          /prepack is "backward".*"forward" or "both"/.test(error.message),
      );
      assert.equal(forms(model), [null]);
      assert.ok([...model.parameters()].every(({ requiresGrad }) => requiresGrad));
      assert.is(engine.stats().persistentBytes, persistentBytes);
    }
    model.dispose();
  });
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
