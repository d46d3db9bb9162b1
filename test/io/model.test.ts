// Loading and saving models: values, round trips, and what is refused.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/inject.ts";
import { current, init } from "../../src/core/engine.ts";
import { FormatError, LowrankError, MemoryError, UsageError } from "../../src/core/error.ts";
import { parseJsonObject } from "../../src/io/json.ts";
import { loadModel, modelFiles, saveModel } from "../../src/io/model.ts";
import { openPackaged } from "../../src/io/packaged.ts";
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
  fixtureFiles,
  fixturePath,
  logitsOf,
  withFields,
} from "./peft-fixture.ts";

await init({ deterministic: true, threads: 1 });
const root = mkdtempSync(join(tmpdir(), "model-"));
test.after(() => rmSync(root, { recursive: true }));
let count = 0;
const fresh = (): string => join(root, String(count++));

const CONFIG = "config.json";
const WEIGHTS = "model.safetensors";
const tensorsOf = (files: ReadonlyMap<string, Uint8Array>) =>
  readSafetensors(files.get(WEIGHTS)!, "saved").tensors;
const persistentBytes = (): number => current().stats().persistentBytes;

/** The base's files with its tensors changed. */
function withTensors(
  family: (typeof families)[number],
  change: (tensors: Map<string, StoredTensor>) => void,
): Record<string, Uint8Array> {
  const files = fixtureFiles(family, "base");
  const { tensors, metadata } = readSafetensors(files[WEIGHTS]!, "base");
  change(tensors);
  return { ...files, [WEIGHTS]: writeSafetensors(tensors, metadata) };
}

/** Refused with a LowrankError, and nothing that was made stays. */
async function refused(files: Record<string, Uint8Array>): Promise<LowrankError> {
  const before = persistentBytes();
  const error = await failure(() => loadModel(files));
  assert.instance(error, LowrankError);
  assert.is(persistentBytes(), before);
  return error as LowrankError;
}

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

test("what was loaded from 16 bits is saved in 16 bits without loss", async () => {
  for (const dtype of ["F16", "BF16"] as const) {
    const model = await loadModel(fixturePath("gpt2", "base"));
    const files = modelFiles(model, { dtype });
    const again = await loadModel(files);
    assert.equal(modelFiles(again, { dtype }).get(WEIGHTS), files.get(WEIGHTS));
    const stored = dtype === "F16" ? "float16" : "bfloat16";
    assert.is(parseJsonObject(files.get(CONFIG)!, CONFIG).get("dtype"), stored);
    for (const tensor of tensorsOf(files).values()) assert.is(tensor.dtype, dtype);
    // Rounding to p significant bits errs by at most 2^-p of the number, and among float16's subnormals by 2^-25.
    const half = dtype === "F16" ? 2 ** -11 : 2 ** -8;
    const exact = tensorsOf(modelFiles(model));
    for (const [name, tensor] of tensorsOf(files)) {
      const values = toFloat32(exact.get(name)!);
      expectClose(toFloat32(tensor), values, (_, e) => half * Math.abs(e) + 2 ** -25);
    }
    model.dispose();
    again.dispose();
  }
});

test("a value that float16 cannot hold is refused instead of becoming infinite", async () => {
  const files = withTensors("llama", (tensors) => {
    tensors.set("model.norm.weight", fromFloat32(new Float32Array(16).fill(65_520), [16]));
  });
  const model = await loadModel(files);
  assert.throws(() => modelFiles(model, { dtype: "F16" }), /model\.norm\.weight holds values/);
  assert.throws(() => modelFiles(model, { dtype: "F8" as "F16" }), /dtype is "F8"/);
  modelFiles(model, { dtype: "BF16" });
  model.dispose();
});

