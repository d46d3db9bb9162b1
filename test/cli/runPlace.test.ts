// Where a run goes: never over another one unasked, and each of two that start at once into a place of its own.

import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { snapshot } from "../io/full-disk.ts";
import {
  eventsOf,
  type Finished,
  firstEvent,
  lastEvent,
  lowrank,
  lowrankHere,
  type RunOptions,
} from "../support/command.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const path = temporaryPaths("lowrank-place");
const model = path();
const text = path();
writeTinyModel(model);
writeFileSync(text, bundledText().slice(0, 20000));

const quick = ["--json", "--max-new-tokens", "0", "--threads", "1"];
const options = [
  ...["--model", model, "--data", text, "--batch-size", "2", "--block-size", "32"],
  ...["--validation", "0.05"],
];

function train(out: string, ...words: string[]): Promise<Finished> {
  return lowrankHere(["train", ...options, ...quick, "--steps", "2", "--out", out, ...words]);
}

/** A run without --out in a directory. */
function trainIn(cwd: string, words: readonly string[], run: RunOptions = {}): Promise<Finished> {
  return lowrank(["train", ...quick, ...words], { cwd, ...run });
}

/** A run in a directory that Ctrl-C stops after its second step. */
async function stopIn(cwd: string): Promise<void> {
  const interrupt = { step: 2, signal: "SIGINT" } as const;
  const stopped = await trainIn(cwd, [...options, "--steps", "5000"], { interrupt });
  assert.is(stopped.code, 130, stopped.stderr);
}

const placeOf = (result: Finished): unknown =>
  (firstEvent(result)["run"] as { readonly out: string }).out;

test("a place that holds a run is refused before anything is loaded, and keeps every byte", async () => {
  const out = path();
  const first = await train(out);
  assert.is(first.code, 0, first.stderr);
  const before = snapshot(out);
  const again = await train(out, "--seed", "2");
  assert.is(again.code, 1);
  assert.match(again.stderr, /already holds a run: "adapter".*--out DIR.*--resume.*--overwrite/);
  assert.equal(
    eventsOf(again).map(({ event }) => event),
    ["error"],
  );
  // Not even a model that is missing is looked for.
  const missing = await train(out, "--model", path());
  assert.match(missing.stderr, "already holds a run");
  assert.equal(snapshot(out), before);
});

test("any part of a run counts as one: an adapter, a model, a state, the record", async () => {
  const files = [
    "adapter/adapter_model.safetensors",
    "merged/config.json",
    "model/model.safetensors",
    "checkpoint/state-7.bin",
    "checkpoint/run.json",
  ];
  for (const file of files) {
    const out = path();
    mkdirSync(join(out, file, ".."), { recursive: true });
    writeFileSync(join(out, file), "theirs");
    const before = snapshot(out);
    const { code, stderr } = await train(out);
    assert.is(code, 1, file);
    assert.match(stderr, "already holds a run");
    // There is nothing to go on with.
    assert.not.match(stderr, "--resume");
    assert.equal(snapshot(out), before);
    assert.is(readdirSync(out).length, 1);
  }
});

test("--overwrite replaces a run: its results at the end, and those of the other kind as well", async () => {
  const out = path();
  await train(out);
  const before = snapshot(out);
  const same = lastEvent(await train(path(), "--seed", "2"))["adapterSha256"];
  // What stops it before its first step leaves the earlier run as it is.
  const broken = await train(out, "--overwrite", "--data", path());
  assert.is(broken.code, 1);
  assert.equal(snapshot(out), before);
  const again = await train(out, "--overwrite", "--seed", "2");
  assert.is(again.code, 0, again.stderr);
  assert.is(lastEvent(again)["adapterSha256"], same);
  const full = await train(out, "--overwrite", "--full");
  assert.is(full.code, 0, full.stderr);
  assert.equal(readdirSync(out), ["checkpoint", "model"]);
  assert.is((await train(out, "--overwrite")).code, 0);
  assert.equal(readdirSync(out), ["adapter", "checkpoint", "merged"]);
});

test("--overwrite leaves foreign files alone: a place that holds some is refused", async () => {
  const out = path();
  await train(out);
  writeFileSync(join(out, "adapter/notes.txt"), "mine");
  const before = snapshot(out);
  const { code, stderr } = await train(out, "--overwrite");
  assert.is(code, 1);
  assert.match(stderr, /already holds something else: "notes\.txt"/);
  assert.equal(snapshot(out), before);
});

test("foreign files are told by their names, whatever these mean in JavaScript", async () => {
  for (const name of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
    const out = path();
    mkdirSync(out);
    writeFileSync(join(out, name), "mine");
    const { code, stderr } = await train(out);
    assert.is(code, 1);
    assert.match(stderr, `already holds something else: "${name}"`);
  }
});

test("--overwrite with --resume, and without a place, is wrong usage", async () => {
  const both = await train(path(), "--overwrite", "--resume");
  assert.is(both.code, 2);
  assert.match(both.stderr, /--resume .* --overwrite .*only one/);
  const nowhere = await trainIn(model, [...options, "--overwrite"]);
  assert.is(nowhere.code, 2);
  assert.match(nowhere.stderr, /--overwrite .*--out DIR/);
});

