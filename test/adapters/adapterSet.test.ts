// Several adapters on one model, what is refused, and that whatever is refused changes nothing.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { AdaptedLinear } from "../../src/adapters/adaptedLinear.ts";
import { setActiveAdapters } from "../../src/adapters/inject.ts";
import { injectLora, type LoraLayer } from "../../src/adapters/lora.ts";
import { adaptersOf } from "../../src/adapters/set.ts";
import { LowrankError, ReleasedError, UsageError } from "../../src/core/error.ts";
import { adapterFiles, loadAdapter } from "../../src/io/adapter.ts";
import { Linear } from "../../src/nn/linear.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { engines } from "../support/engines.ts";
import { logitsOf } from "../support/logits.ts";
import { drawAdapter, gpt2Style, llamaStyle, randomBatch, smallModel } from "../support/models.ts";
import { distance, referenceLogits, weightsOf } from "../support/referenceModel.ts";

const all = await engines();
const { engine } = all[1]!;
const batch = randomBatch(llamaStyle, { batchSize: 2, blockSize: 8 });

/** Runs with a small Llama in the second engine. */
function withModel(name: string, body: (model: Transformer) => void): void {
  test(name, () => {
    engine.run(() => {
      const model = smallModel(llamaStyle);
      body(model);
      model.dispose();
    });
  });
}

/** All that refusing must leave alone. */
function snapshot(model: Transformer): unknown {
  const set = adaptersOf(model);
  return {
    names: [...model.namedParameters()].map(([name, p]) => [name, p.requiresGrad, p.packed]),
    adapters: [...set.adapters.keys()],
    active: set.active,
    merged: set.merged,
    // As text, because NaN is to equal NaN.
    logits: logitsOf(model, batch).join(),
    bytes: engine.stats().persistentBytes,
  };
}

function refuses(model: Transformer, act: () => void, ...says: RegExp[]): void {
  logitsOf(model, batch);
  const before = snapshot(model);
  let message = "";
  assert.throws(act, (error: unknown) => {
    message = (error as Error).message;
    return error instanceof LowrankError;
  });
  for (const part of says) assert.match(message, part);
  assert.equal(snapshot(model), before);
}

withModel("removing the last adapter leaves plain layers and the base's bits", (model) => {
  const base = logitsOf(model, batch);
  model.freeze();
  const names = [...model.namedParameters()];
  const { persistentBytes } = engine.stats();
  const adapters = ["a", "b"].map((adapterName, i) => {
    const adapter = injectLora(model, { r: 2 + i, targetModules: "all-linear" }, { adapterName });
    drawAdapter(adapter, i);
    return adapter;
  });
  adapters[0]!.remove();
  assert.ok([...model.namedModules()].some(([, module]) => module instanceof AdaptedLinear));
  assert.equal([...adaptersOf(model).adapters.keys()], ["b"]);
  adapters[1]!.merge();
  adapters[1]!.remove();
  for (const [, module] of model.namedModules()) {
    if (module instanceof Linear) assert.is(module.constructor, Linear);
  }
  assert.equal(
    [...model.namedParameters()].map(([name]) => name),
    names.map(([name]) => name),
  );
  assert.ok([...model.parameters()].every((parameter, i) => parameter === names[i]?.[1]));
  assert.is(engine.stats().persistentBytes, persistentBytes);
  assert.equal(logitsOf(model, batch), base);
});

withModel("a name is free again after its adapter was removed", (model) => {
  injectLora(model, { r: 2 }).remove();
  assert.is(injectLora(model, { r: 3 }).config.r, 3);
});

withModel("a removed adapter does nothing to another of its name", (model) => {
  const removed = injectLora(model, { r: 2 });
  removed.remove();
  const present = injectLora(model, { r: 3 });
  for (const call of ["activate", "disable", "merge", "unmerge", "remove"] as const) {
    assert.throws(
      () => removed[call](),
      (error: unknown) => error instanceof ReleasedError && /default/.test(error.message),
    );
  }
  assert.ok(present.active);
  assert.not(present.merged);
});

withModel("r = 0 and a broken rank are refused", (model) => {
  refuses(model, () => injectLora(model, { r: 0 }), /r is 0/, /1 to/);
  refuses(model, () => injectLora(model, { r: 1.5 }), /r is 1.5/);
  // v_proj is [12, 24], q_proj [24, 24].
  const fitting = injectLora(model, { r: 12 });
  assert.is(fitting.countParameters(), 2 * (12 * 48 + 12 * 36));
  assert.equal(fitting.warnings, []);
});

withModel("a rank above a weight's smaller side is a remark", (model) => {
  const { warnings } = injectLora(model, { r: 13 });
  assert.is(warnings.length, 1);
  assert.match(warnings[0]!, /self_attn\.v_proj \[12, 24\] and 1 more is above the smaller side/);
});

withModel("a target that matches nothing is an error that lists the names there are", (model) => {
  refuses(
    model,
    () => injectLora(model, { targetModules: ["query"] }),
    /"query"/,
    /q_proj/,
    /k_proj/,
    /v_proj/,
    /o_proj/,
    /gate_proj/,
    /up_proj/,
    /down_proj/,
  );
});

withModel("a second adapter of the same name is refused, and the first one stays", (model) => {
  const adapter = injectLora(model, { r: 2 });
  drawAdapter(adapter);
  refuses(model, () => injectLora(model, { r: 4 }), /"default" already/);
  refuses(model, () => setActiveAdapters(model, "other"), /no adapter "other"/, /default/);
});

