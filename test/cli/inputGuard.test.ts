// A command never writes over what it reads, nor over a model that is not its own.

import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { liesIn } from "../../src/cli/inputGuard.ts";
import { snapshot } from "../io/full-disk.ts";
import { type Finished, lowrankHere } from "../support/command.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";

const path = temporaryPaths("lowrank-guard");
const base = path();
const text = path();
writeTinyModel(base);
writeFileSync(text, bundledText().slice(0, 20000));

const quick = [
  ...["--batch-size", "2", "--block-size", "32", "--max-new-tokens", "0", "--threads", "1"],
  ...["--steps", "2", "--validation", "0.05"],
];

function train(model: string, out: string, ...words: string[]): Promise<Finished> {
  const files = ["--model", model, "--data", text, "--out", out];
  return lowrankHere(["train", ...files, ...quick, ...words]);
}

const adapter = path();
const run = path();

test.before(async () => {
  const result = await train(base, run);
  assert.is(result.code, 0, result.stderr);
  cpSync(join(run, "adapter"), adapter, { recursive: true });
});

test("a run whose model lies where it writes is refused, by whatever path it is named", async () => {
  const out = path();
  cpSync(run, out, { recursive: true });
  cpSync(base, join(out, "model"), { recursive: true });
  const link = path();
  symlinkSync(join(out, "merged"), link);
  const above = path();
  symlinkSync(out, above);
  // As a store of models has it: a directory of links to files elsewhere.
  const store = path();
  mkdirSync(store);
  for (const name of readdirSync(join(out, "merged")))
    symlinkSync(join(out, "merged", name), join(store, name));
  const before = snapshot(out);
  const merged = join(out, "merged");
  const pairs: readonly (readonly [string, string])[] = [
    [merged, out],
    [`${merged}/`, `${out}//`],
    [join(out, "model"), out],
    [link, out],
    [merged, above],
    [store, out],
  ];
  for (const [model, place] of pairs) {
    for (const words of [[], ["--overwrite"], ["--overwrite", "--full"]]) {
      const { code, stdout, stderr } = await train(model, place, ...words);
      assert.is(code, 1, model);
      assert.match(stderr, /--model .* lies in .*, which the run would write over/);
      assert.is(stdout, "");
    }
  }
  assert.equal(snapshot(out), before);
});

test("a run whose text lies where it writes is refused", async () => {
  const out = path();
  cpSync(run, out, { recursive: true });
  const before = snapshot(out);
  const words = ["--data", join(out, "merged/config.json"), "--overwrite"];
  const { code, stderr } = await train(base, out, ...words);
  assert.is(code, 1);
  assert.match(stderr, /--data .* lies in /);
  assert.equal(snapshot(out), before);
});

test("a place that is the model's directory or holds it is refused; one below it changes no file of it", async () => {
  const parent = path();
  const model = join(parent, "base");
  cpSync(base, model, { recursive: true });
  const before = snapshot(parent);
  for (const out of [model, parent]) {
    const { code, stderr } = await train(model, out, "--overwrite");
    assert.is(code, 1);
    assert.match(stderr, "already holds something else");
  }
  assert.equal(snapshot(parent), before);
  const below = await train(model, join(model, "runs/first"));
  assert.is(below.code, 0, below.stderr);
  const after = snapshot(parent);
  for (const [file, hash] of Object.entries(before)) assert.is(after[file], hash, file);
});

test("a resumed run does not write over its model either", async () => {
  const out = path();
  cpSync(run, out, { recursive: true });
  const before = snapshot(out);
  const words = ["train", "--resume", "--out", out, "--model", join(out, "merged")];
  const { code, stderr } = await lowrankHere(words);
  assert.is(code, 1);
  assert.match(stderr, /--model .* lies in /);
  assert.equal(snapshot(out), before);
});

function merge(out: string, ...words: string[]): Promise<Finished> {
  const inputs = ["--model", base, "--adapter", adapter];
  return lowrankHere(["merge", ...inputs, "--out", out, "--threads", "1", ...words]);
}

test("merge leaves another model whole, shards, vocabulary and index, unless it is told to replace it", async () => {
  const out = path();
  mkdirSync(out);
  const files = [
    ...["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
    ...["model.safetensors.index.json", "vocab.json", "config.json"],
  ];
  for (const name of files) writeFileSync(join(out, name), `theirs: ${name}`);
  const before = snapshot(out);
  const refused = await merge(out, "--json");
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /already holds a model: "config\.json".*--overwrite/);
  assert.equal(snapshot(out), before);
  const asked = await merge(out, "--overwrite");
  assert.is(asked.code, 0, asked.stderr);
  // Shards of the old model beside weights of the new one would be read in their place.
  assert.equal(readdirSync(out), ["config.json", "model.safetensors", "tokenizer.json"]);
});

test("any single file of a model is enough to be another model", async () => {
  for (const name of ["vocab.json", "model.safetensors", "model-00001-of-00003.safetensors"]) {
    const out = path();
    mkdirSync(out);
    writeFileSync(join(out, name), "theirs");
    const before = snapshot(out);
    assert.is((await merge(out)).code, 1, name);
    assert.equal(snapshot(out), before);
  }
});

test("merge replaces its own result only when told to, and never its model", async () => {
  const out = path();
  assert.is((await merge(out)).code, 0);
  assert.match((await merge(out)).stderr, "--overwrite");
  assert.is((await merge(out, "--overwrite")).code, 0);
  const before = snapshot(base);
  const link = path();
  symlinkSync(base, link);
  for (const place of [base, `${base}/`, link]) {
    for (const words of [[], ["--overwrite"]]) {
      const { code, stderr } = await merge(place, ...words);
      assert.is(code, 2);
      assert.match(stderr, "the model itself");
    }
  }
  assert.equal(snapshot(base), before);
});

test("what lies in a directory is told by the files, not by their names", () => {
  const folder = path();
  mkdirSync(join(folder, "inner"), { recursive: true });
  const beside = `${folder}-more`;
  mkdirSync(beside);
  const loop = join(folder, "loop");
  symlinkSync(loop, loop);
  assert.is(liesIn(join(folder, "inner"), folder), true);
  assert.is(liesIn(folder, folder), true);
  for (const other of [beside, join(folder, ".."), path(), loop, "https://host/model", ""])
    assert.is(liesIn(other, folder), false, other);
  assert.is(liesIn(folder, path()), false);
});

test.run();
