// Which tensors train: those of adapters that are active and not merged, as in PEFT. And what stays unwritten while an
// adapter is merged.

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Adapter } from "../../src/adapters/adapter.ts";
import { disableAdapters, setActiveAdapters } from "../../src/adapters/inject.ts";
import { injectLora } from "../../src/adapters/lora.ts";
import { adaptersOf } from "../../src/adapters/set.ts";
import { UsageError } from "../../src/core/error.ts";
import { adapterFiles, loadAdapter } from "../../src/io/adapter.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { scope } from "../../src/tensor/scope.ts";
import { engines } from "../support/engines.ts";
import { logitsOf } from "../support/logits.ts";
import { drawAdapter, gpt2Style, llamaStyle, randomBatch, smallModel } from "../support/models.ts";

const { engine } = (await engines())[1]!;
const batch = randomBatch(llamaStyle, { batchSize: 2, blockSize: 8 });

/** Names of the adapters all of whose tensors require gradients; fails if some of one do and some do not. */
function training(...adapters: readonly Adapter[]): string[] {
  return adapters.flatMap((adapter) => {
    const found = new Set([...adapter.parameters()].map(({ requiresGrad }) => requiresGrad));
    assert.is(found.size, 1);
    return found.has(true) ? [adapter.name] : [];
  });
}

function inject(model: Transformer, adapterName: string): Adapter {
  // Targets that differ in part: a layer may have one of them, both or none.
  const targetModules = adapterName === "a" ? ["q_proj", "v_proj"] : ["v_proj", "up_proj"];
  const adapter = injectLora(model, { r: 2, targetModules }, { adapterName });
  drawAdapter(adapter, adapterName.charCodeAt(0));
  return adapter;
}

test("the tensors of adapters train while these are active and not merged", () => {
  engine.run(() => {
    const model = smallModel(llamaStyle);
    const [a, b] = [inject(model, "a"), inject(model, "b")];
    const expect = (...names: string[]): void => assert.equal(training(a, b), names);
    expect("b");
    a.activate();
    expect("a");
    setActiveAdapters(model, ["a", "b"]);
    expect("a", "b");
    a.merge();
    expect("b");
    b.merge();
    expect();
    a.unmerge();
    expect("a");
    disableAdapters(model);
    expect();
    b.merge();
    expect();
    b.unmerge();
    expect("b");
    b.disable();
    expect();
    b.activate();
    // What is frozen by hand stays so until it is switched.
    for (const parameter of b.parameters()) parameter.requiresGrad = false;
    a.merge();
    expect();
    b.activate();
    expect();
    a.activate();
    b.activate();
    expect("b");
    model.dispose();
  });
});

test("A → B → A gives A its bits back, and neither a step nor a gradient of B reaches it", () => {
  engine.run(() => {
    const model = smallModel(llamaStyle);
    const [a, b] = [inject(model, "a"), inject(model, "b")];
    a.activate();
    const optimizers = new Map<Adapter, AdamW>();
    const step = (active: Adapter): void => {
      const optimizer =
        optimizers.get(active) ?? new AdamW(active.parameters(), { lr: 1e-2, weightDecay: 0.1 });
      optimizers.set(active, optimizer);
      scope(() => model.loss(batch).backward());
      for (const one of optimizers.values()) one.step();
      for (const one of optimizers.values()) one.zeroGrad();
    };
    step(a);
    const [files, logits] = [adapterFiles(a), logitsOf(model, batch)];
    b.activate();
    for (let i = 0; i < 3; i++) step(b);
    assert.equal(adapterFiles(a), files);
    a.activate();
    assert.equal(adapterFiles(a), files);
    assert.equal(logitsOf(model, batch), logits);
    const before = adapterFiles(b);
    step(a);
    assert.not.equal(adapterFiles(a), files);
    assert.equal(adapterFiles(b), before);
    b.activate();
    assert.throws(() => new AdamW(a.parameters(), { lr: 1 }), /activate its adapter/);
    for (const optimizer of optimizers.values()) optimizer.dispose();
    model.dispose();
  });
});

test("a loaded adapter trains if it is made active, and leaves the others as they were if not", async () => {
  const { model, a, files } = engine.run(() => {
    const model = smallModel(llamaStyle);
    const a = inject(model, "a");
    return { model, a, files: Object.fromEntries(adapterFiles(a)) };
  });
  const idle = await loadAdapter(model, files, { adapterName: "idle", activate: false });
  assert.equal(training(a, idle), ["a"]);
  a.merge();
  const second = await loadAdapter(model, files, { adapterName: "second" });
  assert.equal(training(a, idle, second), ["second"]);
  assert.equal(adaptersOf(model).active, ["a", "second"]);
  assert.ok(a.merged);
  second.activate();
  assert.not.ok(a.merged);
  model.dispose();
});

test("an adapter that is loaded idle leaves the gradients of the active ones, and what is frozen by hand", async () => {
  const { model, a, b, files } = engine.run(() => {
    const model = smallModel(llamaStyle);
    const [a, b] = [inject(model, "a"), inject(model, "b")];
    setActiveAdapters(model, ["a", "b"]);
    for (const [name, parameter] of a.namedParameters()) {
      if (/lora_A/.test(name)) parameter.requiresGrad = false;
    }
    scope(() => model.loss(batch).backward());
    return { model, a, b, files: Object.fromEntries(adapterFiles(a)) };
  });
  const tensors = () =>
    [...a.namedParameters(), ...b.namedParameters()].map(
      ([name, { requiresGrad, grad }]) => [name, requiresGrad, grad] as const,
    );
  const before = tensors();
  for (const [name, requiresGrad, grad] of before) assert.is(grad !== null, requiresGrad, name);
  assert.ok(before.some(([, requiresGrad]) => !requiresGrad));
  const idle = await loadAdapter(model, files, { adapterName: "idle", activate: false });
  assert.equal(tensors(), before);
  assert.equal(training(idle), []);
  engine.run(() => {
    // Nor does one that takes part beside them.
    setActiveAdapters(model, ["a", "b", "idle"]);
    assert.equal(tensors(), before);
    assert.equal(training(idle), ["idle"]);
    model.dispose();
  });
});

for (const [name, config] of [
  ["Llama", llamaStyle],
  ["GPT-2", gpt2Style],
] as const) {
  test(`while an adapter is merged, a ${name} model refuses to be written, and nothing changes`, () => {
    engine.run(() => {
      const model = smallModel(config);
      const tokens = randomBatch(config, { batchSize: 1, blockSize: 6 });
      const state = smallModel(config, 2).stateDict();
      const adapter = injectLora(model, { r: 2, targetModules: ["lm_head"] });
      drawAdapter(adapter);
      adapter.merge();
      const refused = (error: unknown): boolean =>
        error instanceof UsageError && /merged.*unmerge\(\)/.test(error.message);
      const merged = logitsOf(model, tokens);
      assert.throws(() => model.loadStateDict(model.stateDict()), refused);
      assert.throws(() => model.loadStateDict(state), refused);
      for (const [path, parameter] of model.namedParameters()) {
        const values = parameter.toArray();
        if (!/lm_head.weight$/.test(path)) parameter.set(values);
        else assert.throws(() => parameter.set(values), refused);
      }
      assert.equal(logitsOf(model, tokens), merged);
      adapter.remove();
      model.loadStateDict(state);
      assert.equal(model.stateDict(), state);
      model.dispose();
    });
  });
}

test.run();
