// Loading models: values, round trips, what a directory may hold.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { init } from "../../src/core/engine.ts";
import { FormatError, UsageError } from "../../src/core/error.ts";
import { parseJsonObject } from "../../src/io/json.ts";
import { loadModel, modelFiles, saveModel } from "../../src/io/model.ts";
import { fromFloat32, readSafetensors, writeSafetensors } from "../../src/io/safetensors.ts";
import { normalInitializer } from "../../src/nn/init.ts";
import { Transformer } from "../../src/nn/transformer.ts";
import { expectClose } from "../support/compare.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { CONFIG, small, tensorsOf, WEIGHTS } from "./model-fixture.ts";
import {
  expectedValues,
  families,
  fixtureFiles,
  fixturePath,
  logitsOf,
  withTensors,
} from "./peft-fixture.ts";

await init({ deterministic: true, threads: 1 });
const fresh = temporaryPaths("model");

for (const family of families) {
  test(`the ${family} that transformers saved computes the logits of transformers`, async () => {
    const model = await loadModel(fixturePath(family, "base"));
    const expected = expectedValues(family);
    // Another order of the same float32 sums: its error is of the size of PyTorch's own, not many times that.
    const bound = 4 * expected.float32Error;
    expectClose(logitsOf(model, expected.ids), expected.baseLogits, bound, { what: family });
    assert.ok([...model.parameters()].every((parameter) => parameter.requiresGrad));
    assert.equal(model.warnings, []);
    assert.is(model.name, fixturePath(family, "base"));
    model.dispose();
  });

  test(`a ${family} saved and loaded has the same tensors, config and logits, bit for bit`, async () => {
    const model = await loadModel(fixturePath(family, "base"));
    const { ids } = expectedValues(family);
    const directory = fresh();
    await saveModel(model, directory);
    const original = fixtureFiles(family, "base");
    const { tensors } = readSafetensors(original[WEIGHTS]!, "base");
    const saved = tensorsOf(new Map([[WEIGHTS, readFileSync(join(directory, WEIGHTS))]]));
    assert.equal(new Map([...saved].sort()), new Map([...tensors].sort()));
    const config = readFileSync(join(directory, CONFIG));
    assert.equal(parseJsonObject(config, "saved"), parseJsonObject(original[CONFIG]!, "base"));
    const again = await loadModel(directory);
    assert.equal(logitsOf(again, ids), logitsOf(model, ids));
    await saveModel(again, directory);
    model.dispose();
    again.dispose();
  });
}

test("a GPT-2 without prefix, with its mask buffers, is the same model", async () => {
  const files = withTensors("gpt2", "base", (tensors) => {
    for (const [name, stored] of [...tensors]) {
      tensors.delete(name);
      tensors.set(name.replace("transformer.", ""), stored);
    }
    for (const layer of [0, 1]) {
      const mask = fromFloat32(new Float32Array(32 * 32), [1, 1, 32, 32]);
      tensors.set(`h.${layer}.attn.bias`, mask);
      tensors.set(`h.${layer}.attn.masked_bias`, fromFloat32(Float32Array.of(-1e4), []));
    }
  });
  const plain = await loadModel(fixturePath("gpt2", "base"));
  const model = await loadModel(files);
  assert.equal(model.stateDict(), plain.stateDict());
  model.dispose();
  plain.dispose();
});

test("rotary frequencies and a head that repeats the tied embedding are passed over", async () => {
  const files = withTensors("qwen2", "base", (tensors) => {
    const frequencies = fromFloat32(new Float32Array(2), [2]);
    tensors.set("model.layers.0.self_attn.rotary_emb.inv_freq", frequencies);
    tensors.set("lm_head.weight", tensors.get("model.embed_tokens.weight")!);
  });
  (await loadModel(files)).dispose();
});

