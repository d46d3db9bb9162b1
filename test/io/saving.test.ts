// Whose adapter or model a save may replace.

import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { UsageError } from "../../src/core/error.ts";
import { adapterFiles, loadAdapter, saveAdapter } from "../../src/io/adapter.ts";
import { loadModel, saveModel } from "../../src/io/model.ts";
import { normalInitializer } from "../../src/nn/init.ts";
import { Transformer } from "../../src/nn/transformer.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { CONFIG, WEIGHTS } from "./adapter-fixture.ts";
import { snapshot } from "./full-disk.ts";
import { small } from "./model-fixture.ts";
import { failure, fixtureFiles } from "./peft-fixture.ts";
import { adapter, model, namesIn, writeShards } from "./saving-fixture.ts";

const fresh = temporaryPaths("saving");

/** Bytes, times and names of all that is below a directory. */
const state = (directory: string): unknown => [
  snapshot(directory),
  ...["", ...readdirSync(directory, { recursive: true, encoding: "utf8" }).sort()].map((name) => {
    const { mtimeNs, ino } = statSync(join(directory, name), { bigint: true });
    return [name, mtimeNs, ino];
  }),
];

/** Refused, and nothing is touched: no file made and removed again, either. */
async function refused(directory: string, save: () => Promise<void>): Promise<string> {
  const before = state(directory);
  const error = await failure(save);
  assert.instance(error, UsageError);
  assert.equal(state(directory), before);
  return error.message;
}

test("an adapter replaces unasked what it was saved to or loaded from, by whatever path", async () => {
  const first = adapter(2);
  const directory = fresh();
  await saveAdapter(first, directory);
  await saveAdapter(first, directory);
  await saveAdapter(first, `${relative(process.cwd(), directory)}/`);
  const link = fresh();
  symlinkSync(directory, link);
  await saveAdapter(first, link);
  const loaded = await loadAdapter(model, link, { adapterName: "loaded" });
  // PEFT writes a page beside its files, and other adapters into directories below.
  writeFileSync(join(directory, "README.md"), "# An adapter");
  await saveAdapter(first, join(directory, "below"));
  await saveAdapter(loaded, directory);
  assert.equal(namesIn(directory), ["README.md", CONFIG, WEIGHTS, "below"].sort());
  for (const made of [first, loaded]) made.remove();
});

test("an adapter replaces another's with overwrite alone, which leaves other files as they are", async () => {
  const [first, second] = [adapter(2), adapter(3)];
  const directory = fresh();
  await saveAdapter(first, directory);
  const message = await refused(directory, () => saveAdapter(second, directory));
  assert.match(
    message,
    /already holds "adapter_config\.json", "adapter_model\.safetensors", which this adapter was neither loaded from nor saved to/,
  );
  assert.match(message, /pass overwrite to replace the adapter that is there/);
  writeFileSync(join(directory, "thesis.txt"), "mine");
  await saveAdapter(second, directory, { overwrite: true });
  assert.equal(
    readFileSync(join(directory, WEIGHTS)),
    Buffer.from(adapterFiles(second).get(WEIGHTS)!),
  );
  assert.is(readFileSync(join(directory, "thesis.txt"), "utf8"), "mine");
  // What the first one was saved to is not there any more.
  await refused(directory, () => saveAdapter(first, directory));
  await saveAdapter(second, directory);
  for (const made of [first, second]) made.remove();
});

test("an adapter of the same size that came in between is seen", async () => {
  const [first, second] = [adapter(2, 1), adapter(2, 2)];
  const directory = fresh();
  for (let i = 0; i < 20; i++) {
    await saveAdapter(first, directory, { overwrite: true });
    await saveAdapter(second, directory, { overwrite: true });
    await refused(directory, () => saveAdapter(first, directory));
  }
  for (const made of [first, second]) made.remove();
});

