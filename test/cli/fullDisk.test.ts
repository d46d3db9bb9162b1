// A disk that takes no more in the middle of a file, as the command meets it: a limit on the size of files stands for
// it, which the shell sets and every system keeps. What was saved before stays whole, and no half of a file is left.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { snapshot } from "../io/full-disk.ts";
import { type Finished, lastEvent, lowrankHere } from "../support/command.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "lowrank-full-"));
const model = join(root, "model");
const text = join(root, "text.txt");
const out = join(root, "out");
writeTinyModel(model);
writeFileSync(text, bundledText().slice(0, 20000));

/** Runs `lowrank` in a shell whose files cannot grow above so many KiB. */
function limited(kib: number, words: readonly string[]): Omit<Finished, "signal"> {
  const line = `ulimit -f ${kib} && exec "$@"`;
  const command = ["-c", line, "bash", process.execPath, main, ...words];
  const { status, stdout, stderr } = spawnSync("bash", command, { encoding: "utf8" });
  return { code: status, stdout, stderr };
}

const kibOf = (path: string): number => statSync(path).size / 1024;

const run = (seed: string): string[] => [
  ...["train", "--model", model, "--data", text, "--out", out, "--seed", seed, "--json"],
  ...["--steps", "3", "--batch-size", "2", "--block-size", "32", "--max-new-tokens", "0"],
  ...["--r", "1", "--checkpoint-every", "2", "--overwrite"],
];

const merge = (to: string): string[] => [
  ...["merge", "--model", model, "--adapter", join(out, "adapter"), "--out", to, "--json"],
  "--overwrite",
];

/** One sentence that names the file and the reason, and exit code 1. */
function checkRefusal({ code, stdout, stderr }: Omit<Finished, "signal">, path: string): void {
  assert.is(code, 1, stderr);
  assert.match(stderr, /^lowrank: Could not write /m);
  assert.match(stderr, /too large/);
  assert.ok(stderr.includes(path), stderr);
  assert.not.match(stderr, /\n {4}at /);
  const last = lastEvent({ code, stdout, stderr, signal: null });
  assert.equal([last.event, last["name"]], ["error", "LowrankError"]);
}

test("merging onto a full disk keeps the old model whole, and makes no new one", async () => {
  assert.is((await lowrankHere(run("1"))).code, 0);
  const merged = join(root, "merged");
  assert.is((await lowrankHere(merge(merged))).code, 0);
  const before = snapshot(root);
  const limit = Math.floor(kibOf(join(merged, "model.safetensors")) / 2);
  checkRefusal(limited(limit, merge(merged)), merged);
  assert.equal(snapshot(root), before);
  checkRefusal(limited(limit, merge(join(root, "new"))), join(root, "new"));
  assert.is(existsSync(join(root, "new")), false);
  assert.equal(snapshot(root), before);
});

/** With room again the run goes on from its last state and ends. */
async function checkResumes(): Promise<void> {
  const words = ["train", "--out", out, "--resume", "--json", "--max-new-tokens", "0"];
  const resumed = await lowrankHere(words);
  assert.is(resumed.code, 0, resumed.stderr);
}

/** The files of the run's directory that begin so. */
const below = (files: Record<string, string>, folder: string): Record<string, string> =>
  Object.fromEntries(Object.entries(files).filter(([name]) => name.startsWith(folder)));

test("when the merged model does not fit, the old one is whole, and so are the run's adapter and state", async () => {
  const before = snapshot(out);
  const largest = kibOf(join(out, "merged/model.safetensors"));
  const result = limited(Math.floor(largest * 0.75), run("2"));
  checkRefusal(result, "merged");
  const after = snapshot(out);
  assert.equal(below(after, "merged"), below(before, "merged"));
  assert.equal(Object.keys(after), Object.keys(before));
  assert.not.equal(below(after, "adapter"), below(before, "adapter"));
  await checkResumes();
});

test("when a state does not fit, the one before it stays, and so do the old adapter and model", async () => {
  const before = snapshot(out);
  // The first state holds no moments yet: it fits, and the next one, three times as large, does not.
  const limit = Math.floor(kibOf(join(out, "checkpoint/state-3.bin")) * 0.6);
  checkRefusal(limited(limit, run("3")), "state-2.bin");
  const after = snapshot(out);
  for (const folder of ["adapter", "merged"])
    assert.equal(below(after, folder), below(before, folder));
  assert.equal(Object.keys(below(after, "checkpoint")), [
    "checkpoint/run.json",
    "checkpoint/state-0.bin",
  ]);
  await checkResumes();
});

test.after(() => rmSync(root, { recursive: true, force: true }));
test.run();
