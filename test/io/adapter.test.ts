// Loading and saving adapters: what PEFT computes, and round trips.

import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import type { LoraOptions } from "../../src/adapters/loraConfig.ts";
import { init } from "../../src/core/engine.ts";
import { ENGINE_REVISION } from "../../src/core/revision.ts";
import { adapterFiles, loadAdapter, saveAdapter } from "../../src/io/adapter.ts";
import { loadModel, modelFiles } from "../../src/io/model.ts";
import { fromFloat32, readSafetensors, toFloat32 } from "../../src/io/safetensors.ts";
import { expectClose } from "../support/compare.ts";
import { withoutRevision } from "../support/revision.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { base, CONFIG, WEIGHTS, withConfig } from "./adapter-fixture.ts";
import { snapshot } from "./full-disk.ts";
import {
  expectedValues,
  type Family,
  families,
  fixtureBytes,
  fixturePath,
  logitsOf,
  withTensors,
} from "./peft-fixture.ts";

await init({ deterministic: true, threads: 1 });
const fresh = temporaryPaths("adapter");

const configOf = (bytes: Uint8Array): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(bytes));

const fixtures: readonly (readonly [Family, string])[] = [
  ...families.map((family) => [family, "adapter"] as const),
  ...(["ia3", "vera"] as const).flatMap((method) => [
    ["llama", method] as const,
    ["gpt2", method] as const,
  ]),
];

for (const [family, name] of fixtures) {
  test(`a ${family} with PEFT's ${name} computes PEFT's logits, merged as well`, async () => {
    const model = await base(family);
    const { ids, logits, baseLogits, float32Error, merged } = expectedValues(family, name);
    assert.ok(merged.size > 0);
    const before = logitsOf(model, ids);
    const adapter = await loadAdapter(model, fixturePath(family, name));
    assert.equal(adapter.warnings, []);
    // Another order of the same float32 sums: its error is of the size of PyTorch's own, not many times that.
    const bound = 4 * float32Error;
    expectClose(logitsOf(model, ids), logits, bound, { what: "with the adapter" });
    adapter.disable();
    expectClose(logitsOf(model, ids), baseLogits, bound, { what: "disabled" });
    assert.equal(logitsOf(model, ids), before);
    adapter.activate();
    adapter.merge();
    expectClose(logitsOf(model, ids), logits, bound, { what: "merged" });
    // Both sides are float32 sums of r + 1 terms: 1e-6 of the largest weight is 16 units of rounding.
    const { tensors } = readSafetensors(modelFiles(model).get("model.safetensors")!, "merged");
    for (const [name, stored] of merged) {
      const expected = toFloat32(stored);
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expectClose(toFloat32(tensors.get(name)!), expected, 1e-6 * largest, { what: name });
    }
    model.dispose();
  });

  test(`PEFT's ${name} on a ${family} is saved as it was read`, async () => {
    const model = await base(family);
    const adapter = await loadAdapter(model, fixturePath(family, name));
    const files = adapterFiles(adapter);
    const written = withoutRevision(files.get(WEIGHTS)!);
    assert.ok(Buffer.from(written).equals(fixtureBytes(family, `${name}/${WEIGHTS}`)));
    const saved = configOf(files.get(CONFIG)!);
    const read = configOf(fixtureBytes(family, `${name}/${CONFIG}`));
    // PEFT keeps targets as a set, in no order; and here the model has a name.
    const { target_modules: wrote, base_model_name_or_path: called, ...others } = saved;
    const { target_modules: had, base_model_name_or_path: _, ...expected } = read;
    assert.equal(others, expected);
    assert.equal(wrote, (had as string[]).sort());
    assert.is(called, model.name);
    model.dispose();
  });
}

for (const family of families) {
  test(`an adapter made on a ${family}, saved and loaded gives the same bits`, async () => {
    const { ids } = expectedValues(family);
    const model = await base(family);
    const options: LoraOptions = { r: 3, loraAlpha: 7, initLoraWeights: false, useRslora: true };
    const adapter = injectLora(model, { ...options, targetModules: "all-linear" }, { seed: 5 });
    const directory = fresh();
    await saveAdapter(adapter, directory);
    const other = await base(family);
    const again = await loadAdapter(other, directory);
    assert.equal(adapterFiles(again), adapterFiles(adapter));
    assert.equal(logitsOf(other, ids), logitsOf(model, ids));
    assert.equal(
      [...again.namedParameters()].map(([name, parameter]) => [name, parameter.toArray()]),
      [...adapter.namedParameters()].map(([name, parameter]) => [name, parameter.toArray()]),
    );
    assert.ok([...again.parameters()].every((parameter) => parameter.requiresGrad));
    model.dispose();
    other.dispose();
  });
}