test("files that were edited since are not replaced unasked", async () => {
  const first = adapter(2);
  const directory = fresh();
  await saveAdapter(first, directory);
  const path = join(directory, CONFIG);
  writeFileSync(path, readFileSync(path, "utf8").replace('"lora_alpha": 2', '"lora_alpha": 7'));
  await refused(directory, () => saveAdapter(first, directory));
  // A config edited by hand loads as it stands.
  const loaded = await loadAdapter(model, directory, { adapterName: "edited" });
  assert.is(loaded.config.loraAlpha, 7);
  await saveAdapter(loaded, directory);
  for (const made of [first, loaded]) made.remove();
});

test("what PEFT saved has no owner here but who loaded it", async () => {
  const base = await loadModel(fixtureFiles("llama", "base"));
  const directory = fresh();
  mkdirSync(directory);
  for (const [name, bytes] of Object.entries(fixtureFiles("llama", "adapter")))
    writeFileSync(join(directory, name), bytes);
  const made = injectLora(base, { r: 2 }, { adapterName: "made" });
  await refused(directory, () => saveAdapter(made, directory));
  const loaded = await loadAdapter(base, directory);
  await saveAdapter(loaded, directory);
  base.dispose();
});

test("a model replaces another one with overwrite alone, and then as a whole", async () => {
  const directory = fresh();
  writeShards(directory);
  writeFileSync(join(directory, "thesis.txt"), "mine");
  const other = new Transformer(small, normalInitializer(3));
  const message = await refused(directory, () => saveModel(other, directory));
  assert.match(message, /already holds "config\.json".*which this model was neither loaded/);
  await saveModel(other, directory, { overwrite: true });
  assert.equal(namesIn(directory), ["config.json", "model.safetensors", "thesis.txt"]);
  other.dispose();
});

test("a model that was loaded from shards may take their place", async () => {
  const directory = fresh();
  writeShards(directory);
  const loaded = await loadModel(directory);
  await saveModel(loaded, directory);
  assert.equal(namesIn(directory), ["config.json", "model.safetensors", "vocab.json"]);
  await saveModel(loaded, directory);
  // More files of the caller's may not replace what was not the model's.
  writeFileSync(join(directory, "README.md"), "mine");
  const files = new Map([["README.md", new TextEncoder().encode("its own")]]);
  await refused(directory, () => saveModel(loaded, directory, { files }));
  await saveModel(loaded, directory, { files, overwrite: true });
  assert.is(readFileSync(join(directory, "README.md"), "utf8"), "its own");
  await saveModel(loaded, directory, { files });
  loaded.dispose();
});

test("a model and an adapter leave each other's files alone", async () => {
  const first = adapter(2);
  const directory = fresh();
  await saveModel(model, directory);
  assert.match(
    await refused(directory, () => saveAdapter(first, directory)),
    /already holds something else: "config\.json", "model\.safetensors".*write beside them/,
  );
  await saveAdapter(first, directory, { overwrite: true });
  assert.equal(namesIn(directory), [CONFIG, WEIGHTS, "config.json", "model.safetensors"]);
  // Its own files are there as they were, so the model may be saved again beside the adapter.
  await saveModel(model, directory);
  const other = new Transformer(small, normalInitializer(3));
  await refused(directory, () => saveModel(other, directory));
  await saveModel(other, directory, { overwrite: true });
  await saveAdapter(first, directory);
  other.dispose();
  first.remove();
});

test("directories called constructor or toString are other things", async () => {
  const directory = fresh();
  for (const name of ["constructor", "toString", "__proto__", "hasOwnProperty"])
    mkdirSync(join(directory, name), { recursive: true });
  const first = adapter(2);
  assert.match(
    await refused(directory, () => saveAdapter(first, directory)),
    /something else: "__proto__", "constructor"/,
  );
  await saveAdapter(first, directory, { overwrite: true });
  first.remove();
});

test("a touched file counts as changed", async () => {
  const first = adapter(2);
  const directory = fresh();
  await saveAdapter(first, directory);
  utimesSync(join(directory, CONFIG), 1, 1);
  await refused(directory, () => saveAdapter(first, directory));
  first.remove();
});

test.run();