test("a GPT-2 without prefix, with its mask buffers, is the same model", async () => {
  const files = withTensors("gpt2", (tensors) => {
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
  const files = withTensors("qwen2", (tensors) => {
    const frequencies = fromFloat32(new Float32Array(2), [2]);
    tensors.set("model.layers.0.self_attn.rotary_emb.inv_freq", frequencies);
    tensors.set("lm_head.weight", tensors.get("model.embed_tokens.weight")!);
  });
  (await loadModel(files)).dispose();
});

test("a head that differs from the embedding it is tied to is refused", async () => {
  const files = withTensors("qwen2", (tensors) => {
    tensors.set("lm_head.weight", fromFloat32(new Float32Array(32 * 16), [32, 16]));
  });
  assert.match((await refused(files)).message, /lm_head\.weight differs from the token embedding/);
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

test("every missing, unknown and misshapen tensor is listed at once", async () => {
  const files = withTensors("llama", (tensors) => {
    tensors.delete("model.layers.1.mlp.up_proj.weight");
    tensors.set("model.layers.2.mlp.up_proj.weight", fromFloat32(new Float32Array(2), [2]));
    tensors.set("model.norm.weight", fromFloat32(new Float32Array(17), [17]));
    const whole: StoredTensor = { dtype: "I32", shape: [16], bytes: new Uint8Array(64) };
    tensors.set("model.layers.0.input_layernorm.weight", whole);
  });
  const { message } = await refused(files);
  for (const part of [
    "model.layers.1.mlp.up_proj.weight [24, 16] is missing",
    '"model.layers.2.mlp.up_proj.weight" [2] is no part of this model',
    "model.norm.weight has the shape [17], expected [16]",
    "model.layers.0.input_layernorm.weight holds I32",
  ]) {
    assert.ok(message.includes(part), `${part}\n${message}`);
  }
});

test("a GPT-2 whose weights lie as [out, in] is refused: files hold [in, out]", async () => {
  const name = "transformer.h.0.mlp.c_fc.weight";
  const files = withTensors("gpt2", (tensors) => {
    tensors.set(name, { ...tensors.get(name)!, shape: [24, 16] });
  });
  const { message } = await refused(files);
  assert.ok(message.includes(`${name} has the shape [24, 16], expected [16, 24]`), message);
});

test("a config that claims more than the file holds is refused and allocates nothing", async () => {
  const files = fixtureFiles("llama", "base");
  const grown = current().memoryBytes;
  for (const fields of [
    { vocab_size: 16_777_216 },
    { hidden_size: 16_777_216, head_dim: 16_777_216 },
    { intermediate_size: 16_777_216 },
    { num_hidden_layers: 1024 },
    { num_hidden_layers: 21 },
    { num_attention_heads: 16_777_216, num_key_value_heads: 1 },
  ]) {
    const changed = { ...files, [CONFIG]: withFields(files[CONFIG]!, fields) };
    assert.instance(await refused(changed), FormatError, JSON.stringify(fields));
  }
  assert.is(current().memoryBytes, grown);
});

test("NaN and infinity are a warning that names the tensor", async () => {
  const files = withTensors("llama", (tensors) => {
    const values = new Float32Array(16).fill(Number.POSITIVE_INFINITY);
    tensors.set("model.norm.weight", fromFloat32(values, [16]));
  });
  const model = await loadModel(files);
  assert.is(model.warnings.length, 1);
  assert.match(model.warnings[0]!, /model\.norm\.weight holds NaN or infinity/);
  model.dispose();
});

test("a pickle, an unknown kind of model and a directory without weights are refused", async () => {
  const { [CONFIG]: config, [WEIGHTS]: weights } = fixtureFiles("llama", "base");
  assert.match(
    (await refused({ [CONFIG]: config!, "pytorch_model.bin": weights! })).message,
    /is a pickle/,
  );
  assert.match((await refused({ [CONFIG]: config! })).message, /There is no model\.safetensors/);
  assert.match((await refused({ [WEIGHTS]: weights! })).message, /There is no config\.json/);
  const other = withFields(config!, { model_type: "bloom" });
  assert.match((await refused({ [CONFIG]: other, [WEIGHTS]: weights! })).message, /bloom/);
});

test("files with any bytes changed are loaded or refused, and refused without a trace", async () => {
  const files = fixtureFiles("gpt2", "base");
  const change = fc.record({
    file: fc.constantFrom(CONFIG, WEIGHTS),
    // The header of the weights and all of the config lie in the first bytes.
    at: fc.nat({ max: 2000 }),
    byte: fc.nat({ max: 255 }),
  });
  const before = persistentBytes();
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      const changed = {
        [CONFIG]: files[CONFIG]!.slice(),
        [WEIGHTS]: files[WEIGHTS]!.slice(),
      };
      for (const { file, at, byte } of changes) changed[file]![at % changed[file]!.length] = byte;
      try {
        (await loadModel(changed)).dispose();
      } catch (error) {
        assert.instance(error, LowrankError);
      }
      assert.is(persistentBytes(), before);
    }),
    { numRuns: 200 },
  );
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

const small = {
  modelType: "llama",
  vocabSize: 600,
  hiddenSize: 8,
  layers: 1,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  intermediateSize: 12,
  maxPositions: 16,
  norm: "rms",
  normEps: 1e-5,
  activation: "silu",
  gated: true,
  positions: "rope",
  ropeTheta: 10000,
  ropeStyle: "half",
  attentionBias: { qkv: false, out: false },
  mlpBias: false,
  tieWordEmbeddings: true,
  bosTokenId: 599,
  eosTokenId: [599],
} as const;
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

test("a tokenizer that is broken or too large is a remark, and an error where it is used", async () => {
  const model = new Transformer({ ...small, vocabSize: 599 }, normalInitializer(1));
  for (const [bytes, reason] of [
    [tokenizerJson, /ids up to 599, but the model has 599/],
    [tokenizerJson.subarray(0, 1000), /JSON/],
  ] as const) {
    const again = await loadModel(
      modelFiles(model, { files: new Map([["tokenizer.json", bytes]]) }),
    );
    assert.is(again.warnings.length, 1);
    assert.match(again.warnings[0]!, reason);
    assert.throws(
      () => again.tokenizer,
      (error: unknown) => error instanceof FormatError && reason.test(error.message),
    );
    again.dispose();
  }
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

test("memory that runs out while a model loads is given back", async () => {
  const sizes = { ...small, vocabSize: 131_072, tieWordEmbeddings: false };
  const model = new Transformer(sizes, normalInitializer(1));
  const files = modelFiles(model);
  model.dispose();
  // The embedding and the head take 4 MiB each: all but the head, which comes last, finds a place.
  await init({ deterministic: true, threads: 1, maximumMemory: 6 * 2 ** 20 });
  assert.instance(await failure(() => loadModel(files)), MemoryError);
  assert.is(persistentBytes(), 0);
  (await loadModel(fixturePath("llama", "base"))).dispose();
  await init({ deterministic: true, threads: 1 });
});

test("a model with merged adapters is saved as the merged model, without adapter tensors", async () => {
  for (const family of families) {
    const model = await loadModel(fixturePath(family, "base"));
    const { ids } = expectedValues(family);
    const names = [...tensorsOf(modelFiles(model)).keys()];
    const adapter = injectLora(model, {
      r: 2,
      initLoraWeights: false,
      targetModules: "all-linear",
    });
    assert.equal([...tensorsOf(modelFiles(model)).keys()], names);
    adapter.merge();
    const merged = logitsOf(model, ids);
    const again = await loadModel(modelFiles(model));
    assert.equal([...tensorsOf(modelFiles(again)).keys()], names);
    assert.equal(logitsOf(again, ids), merged);
    again.dispose();
    model.dispose();
  }
});

test("an adapter merged into a tied head unties it in the files, and the logits stay the same", async () => {
  const model = await loadModel(fixturePath("qwen2", "base"));
  const { ids } = expectedValues("qwen2");
  const base = tensorsOf(modelFiles(model)).get("model.embed_tokens.weight");
  const adapter = injectLora(model, { r: 2, initLoraWeights: false, targetModules: ["lm_head"] });
  assert.is(tensorsOf(modelFiles(model)).has("lm_head.weight"), false);
  adapter.merge();
  const files = modelFiles(model);
  assert.is(tensorsOf(files).has("lm_head.weight"), true);
  assert.equal(tensorsOf(files).get("model.embed_tokens.weight"), base);
  assert.is(parseJsonObject(files.get(CONFIG)!, CONFIG).get("tie_word_embeddings"), false);
  const again = await loadModel(files);
  assert.equal(logitsOf(again, ids), logitsOf(model, ids));
  again.dispose();
  model.dispose();
});

test("a disk that is full anywhere in the middle of a save leaves the old model whole", async () => {
  const directory = fresh();
  const old = await loadModel(fixturePath("llama", "base"));
  await saveModel(old, directory);
  const before = snapshot(directory);
  const model = await loadModel(fixturePath("gpt2", "base"));
  const sizes = [...modelFiles(model).values()].map((bytes) => bytes.length);
  const size = sizes.reduce((sum, length) => sum + length);
  for (const capacity of [0, 1, sizes[0]! - 1, sizes[0]!, sizes[0]! + 1, size >> 1, size - 1]) {
    const error = await failure(() => saveModel(model, directory, {}, smallDisk(capacity)));
    assert.instance(error, LowrankError);
    assert.match(error.message, /the disk is full/);
    assert.equal(snapshot(directory), before, `a disk of ${capacity} bytes`);
  }
  await saveModel(model, directory, {}, smallDisk(size));
  assert.not.equal(snapshot(directory), before);
  const again = await loadModel(directory);
  assert.is(again.config.modelType, "gpt2");
  for (const made of [old, model, again]) made.dispose();
});

test("an output path that is a file or holds something else is refused and stays as it is", async () => {
  const model = await loadModel(fixturePath("llama", "base"));
  const directory = fresh();
  mkdirSync(directory);
  writeFileSync(join(directory, "diary.txt"), "dear diary");
  const before = snapshot(directory);
  const file = await failure(() => saveModel(model, join(directory, "diary.txt")));
  assert.match(file.message, /is a file, but a directory is to be written there/);
  const other = await failure(() => saveModel(model, directory));
  assert.instance(other, UsageError);
  assert.match(other.message, /already holds something else: "diary\.txt"/);
  assert.equal(snapshot(directory), before);
  await saveModel(model, directory, { overwrite: true });
  const after = snapshot(directory);
  assert.equal(Object.keys(after), [CONFIG, "diary.txt", WEIGHTS]);
  assert.is(after["diary.txt"], before["diary.txt"]);
  // A model over a model is no surprise.
  await saveModel(model, directory, { overwrite: true });
  model.dispose();
});

test("files of the package that are out of reach are an error that says what to do", async () => {
  const error = await failure(() => openPackaged("models/none", CONFIG, "Pass bytes."));
  assert.instance(error, UsageError);
  assert.match(error.message, /models\/none\/config\.json cannot be reached: .* Pass bytes\./);
});

test.run();