test("a saved config names the targets, the base model, and whether its weights lie transposed", async () => {
  const saved = async (family: (typeof families)[number], options: LoraOptions) => {
    const model = await loadModel(fixturePath(family, "base"), { name: "a/base" });
    const files = adapterFiles(injectLora(model, options));
    model.dispose();
    return configOf(files.get(CONFIG)!);
  };
  const gpt2 = await saved("gpt2", {});
  assert.equal(gpt2["target_modules"], ["c_attn"]);
  assert.is(gpt2["fan_in_fan_out"], true);
  assert.is(gpt2["base_model_name_or_path"], "a/base");
  assert.is(gpt2["task_type"], "CAUSAL_LM");
  assert.is(gpt2["inference_mode"], true);
  const llama = await saved("llama", { targetModules: "all-linear", excludeModules: ["k_proj"] });
  assert.is(llama["fan_in_fan_out"], false);
  const paths = llama["target_modules"] as string[];
  // Two layers of q, v, o, gate, up and down.
  assert.is(paths.length, 12);
  assert.ok(paths.includes("model.layers.0.self_attn.q_proj"));
  const pattern = await saved("llama", { targetModules: ".*layers\\.1.*[qk]_proj" });
  assert.is(pattern["target_modules"], ".*layers\\.1.*[qk]_proj");
});

test("an adapter that says which base it is for goes on saying so", async () => {
  const model = await base("llama");
  const adapter = await loadAdapter(model, withConfig({ base_model_name_or_path: "org/base" }));
  const saved = configOf(adapterFiles(adapter).get(CONFIG)!);
  assert.is(saved["base_model_name_or_path"], "org/base");
  model.dispose();
});

test("metadata is kept in the header of the weights, beside PEFT's own", async () => {
  const model = await base("llama");
  const adapter = injectLora(model);
  const header = (metadata: Record<string, string> | Map<string, string>) =>
    readSafetensors(adapterFiles(adapter, { metadata }).get(WEIGHTS)!, "x").metadata;
  const expected = new Map([
    ["format", "pt"],
    ["lowrank_engine_revision", String(ENGINE_REVISION)],
    ["seed", "7"],
  ]);
  assert.equal(header({ seed: "7" }), expected);
  assert.equal(header(new Map([["seed", "7"]])), expected);
  assert.throws(() => header({ seed: 7 as unknown as string }), /"seed" is number/);
  model.dispose();
});

test("several adapters lie on one base, and each is itself", async () => {
  const model = await base("llama");
  const { ids } = expectedValues("llama");
  const directory = fixturePath("llama", "adapter");
  const plain = logitsOf(model, ids);
  const first = await loadAdapter(model, directory);
  const withFirst = logitsOf(model, ids);
  const second = await loadAdapter(
    model,
    withTensors("llama", "adapter", (tensors) => {
      for (const [name, { shape }] of [...tensors]) {
        const values = new Float32Array(shape[0]! * shape[1]!).fill(0.125);
        tensors.set(name, fromFloat32(values, shape));
      }
    }),
    { adapterName: "second", activate: false },
  );
  assert.equal([first.active, second.active], [true, false]);
  assert.equal(logitsOf(model, ids), withFirst);
  second.activate();
  assert.not.equal(logitsOf(model, ids), withFirst);
  first.activate();
  assert.equal(logitsOf(model, ids), withFirst);
  // The file of an adapter holds its own tensors under names that are free of its name.
  const names = [...readSafetensors(adapterFiles(second).get(WEIGHTS)!, "x").tensors.keys()];
  const original = readSafetensors(fixtureBytes("llama", `adapter/${WEIGHTS}`), "x");
  assert.equal(names.sort(), [...original.tensors.keys()].sort());
  first.remove();
  second.remove();
  assert.equal(logitsOf(model, ids), plain);
  model.dispose();
});

test("an adapter that is loaded without being activated leaves the model's output as it is", async () => {
  const model = await base("gpt2");
  const { ids } = expectedValues("gpt2");
  const plain = logitsOf(model, ids);
  await loadAdapter(model, fixturePath("gpt2", "adapter"), { activate: false });
  assert.equal(logitsOf(model, ids), plain);
  model.dispose();
});

test("what was ignored is a warning on the adapter", async () => {
  const model = await base("llama");
  const fields = { shiny: true, rank_pattern: { "1.self_attn.q_proj": 2, k_proj: 3 } };
  const adapter = await loadAdapter(model, withConfig(fields));
  assert.is(adapter.warnings.length, 2);
  assert.match(adapter.warnings[0]!, /the key "shiny" is not known/);
  assert.match(adapter.warnings[1]!, /rank_pattern "k_proj" matches no adapted module/);
  // An unknown key is written back.
  assert.is(configOf(adapterFiles(adapter).get(CONFIG)!)["shiny"], true);
  model.dispose();
});

test("adapters of other names in directories below do not stand in the way", async () => {
  const model = await base("llama");
  const directory = fresh();
  const second = injectLora(model, { r: 2 }, { adapterName: "second" });
  await saveAdapter(second, join(directory, "second"));
  const first = injectLora(model);
  await saveAdapter(first, directory);
  const names = [CONFIG, WEIGHTS, join("second", CONFIG), join("second", WEIGHTS)];
  assert.equal(Object.keys(snapshot(directory)), names);
  model.dispose();
});

test.run();
