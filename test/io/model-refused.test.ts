// What is refused when a model is loaded, and that nothing of it stays.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { current, init } from "../../src/core/engine.ts";
import { FormatError, LowrankError, MemoryError, UsageError } from "../../src/core/error.ts";
import { loadModel, modelFiles } from "../../src/io/model.ts";
import { openPackaged } from "../../src/io/packaged.ts";
import { fromFloat32, type StoredTensor } from "../../src/io/safetensors.ts";
import { normalInitializer } from "../../src/nn/init.ts";
import { Transformer } from "../../src/nn/transformer.ts";
import { CONFIG, small, WEIGHTS } from "./model-fixture.ts";
import { failure, fixtureFiles, fixturePath, withFields, withTensors } from "./peft-fixture.ts";

await init({ deterministic: true, threads: 1 });

const persistentBytes = (): number => current().stats().persistentBytes;

/** Refused with a LowrankError, and nothing that was made stays. */
async function refused(files: Record<string, Uint8Array>): Promise<LowrankError> {
  const before = persistentBytes();
  const error = await failure(() => loadModel(files));
  assert.instance(error, LowrankError);
  assert.is(persistentBytes(), before);
  return error as LowrankError;
}

test("a head that differs from the embedding it is tied to is refused", async () => {
  const files = withTensors("qwen2", "base", (tensors) => {
    tensors.set("lm_head.weight", fromFloat32(new Float32Array(32 * 16), [32, 16]));
  });
  assert.match((await refused(files)).message, /lm_head\.weight differs from the token embedding/);
});

test("every missing, unknown and misshapen tensor is listed at once", async () => {
  const files = withTensors("llama", "base", (tensors) => {
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
  const files = withTensors("gpt2", "base", (tensors) => {
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

test("files of the package that are out of reach are an error that says what to do", async () => {
  const error = await failure(() => openPackaged("models/none", CONFIG, "Pass bytes."));
  assert.instance(error, UsageError);
  assert.match(error.message, /models\/none\/config\.json cannot be reached: .* Pass bytes\./);
});

test.run();