test("without --out a run takes the next free place, names it, and proposes commands for it", async () => {
  const cwd = path();
  mkdirSync(cwd);
  const words = [...options, "--steps", "2"];
  for (const place of ["lowrank-out", "lowrank-out-2"]) {
    const result = await trainIn(cwd, words);
    assert.is(result.code, 0, result.stderr);
    assert.is(placeOf(result), place);
    assert.is(lastEvent(result)["adapter"], `${place}/adapter`);
  }
  // A file, a foreign directory, a link that leads nowhere, an empty directory: only the last is free.
  writeFileSync(join(cwd, "lowrank-out-3"), "mine");
  mkdirSync(join(cwd, "lowrank-out-4/mine"), { recursive: true });
  mkdirSync(join(cwd, "lowrank-out-6"));
  const before = snapshot(cwd);
  symlinkSync("nowhere", join(cwd, "lowrank-out-5"));
  const shown = await lowrank(["train", ...words, "--max-new-tokens", "0"], { cwd });
  assert.is(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /Output +lowrank-out-6\n/);
  for (const command of ["generate --model", "eval --model"])
    assert.match(shown.stdout, new RegExp(`${command} .* --adapter lowrank-out-6/adapter`));
  assert.match(shown.stdout, "inspect lowrank-out-6/adapter");
  rmSync(join(cwd, "lowrank-out-5"));
  const after = snapshot(cwd);
  for (const [file, hash] of Object.entries(before)) assert.is(after[file], hash, file);
});

test("two runs that start at once take two places", async () => {
  const cwd = path();
  mkdirSync(cwd);
  const words = [...options, "--steps", "2"];
  const runs = await Promise.all([1, 2, 3].map(() => trainIn(cwd, words)));
  for (const { code, stderr } of runs) assert.is(code, 0, stderr);
  assert.equal(runs.map(placeOf).sort(), ["lowrank-out", "lowrank-out-2", "lowrank-out-3"]);
});

test("a run that fails before its first step leaves no place behind", async () => {
  const cwd = path();
  mkdirSync(cwd);
  const nested = join(cwd, "a/b/c");
  for (const words of [[], ["--out", nested]]) {
    const { code } = await trainIn(cwd, [...options, "--data", path(), ...words]);
    assert.is(code, 1);
    assert.equal(readdirSync(cwd), []);
  }
});

test("--resume without --out takes the newest unfinished run and names it, or says that there is none", async () => {
  const cwd = path();
  mkdirSync(cwd);
  const none = await trainIn(cwd, ["--resume"]);
  assert.is(none.code, 1);
  assert.match(none.stderr, /no unfinished run in lowrank-out.*--out DIR/);
  assert.equal(readdirSync(cwd), []);
  await stopIn(cwd);
  await stopIn(cwd);
  assert.is((await trainIn(cwd, [...options, "--steps", "2"])).code, 0);
  // The first one is the newest by its states; a number says nothing of age.
  const future = new Date(Date.now() + 60_000);
  const states = join(cwd, "lowrank-out/checkpoint");
  for (const name of readdirSync(states)) utimesSync(join(states, name), future, future);
  const resumed = await trainIn(cwd, ["--resume"], { interrupt: { step: 9, signal: "SIGINT" } });
  assert.is(placeOf(resumed), "lowrank-out");
  const last = lastEvent(resumed);
  if (last.event === "interrupted")
    assert.match(String(last["resume"]), "train --out lowrank-out --resume");
});

test("a run that has come to its end is not taken up without its name", async () => {
  const cwd = path();
  mkdirSync(cwd);
  assert.is((await trainIn(cwd, [...options, "--steps", "2"])).code, 0);
  const { code, stderr } = await trainIn(cwd, ["--resume"]);
  assert.is(code, 1);
  assert.match(stderr, "no unfinished run");
  const named = await trainIn(cwd, ["--resume", "--out", "lowrank-out"]);
  assert.is(named.code, 0, named.stderr);
});

test("a place whose names would be too long is refused before the model is loaded", async () => {
  const long = join(path(), "x".repeat(256));
  const deep = join(path(), ...Array.from({ length: 20 }, () => "y".repeat(200)), "z".repeat(40));
  for (const out of [long, deep]) {
    const { code, stderr } = await train(out, "--model", path());
    assert.is(code, 1);
    assert.match(stderr, /too long/);
    assert.is(existsSync(join(out, "..")), false);
  }
  // A name is as long as the file system takes: the run's own are not built on it.
  const fits = join(path(), "x".repeat(255));
  assert.is((await train(fits)).code, 0);
});

test("in a working directory that was deleted, a relative place is an error at once, and a whole path works", () => {
  if (process.platform === "win32") return;
  const line = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"';
  const run = (...words: string[]) =>
    spawnSync("sh", ["-c", line, path(), process.execPath, main, "train", ...words], {
      encoding: "utf8",
      timeout: 20_000,
    });
  for (const words of [["--out", "x"], []]) {
    const { status, stderr } = run(...options, ...words);
    assert.is(status, 1);
    assert.match(stderr, /^lowrank: The working directory was deleted/);
  }
  const quiet = ["--steps", "1", "--max-new-tokens", "0", "--threads", "1"];
  const whole = run(...options, ...quiet, "--out", path());
  assert.is(whole.status, 0, whole.stderr);
  assert.match(whole.stdout, /generate --model/);
});

test.run();
