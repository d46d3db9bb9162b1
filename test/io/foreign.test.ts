// What is no model, adapter or text is called by what it is, wherever it lies.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { inspect } from "../../src/cli/inspection.ts";
import { init } from "../../src/core/engine.ts";
import { LowrankError } from "../../src/core/error.ts";
import { loadAdapter } from "../../src/io/adapter.ts";
import { loadModel } from "../../src/io/model.ts";
import { readSafetensors } from "../../src/io/safetensors.ts";
import { loadText } from "../../src/io/text.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { writeTinyModel } from "../support/tinyModel.ts";
import { failure } from "./peft-fixture.ts";

await init({ deterministic: true, threads: 1 });

const place = temporaryPaths("lowrank-foreign");
const tiny = place();
writeTinyModel(tiny);
const model = await loadModel(tiny);

const KINDS: readonly (readonly [string, RegExp])[] = [
  ["GGUF\u0003\0\0\0", /is a GGUF file, which cannot be read yet/],
  [
    "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
    /is a Git LFS pointer.*git lfs pull/,
  ],
  ["PK\u0003\u0004\u0014\0\0\0", /is a zip archive/],
  ["\u0080\u0002}q\0", /is a Python pickle/],
  ["<!DOCTYPE html><html><body>Sign in</body></html>", /is a page of HTML/],
];

/** Writes a file, padded so that no reader finds it short. */
function file(path: string, start: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(
    path,
    Uint8Array.from(start.padEnd(400, " "), (c) => c.charCodeAt(0)),
  );
  return path;
}

async function messageOf(run: () => unknown): Promise<string> {
  const error = await failure(async () => run());
  assert.instance(error, LowrankError);
  return error.message;
}

for (const [start, kind] of KINDS) {
  test(`what ${kind.source.slice(0, 16)} is called so in the place of any file`, async () => {
    for (const name of ["config.json", "model.safetensors"]) {
      const directory = place();
      writeTinyModel(directory);
      file(join(directory, name), start);
      const message = await messageOf(() => loadModel(directory));
      assert.match(message, kind);
      assert.ok(message.includes(name), message);
    }
    const adapter = place();
    file(join(adapter, "adapter_config.json"), start);
    assert.match(await messageOf(() => loadAdapter(model, adapter)), kind);
    const alone = file(join(place(), "weights.safetensors"), start);
    assert.match(await messageOf(() => inspect(alone)), kind);
    assert.match(
      await messageOf(() =>
        readSafetensors(
          Uint8Array.from(start, (c) => c.charCodeAt(0)),
          "a",
        ),
      ),
      kind,
    );
    // Given in the place of a directory.
    assert.match(await messageOf(() => loadModel(alone)), kind);
    const directory = place();
    writeTinyModel(directory);
    file(join(directory, "tokenizer.json"), start);
    const unusable = await loadModel(directory);
    assert.match(unusable.warnings.join(" "), kind);
  });
}

test("a text to train on that is none is called by what it is; a page of HTML is text", async () => {
  for (const [start, kind] of KINDS.slice(0, -1)) {
    const path = file(join(place(), "notes.txt"), `${start}\u00ff`);
    assert.match(await messageOf(() => loadText(model, { path })), kind);
  }
  const pointer = KINDS[1]![0];
  for (const name of ["notes.txt", "notes.jsonl", "notes.json"]) {
    const path = join(place(), name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, pointer);
    assert.match(await messageOf(() => loadText(model, { path })), /is a Git LFS pointer/);
  }
  const page = join(place(), "page.html");
  mkdirSync(dirname(page), { recursive: true });
  writeFileSync(page, `<html><body>${"A line of text.\n".repeat(200)}</body></html>`);
  await loadText(model, { path: page, batchSize: 1, blockSize: 16 });
});

test("a directory of a GGUF file says so, and one above says which is meant", async () => {
  const directory = place();
  const path = file(join(directory, "model-Q4_K_M.gguf"), "GGUF");
  for (const run of [
    () => loadModel(directory),
    () => loadAdapter(model, directory),
    () => inspect(directory),
    () => loadModel(path),
    () => inspect(path),
  ]) {
    assert.match(await messageOf(run), /model-Q4_K_M\.gguf" is a GGUF file|gguf is a GGUF file/);
  }
  const run = place();
  writeTinyModel(join(run, "merged"));
  file(join(run, "adapter", "adapter_config.json"), "{}");
  assert.ok(
    (await messageOf(() => loadAdapter(model, run))).endsWith(
      `Did you mean ${JSON.stringify(`${run}/adapter`)}?`,
    ),
  );
  assert.ok(
    (await messageOf(() => loadModel(`${run}/`))).endsWith(
      `Did you mean ${JSON.stringify(`${run}/merged`)}?`,
    ),
  );
});

test.run();
