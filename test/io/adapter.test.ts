// Loading and saving adapters: what PEFT computes, round trips, and what is refused.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LoraOptions } from "../../src/adapters/config.ts";
import { injectLora } from "../../src/adapters/inject.ts";
import { adaptersOf } from "../../src/adapters/set.ts";
import { current, init } from "../../src/core/engine.ts";
import { LowrankError, UsageError } from "../../src/core/error.ts";
import { adapterFiles, loadAdapter, saveAdapter } from "../../src/io/adapter.ts";
import { loadModel, modelFiles } from "../../src/io/model.ts";
import type { PretrainedModel } from "../../src/io/pretrained.ts";
import {
  fromFloat32,
  readSafetensors,
  type StoredTensor,
  toFloat32,
  writeSafetensors,
} from "../../src/io/safetensors.ts";
import { normalInitializer } from "../../src/nn/init.ts";
import { Transformer } from "../../src/nn/transformer.ts";
import { expectClose } from "../support/compare.ts";
import { smallDisk, snapshot } from "./full-disk.ts";
import {
  expectedValues,
  failure,
  families,
  fixtureBytes,
  fixtureFiles,
  fixturePath,
  logitsOf,
  withFields,
} from "./peft-fixture.ts";

await init({ deterministic: true, threads: 1 });
const root = mkdtempSync(join(tmpdir(), "adapter-"));
test.after(() => rmSync(root, { recursive: true }));
let count = 0;
const fresh = (): string => join(root, String(count++));

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";
type Files = Record<string, Uint8Array>;
const base = (family: (typeof families)[number]): Promise<PretrainedModel> =>
  loadModel(fixturePath(family, "base"));
const configOf = (bytes: Uint8Array): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(bytes));
const encode = (text: string) => new TextEncoder().encode(text);

/** The adapter's files with its tensors changed. */
function withTensors(change: (tensors: Map<string, StoredTensor>) => void): Files {
  const files = fixtureFiles("llama", "adapter");
  const { tensors, metadata } = readSafetensors(files[WEIGHTS]!, "adapter");
  change(tensors);
  return { ...files, [WEIGHTS]: writeSafetensors(tensors, metadata) };
}

const withConfig = (fields: Record<string, unknown>): Files => {
  const files = fixtureFiles("llama", "adapter");
  return { ...files, [CONFIG]: withFields(files[CONFIG]!, fields) };
};