withModel("NaN or infinity in B: merging refuses and changes nothing", (model) => {
  const good = injectLora(model, { r: 2, targetModules: "all-linear" }, { adapterName: "good" });
  drawAdapter(good);
  good.merge();
  const bad = injectLora(model, { r: 2, targetModules: "all-linear" }, { adapterName: "bad" });
  drawAdapter(bad);
  // The last layer's, so that all others have been computed by then.
  const last = [...bad.layers.values()].at(-1) as LoraLayer;
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 3e38]) {
    const a = last.a.toArray();
    last.a.set(a.map((x) => (value === 3e38 ? Math.sign(x) * 2 : x)));
    const b = last.b.toArray();
    last.b.set(b.map((x, i) => (i === b.length - 1 || value === 3e38 ? value : x)));
    refuses(model, () => bad.merge(), /layers\.1\.mlp\.down_proj/, /infinite or NaN/);
    last.b.set(b);
    last.a.set(a);
  }
  assert.ok(good.merged);
  bad.merge();
  assert.ok(bad.merged);
});

withModel(
  "an adapter with another dropout cannot train beside one, but can be evaluated",
  (model) => {
    for (const [adapterName, loraDropout] of [
      ["a", 0.1],
      ["b", 0.2],
    ] as const) {
      injectLora(model, { r: 2, loraDropout }, { adapterName });
    }
    setActiveAdapters(model, ["a", "b"]);
    logitsOf(model, batch);
    model.train();
    assert.throws(
      () => logitsOf(model, batch),
      (error: unknown) =>
        error instanceof UsageError && /different loraDropout/.test(error.message),
    );
    model.eval();
  },
);

withModel(
  "disabling a merged adapter gives the base's bits, activating another one its own",
  (model) => {
    const base = logitsOf(model, batch);
    const a = injectLora(model, { r: 2 }, { adapterName: "a" });
    drawAdapter(a);
    a.merge();
    a.disable();
    assert.not.ok(a.merged);
    assert.equal(logitsOf(model, batch), base);
    const b = injectLora(model, { r: 2 }, { adapterName: "b" });
    drawAdapter(b, 2);
    const withB = logitsOf(model, batch);
    a.merge();
    assert.ok(a.active);
    b.activate();
    assert.equal([a.active, a.merged], [false, false]);
    assert.equal(logitsOf(model, batch), withB);
  },
);

withModel("a new adapter trains on top of one that is merged", (model) => {
  const a = injectLora(model, { r: 2 }, { adapterName: "a" });
  drawAdapter(a);
  a.merge();
  const merged = logitsOf(model, batch);
  const b = injectLora(model, { r: 2 }, { adapterName: "b" });
  assert.equal(adaptersOf(model).active, ["a", "b"]);
  assert.ok(a.merged);
  assert.equal(logitsOf(model, batch), merged);
  b.remove();
  assert.equal(logitsOf(model, batch), merged);
});

withModel("freeing a merged model frees the kept base too", (model) => {
  const { persistentBytes } = engine.stats();
  const other = smallModel(llamaStyle);
  injectLora(other, { r: 4, targetModules: "all-linear" }).merge();
  other.dispose();
  assert.is(engine.stats().persistentBytes, persistentBytes);
  logitsOf(model, batch);
});

test("an adapter that was saved and loaded computes the same bits", async () => {
  const { model, files, logits } = engine.run(() => {
    const made = smallModel(llamaStyle);
    const adapter = injectLora(made, { r: 3, loraAlpha: 5, targetModules: "all-linear" });
    drawAdapter(adapter);
    return { model: made, files: adapterFiles(adapter), logits: logitsOf(made, batch) };
  });
  const other = engine.run(() => smallModel(llamaStyle));
  const loaded = await loadAdapter(other, Object.fromEntries(files));
  engine.run(() => {
    assert.equal(logitsOf(other, batch), logits);
    assert.equal(adapterFiles(loaded), files);
    model.dispose();
    other.dispose();
  });
});

for (const { name, engine: one } of all) {
  test(`merging an adapter on a tied head leaves the embedding alone (${name})`, () => {
    one.run(() => {
      const model = smallModel(gpt2Style);
      const tokens = randomBatch(gpt2Style, { batchSize: 4, blockSize: 9 });
      const state = model.stateDict();
      const truth = referenceLogits(gpt2Style, weightsOf(state), tokens).data;
      const base = logitsOf(model, tokens);
      const allowed = 2 * distance(base, truth);
      const adapter = injectLora(model, { r: 4, loraAlpha: 4, targetModules: ["lm_head"] });
      drawAdapter(adapter);
      const adapted = referenceLogits(gpt2Style, weightsOf(state, [adapter]), tokens).data;
      const unmerged = logitsOf(model, tokens);
      assert.ok(distance(unmerged, adapted) <= allowed);
      adapter.merge();
      const embedding = [...model.namedParameters()].find(([path]) => path.endsWith("wte.weight"));
      assert.equal(embedding?.[1].toArray(), state.get("transformer.wte.weight")?.data);
      assert.ok(model.stateDict().has("lm_head.weight"));
      assert.ok(distance(logitsOf(model, tokens), adapted) <= allowed);
      adapter.unmerge();
      assert.equal(logitsOf(model, tokens), unmerged);
      assert.not.ok(model.stateDict().has("lm_head.weight"));
      adapter.disable();
      assert.equal(logitsOf(model, tokens), base);
      model.dispose();
    });
  });
}

test.run();
