// What is refused when an adapter is loaded or saved, and that nothing changes then.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { adaptersOf } from "../../src/adapters/set.ts";
import { current, init } from "../../src/core/engine.ts";
import { LowrankError, UsageError } from "../../src/core/error.ts";
import { adapterFiles, loadAdapter, saveAdapter } from "../../src/io/adapter.ts";
import { modelFiles } from "../../src/io/model.ts";
import { fromFloat32 } from "../../src/io/safetensors.ts";
import { normalInitializer } from "../../src/nn/init.ts";
import { Transformer } from "../../src/nn/transformer.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { base, CONFIG, type Files, WEIGHTS, withConfig } from "./adapter-fixture.ts";
import { smallDisk, snapshot } from "./full-disk.ts";
import { expectedValues, failure, fixtureFiles, logitsOf, withTensors } from "./peft-fixture.ts";

await init({ deterministic: true, threads: 1 });
const fresh = temporaryPaths("adapter");

const encode = (text: string) => new TextEncoder().encode(text);

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
    [withConfig({ r: 3 }), /q_proj\.lora_A\.weight has the shape \[4, 16\], expected \[3, 16\]/],
    [
      withConfig({ rank_pattern: {} }),
      /lora_A\.weight has the shape \[2, 16\], expected \[4, 16\]/,
    ],
    [withConfig({ target_modules: ["q_proj", "v_proj"] }), /belongs to no module that the config/],
    [
      withConfig({ target_modules: ["q_proj", "v_proj", "down_proj", "o_proj"] }),
      /layers\.0\.self_attn\.o_proj has no lora_A\.weight and lora_B\.weight/,
    ],
    [
      withTensors("llama", "adapter", (tensors) => tensors.delete(`${q}.lora_B.weight`)),
      /q_proj has no lora_B/,
    ],
    [
      withTensors("llama", "adapter", (tensors) => tensors.delete(`${q}.lora_A.weight`)),
      /q_proj has no lora_A/,
    ],
    [
      withTensors("llama", "adapter", (tensors) =>
        tensors.set(`${q}.lora_A.weight`, tensor(4, 15)),
      ),
      /lora_A\.weight has the shape \[4, 15\], expected \[4, 16\]/,
    ],
    [
      withTensors("llama", "adapter", (tensors) =>
        tensors.set(`${q}.lora_B.weight`, tensor(17, 4)),
      ),
      /lora_B\.weight has the shape \[17, 4\], expected \[16, 4\]/,
    ],
    [
      withTensors("llama", "adapter", (tensors) =>
        tensors.set(`${q}.lora_magnitude_vector`, tensor(16, 1)),
      ),
      /belongs to DoRA, but use_dora is not set/,
    ],
    [
      withTensors("llama", "adapter", (tensors) =>
        tensors.set("base_model.model.score.weight", tensor(2, 2)),
      ),
      /score\.weight" is no tensor of a LoRA adapter/,
    ],
  ];
  for (const [files, reason] of cases) assert.match(await refused(model, files), reason);
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
    assert.ok(
      message.includes(`${path}.lora_A.weight has the shape [${r}, 16], expected [${r}, 32]`),
    );
    assert.ok(
      message.includes(`${path}.lora_B.weight has the shape [16, ${r}], expected [32, ${r}]`),
    );
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

test("NaN loads with a warning, and merging refuses it and changes nothing", async () => {
  const model = await base("llama");
  const name = "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight";
  const files = withTensors("llama", "adapter", (tensors) => {
    tensors.set(name, fromFloat32(new Float32Array(64).fill(Number.NaN), [16, 4]));
  });
  const before = modelFiles(model);
  const adapter = await loadAdapter(model, files);
  assert.match(adapter.warnings.join(), /down_proj\.lora_B\.weight holds NaN or infinity/);
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
    const error = await failure(() =>
      saveAdapter(other, directory, { overwrite: true }, smallDisk(capacity)),
    );
    assert.instance(error, LowrankError);
    assert.match(error.message, /the disk is full/);
    assert.equal(snapshot(directory), before, `a disk of ${capacity} bytes`);
  }
  await saveAdapter(other, directory, { overwrite: true }, smallDisk(size));
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

test("what is wrong with the targets is said with the keys of the file", async () => {
  const model = await base("llama");
  const heavy = Object.fromEntries(
    Array.from({ length: 600 }, (_, i) => [`.*${"a?".repeat(200)}.*${i}x`, 1]),
  );
  for (const [fields, reason] of [
    [{ target_modules: ["no_proj"] }, /target_modules \["no_proj"\] matches no module/],
    [{ rank_pattern: heavy }, /patterns of target_modules, .*rank_pattern .* take more than/],
    [{ layers_to_transform: [77] }, /with layers_to_transform \[77\]/],
  ] as const) {
    const message = await refused(model, withConfig(fields));
    assert.match(message, reason);
    assert.not.match(message, /targetModules|rankPattern|layersToTransform/);
  }
  model.dispose();
});

test.run();