for (const family of families) {
  test(`a ${family} with an adapter of PEFT computes PEFT's logits, merged as well`, async () => {
    const model = await base(family);
    const { ids, logits, baseLogits, float32Error, merged } = expectedValues(family);
    const before = logitsOf(model, ids);
    const adapter = await loadAdapter(model, fixturePath(family, "adapter"));
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

  test(`an adapter of PEFT on a ${family} is saved as it was read`, async () => {
    const model = await base(family);
    const adapter = await loadAdapter(model, fixturePath(family, "adapter"));
    const files = adapterFiles(adapter);
    assert.equal(files.get(WEIGHTS), fixtureBytes(family, `adapter/${WEIGHTS}`));
    const saved = configOf(files.get(CONFIG)!);
    const read = configOf(fixtureBytes(family, `adapter/${CONFIG}`));
    // PEFT keeps targets as a set, in no order; and here the model has a name.
    const { target_modules: wrote, base_model_name_or_path: name, ...others } = saved;
    const { target_modules: had, base_model_name_or_path: _, ...expected } = read;
    assert.equal(others, expected);
    assert.equal(wrote, (had as string[]).sort());
    assert.is(name, model.name);
    model.dispose();
  });

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
    withTensors((tensors) => {
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

/** Refused with a LowrankError, and the model is as it was to the byte. */
async function refused(model: Transformer, files: Files, adapterName?: string): Promise<string> {
  const state = () => ({
    names: [...model.namedParameters()].map(([name, { requiresGrad, packed }]) => [
      name,
      requiresGrad,
      packed,
    ]),
    adapters: [...adaptersOf(model).adapters.keys()],
    active: adaptersOf(model).active,
    bytes: current().stats().persistentBytes,
  });
  const before = state();
  const options = adapterName === undefined ? {} : { adapterName };
  const error = await failure(() => loadAdapter(model, files, options));
  assert.instance(error, LowrankError);
  assert.equal(state(), before);
  return error.message;
}

test("every broken adapter is refused by a sentence, and changes nothing", async () => {
  const model = await base("llama");
  const q = "base_model.model.model.layers.0.self_attn.q_proj";
  const tensor = (...shape: [number, number]) =>
    fromFloat32(new Float32Array(shape[0] * shape[1]), shape);
  const { [CONFIG]: config, [WEIGHTS]: weights } = fixtureFiles("llama", "adapter");
  const cases: readonly (readonly [Files, RegExp])[] = [
    [{ [WEIGHTS]: weights! }, /There is no adapter_config\.json/],
    [{ [CONFIG]: config! }, /There is no adapter_model\.safetensors/],
    [{ [CONFIG]: config!, "adapter_model.bin": weights! }, /is a pickle/],
    [{ [CONFIG]: config!, [WEIGHTS]: weights!.subarray(0, -2) }, /adapter_model\.safetensors/],
    [{ [CONFIG]: encode("[]"), [WEIGHTS]: weights! }, /adapter_config\.json/],
    [withConfig({ peft_type: "ADALORA" }), /"peft_type" is "ADALORA"/],
    [withConfig({ r: 0 }), /r is 0/],
    [withConfig({ r: 1e9 }), /r is 1000000000/],
    [withConfig({ r: "8" }), /r is "8"/],
    [withConfig({ lora_alpha: "6" }), /lora_alpha is "6"/],
    [withConfig({ lora_dropout: 1 }), /lora_dropout is 1/],
    [withConfig({ layer_replication: [[0, 1]] }), /"layer_replication" is set/],
    [withConfig({ use_dora: true }), /"use_dora" is set/],
    [withConfig({ target_modules: "(a*)*".padEnd(1001, "b") }), /target_modules/],
    [withConfig({ target_modules: ["query"] }), /matches no module of this model/],
    [withConfig({ r: 3 }), /q_proj\.lora_A has the shape \[4, 16\], expected \[3, 16\]/],
    [withConfig({ rank_pattern: {} }), /lora_A has the shape \[2, 16\], expected \[4, 16\]/],
    [withConfig({ target_modules: ["q_proj", "v_proj"] }), /belongs to no module that the config/],
    [
      withConfig({ target_modules: ["q_proj", "v_proj", "down_proj", "o_proj"] }),
      /layers\.0\.self_attn\.o_proj has no lora_A and lora_B/,
    ],
    [withTensors((tensors) => tensors.delete(`${q}.lora_B.weight`)), /q_proj has no lora_B/],
    [withTensors((tensors) => tensors.delete(`${q}.lora_A.weight`)), /q_proj has no lora_A/],
    [
      withTensors((tensors) => tensors.set(`${q}.lora_A.weight`, tensor(4, 15))),
      /lora_A has the shape \[4, 15\], expected \[4, 16\]/,
    ],
    [
      withTensors((tensors) => tensors.set(`${q}.lora_B.weight`, tensor(17, 4))),
      /lora_B has the shape \[17, 4\], expected \[16, 4\]/,
    ],
    [
      withTensors((tensors) => tensors.set(`${q}.lora_magnitude_vector`, tensor(16, 1))),
      /belongs to DoRA, but use_dora is not set/,
    ],
    [
      withTensors((tensors) => tensors.set("base_model.model.score.weight", tensor(2, 2))),
      /score\.weight" is no tensor of a LoRA adapter/,
    ],
  ];
  for (const [files, reason] of cases) assert.match(await refused(model, files), reason);
  model.dispose();
});

test("a rank above the smaller side of a weight is refused, though the tensors agree with it", async () => {
  const model = await base("llama");
  // v_proj is [8, 16]: 9 is above the smaller side.
  const files = withTensors((tensors) => {
    tensors.clear();
    for (const layer of [0, 1]) {
      const path = `base_model.model.model.layers.${layer}.self_attn.v_proj`;
      tensors.set(`${path}.lora_A.weight`, fromFloat32(new Float32Array(9 * 16), [9, 16]));
      tensors.set(`${path}.lora_B.weight`, fromFloat32(new Float32Array(8 * 9), [8, 9]));
    }
  });
  const fields = { r: 9, target_modules: ["v_proj"], rank_pattern: {}, alpha_pattern: {} };
  files[CONFIG] = withFields(files[CONFIG]!, fields);
  assert.match(await refused(model, files), /r is 9 .* cannot be above 8/);
  model.dispose();
});

test("an adapter for another kind of model lists its names and shapes", async () => {
  const model = await base("llama");
  const message = await refused(model, fixtureFiles("gpt2", "adapter"));
  assert.match(message, /matches no module of this model; the linear layers are called/);
  assert.match(message, /transformer\.h\.0\.attn\.c_attn\.lora_A\.weight \[3,16\]/);
  model.dispose();
});

test("an adapter for a larger model of the same kind lists every tensor with both shapes", async () => {
  const { config } = await base("llama");
  const model = new Transformer({ ...config, hiddenSize: 32, heads: 8 }, normalInitializer(0));
  const message = await refused(model, fixtureFiles("llama", "adapter"));
  for (const layer of [0, 1]) {
    const path = `model.layers.${layer}.self_attn.q_proj`;
    const r = layer === 0 ? 4 : 2;
    assert.ok(message.includes(`${path}.lora_A has the shape [${r}, 16], expected [${r}, 32]`));
    assert.ok(message.includes(`${path}.lora_B has the shape [16, ${r}], expected [32, ${r}]`));
  }
  model.dispose();
});

test("a name that is taken is refused, and the adapter that has it stays", async () => {
  const model = await base("llama");
  const { ids } = expectedValues("llama");
  const files = fixtureFiles("llama", "adapter");
  await loadAdapter(model, files);
  const before = logitsOf(model, ids);
  assert.match(await refused(model, files), /has an adapter "default" already/);
  assert.match(await refused(model, files, "a.b"), /"a\.b" cannot name an adapter/);
  assert.equal(logitsOf(model, ids), before);
  model.dispose();
});

test("what was ignored is a warning on the adapter", async () => {
  const model = await base("llama");
  const fields = { shiny: true, rank_pattern: { "1.self_attn.q_proj": 2, k_proj: 3 } };
  const adapter = await loadAdapter(model, withConfig(fields));
  assert.is(adapter.warnings.length, 2);
  assert.match(adapter.warnings[0]!, /the key "shiny" is not known/);
  assert.match(adapter.warnings[1]!, /rankPattern "k_proj" matches no adapted module/);
  // An unknown key is written back.
  assert.is(configOf(adapterFiles(adapter).get(CONFIG)!)["shiny"], true);
  model.dispose();
});

test("NaN loads with a warning, and merging refuses it and changes nothing", async () => {
  const model = await base("llama");
  const name = "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight";
  const files = withTensors((tensors) => {
    tensors.set(name, fromFloat32(new Float32Array(64).fill(Number.NaN), [16, 4]));
  });
  const before = modelFiles(model);
  const adapter = await loadAdapter(model, files);
  assert.match(adapter.warnings.join(), /down_proj\.lora_B holds NaN or infinity/);
  assert.throws(
    () => adapter.merge(),
    (error: unknown) => error instanceof LowrankError && /down_proj/.test(error.message),
  );
  assert.is(adapter.merged, false);
  assert.equal(modelFiles(model), before);
  model.dispose();
});

test("a disk that is full anywhere in the middle of a save leaves the old adapter whole", async () => {
  const model = await base("llama");
  const directory = fresh();
  const adapter = injectLora(model, { r: 2 });
  await saveAdapter(adapter, directory);
  const before = snapshot(directory);
  adapter.remove();
  const other = injectLora(model, { r: 3, initLoraWeights: false });
  const sizes = [...adapterFiles(other).values()].map((bytes) => bytes.length);
  const size = sizes.reduce((sum, length) => sum + length);
  for (const capacity of [0, 1, sizes[0]!, sizes[0]! + 1, size - 1]) {
    const error = await failure(() => saveAdapter(other, directory, {}, smallDisk(capacity)));
    assert.instance(error, LowrankError);
    assert.match(error.message, /the disk is full/);
    assert.equal(snapshot(directory), before, `a disk of ${capacity} bytes`);
  }
  await saveAdapter(other, directory, {}, smallDisk(size));
  assert.equal(readFileSync(join(directory, WEIGHTS)).length, sizes[1]);
  model.dispose();
});

test("an output path that is a file or holds something else is refused and stays as it is", async () => {
  const model = await base("llama");
  const adapter = injectLora(model);
  const directory = fresh();
  mkdirSync(directory);
  writeFileSync(join(directory, "thesis.tex"), "\\title{}");
  const before = snapshot(directory);
  const onFile = await failure(() => saveAdapter(adapter, join(directory, "thesis.tex")));
  assert.match(onFile.message, /is a file, but a directory is to be written there/);
  const onOther = await failure(() => saveAdapter(adapter, directory));
  assert.instance(onOther, UsageError);
  assert.match(onOther.message, /already holds something else: "thesis\.tex"/);
  assert.equal(snapshot(directory), before);
  await saveAdapter(adapter, directory, { overwrite: true });
  assert.equal(Object.keys(snapshot(directory)), [CONFIG, WEIGHTS, "thesis.tex"]);
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
