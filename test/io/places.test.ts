// Models, adapters and texts at every kind of place, and as bytes that another realm made.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import vm from "node:vm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { init } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import type { PathLike } from "../../src/core/location.ts";
import { adapterFiles, loadAdapter, saveAdapter } from "../../src/io/adapter.ts";
import { loadModel, modelFiles, saveModel } from "../../src/io/model.ts";
import { loadText } from "../../src/io/text.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";
import { failure } from "./peft-fixture.ts";

await init({ threads: 1 });
const root = mkdtempSync(join(tmpdir(), "places-"));
test.after(() => rmSync(root, { recursive: true }));
const base = join(root, "a base");
writeTinyModel(base);
writeFileSync(join(root, "text.txt"), bundledText().slice(0, 4000));

/** The same place as a path, as text of a URL, as a URL, and as what another realm calls one. */
function spellings(path: string): PathLike[] {
  const url = pathToFileURL(path);
  const foreign = vm.runInNewContext("({ href, protocol: 'file:' })", { href: url.href });
  return [path, url.href, url, foreign];
}

test("what is saved at a path or a file URL is loaded from it", async () => {
  const model = await loadModel(base);
  const adapter = injectLora(model, { r: 2 });
  const expected = adapterFiles(adapter);
  for (const i of [0, 1, 2, 3]) {
    const to = (name: string) => spellings(join(root, `${name} ${i}`))[i]!;
    await saveModel(model, to("model"));
    await saveAdapter(adapter, to("adapter"));
    const again = await loadModel(to("model"));
    assert.is(again.name, join(root, `model ${i}`));
    const loaded = await loadAdapter(again, to("adapter"));
    assert.equal(adapterFiles(loaded).get("adapter_model.safetensors"), [...expected][1]?.[1]);
  }
  assert.not.ok(existsSync("file:"));
});

test("a text lies at a path or a file URL", async () => {
  const model = await loadModel(base);
  const sizes = { batchSize: 1, blockSize: 16 };
  const expected = (await loadText(model, { path: join(root, "text.txt"), ...sizes })).batchAt(0);
  for (const path of spellings(join(root, "text.txt"))) {
    assert.equal((await loadText(model, { path, ...sizes })).batchAt(0), expected);
  }
});

test("places that are none are refused in a sentence, and nothing is written", async () => {
  const model = await loadModel(base);
  const adapter = injectLora(model, { r: 2 });
  const before = readdirSync(root).sort();
  const bad = ["file://./x", "file:x", "ftp://a/b", "https://a/b", "", null, 7, ["x"]];
  for (const place of bad as PathLike[]) {
    for (const action of [
      () => saveModel(model, place),
      () => saveAdapter(adapter, place, { overwrite: true }),
    ]) {
      const error = await failure(action);
      assert.instance(error, UsageError);
      assert.match(
        error.message,
        /^The directory to save the (model|adapter) to is .*, but must be/,
      );
    }
  }
  assert.equal(readdirSync(root).sort(), before);
  assert.not.ok(existsSync("file:"));
  const sizes = { batchSize: 1, blockSize: 16 };
  for (const path of ["file://./x", "s3://a/b", "", 7] as PathLike[]) {
    const error = await failure(() => loadText(model, { path, ...sizes }));
    assert.match(error.message, /^The path of the text is .*, but must be/);
  }
  for (const place of ["file://./x", "s3://a/b", ""]) {
    assert.match(
      (await failure(() => loadModel(place))).message,
      /^The place of a model .* must be/,
    );
  }
});

test("bytes of another realm, and buffers, are files; the library's own go round", async () => {
  const foreign = vm.runInNewContext("Uint8Array");
  const makers: ((bytes: Uint8Array) => Uint8Array | ArrayBuffer)[] = [
    (bytes) => foreign.from(bytes),
    (bytes) => Buffer.from(bytes),
    (bytes) => Uint8Array.from(bytes).buffer,
  ];
  const from = readdirSync(base).map((name) => [name, readFileSync(join(base, name))] as const);
  for (const make of makers) {
    const files = from.map(([name, bytes]) => [name, make(bytes)] as const);
    const model = await loadModel(Object.fromEntries(files));
    assert.equal(model.tokenizer.encode("the"), (await loadModel(base)).tokenizer.encode("the"));
    const again = vm.runInNewContext("(files) => new Map(files)")(
      [...modelFiles(model)].map(([name, bytes]) => [name, make(bytes)]),
    );
    assert.equal((await loadModel(again)).tokenizer.vocabSize, model.tokenizer.vocabSize);
    const text = make(new TextEncoder().encode(bundledText().slice(0, 4000)));
    const data = await loadText(model, { text, batchSize: 1, blockSize: 16 });
    const expected = await loadText(model, {
      path: join(root, "text.txt"),
      batchSize: 1,
      blockSize: 16,
    });
    assert.equal(data.batchAt(3), expected.batchAt(3));
  }
});

test.run();
