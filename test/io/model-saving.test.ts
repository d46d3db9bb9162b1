// Saving models: in 16 bits, with merged adapters, onto full disks and occupied paths.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { init } from "../../src/core/engine.ts";
import { LowrankError, UsageError } from "../../src/core/error.ts";
import { parseJsonObject } from "../../src/io/json.ts";
import { loadModel, modelFiles, saveModel } from "../../src/io/model.ts";
import { fromFloat32, toFloat32 } from "../../src/io/safetensors.ts";
import { expectClose } from "../support/compare.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { smallDisk, snapshot } from "./full-disk.ts";
import { CONFIG, tensorsOf, WEIGHTS } from "./model-fixture.ts";
import {
  expectedValues,
  failure,
  families,
  fixturePath,
  logitsOf,
  withTensors,
} from "./peft-fixture.ts";

await init({ deterministic: true, threads: 1 });
const fresh = temporaryPaths("model");

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
  const files = withTensors("llama", "base", (tensors) => {
    tensors.set("model.norm.weight", fromFloat32(new Float32Array(16).fill(65_520), [16]));
  });
  const model = await loadModel(files);
  assert.throws(() => modelFiles(model, { dtype: "F16" }), /model\.norm\.weight holds values/);
  assert.throws(() => modelFiles(model, { dtype: "F8" as "F16" }), /dtype is "F8"/);
  modelFiles(model, { dtype: "BF16" });
  model.dispose();
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
    const error = await failure(() =>
      saveModel(model, directory, { overwrite: true }, smallDisk(capacity)),
    );
    assert.instance(error, LowrankError);
    assert.match(error.message, /the disk is full/);
    assert.equal(snapshot(directory), before, `a disk of ${capacity} bytes`);
  }
  await saveModel(model, directory, { overwrite: true }, smallDisk(size));
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

test.run();