test("shards with an index are the same model as one file", async () => {
  const { [WEIGHTS]: whole, ...files } = fixtureFiles("llama", "base");
  const { tensors } = readSafetensors(whole!, "base");
  const shardOf = (name: string) => (name.includes("layers.1") ? "b.safetensors" : "a.safetensors");
  for (const shard of ["a.safetensors", "b.safetensors"]) {
    const part = [...tensors].filter(([name]) => shardOf(name) === shard);
    files[shard] = writeSafetensors(new Map(part));
  }
  const map = Object.fromEntries([...tensors.keys()].map((name) => [name, shardOf(name)]));
  const index = JSON.stringify({ weight_map: map });
  files[`${WEIGHTS}.index.json`] = new TextEncoder().encode(index);
  const plain = await loadModel(fixturePath("llama", "base"));
  const model = await loadModel(files);
  assert.equal(model.stateDict(), plain.stateDict());
  model.dispose();
  plain.dispose();
});

test("NaN and infinity are a warning that names the tensor", async () => {
  const files = withTensors("llama", "base", (tensors) => {
    const values = new Float32Array(16).fill(Number.POSITIVE_INFINITY);
    tensors.set("model.norm.weight", fromFloat32(values, [16]));
  });
  const model = await loadModel(files);
  assert.is(model.warnings.length, 1);
  assert.match(model.warnings[0]!, /model\.norm\.weight holds NaN or infinity/);
  model.dispose();
});

test("a model without tokenizer works with ids, and says so when text is asked for", async () => {
  const model = await loadModel(fixturePath("llama", "base"));
  assert.throws(
    () => model.tokenizer,
    (error: unknown) =>
      error instanceof UsageError && /without a tokenizer\.json/.test(error.message),
  );
  model.dispose();
});

const tokenizerJson = new Uint8Array(
  readFileSync(new URL("../../../test/fixtures/tokenizer.json", import.meta.url)),
);

test("a model made from scratch is saved with its tokenizer, and loads as it was", async () => {
  const model = new Transformer(small, normalInitializer(1));
  const directory = fresh();
  const files = new Map([["tokenizer.json", tokenizerJson]]);
  await saveModel(model, directory, { files });
  const again = await loadModel(directory, { name: "mine" });
  assert.equal(again.config, small);
  assert.equal(again.stateDict(), model.stateDict());
  assert.is(again.name, "mine");
  const text = "In the beginning";
  assert.is(again.tokenizer.decode(again.tokenizer.encode(text)), text);
  // The tokenizer goes along when the loaded model is saved again.
  assert.equal(modelFiles(again).get("tokenizer.json"), tokenizerJson);
  model.dispose();
  again.dispose();
});

test("a tokenizer that is broken is a remark, and an error where it is used", async () => {
  const model = new Transformer(small, normalInitializer(1));
  const bytes = tokenizerJson.subarray(0, 1000);
  const again = await loadModel(modelFiles(model, { files: new Map([["tokenizer.json", bytes]]) }));
  assert.is(again.warnings.length, 1);
  assert.match(again.warnings[0]!, /JSON/);
  assert.throws(
    () => again.tokenizer,
    (error: unknown) => error instanceof FormatError && /JSON/.test(error.message),
  );
  again.dispose();
  model.dispose();
});

test("a tokenizer with more tokens than the model is a remark, and usable for the others", async () => {
  const config = { ...small, vocabSize: 599, bosTokenId: null, eosTokenId: [] };
  const model = new Transformer(config, normalInitializer(1));
  const files = new Map([["tokenizer.json", tokenizerJson]]);
  const again = await loadModel(modelFiles(model, { files }));
  assert.is(again.warnings.length, 1);
  assert.match(again.warnings[0]!, /ids up to 599, but the model has 599/);
  const text = "In the beginning";
  assert.is(again.tokenizer.decode(again.tokenizer.encode(text)), text);
  again.dispose();
  model.dispose();
});

test("the tokenizer's begin and end tokens are those of tokenizer_config.json", async () => {
  const model = new Transformer(small, normalInitializer(1));
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const load = async (config: unknown) => {
    const files = new Map([["tokenizer.json", tokenizerJson]]);
    files.set("tokenizer_config.json", encode(config));
    const loaded = await loadModel(modelFiles(model, { files }));
    loaded.dispose();
    return loaded.tokenizer;
  };
  const end = { content: "<|endoftext|>", special: true };
  const named = await load({ bos_token: null, eos_token: end });
  assert.equal([named.bosTokenId, named.eosTokenId], [undefined, 599]);
  const silent = await load({});
  assert.equal([silent.bosTokenId, silent.eosTokenId], [599, 599]);
  model.dispose();
});

test.run();
