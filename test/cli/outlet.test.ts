// What becomes of a command when its output does not: its reader goes away, or the disk is full.

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { temporaryPaths } from "../support/temporary.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const path = temporaryPaths("lowrank-outlet");
const model = path();
const text = path();
writeTinyModel(model);
writeFileSync(text, bundledText().slice(0, 20000));

/** Runs `lowrank` in a shell, with what follows it there; the exit code is its own. */
function piped(words: readonly string[], rest: string): { code: number; stderr: string } {
  const line = `"$@" ${rest}; exit \${PIPESTATUS[0]}`;
  const command = ["-c", line, "bash", process.execPath, main, ...words];
  const { status, stderr } = spawnSync("bash", command, { encoding: "utf8" });
  assert.not.match(stderr, /\n {4}at /);
  return { code: status ?? -1, stderr };
}

const train = (out: string): string[] => [
  ...["train", "--model", model, "--data", text, "--batch-size", "2", "--block-size", "32"],
  ...["--steps", "40", "--max-new-tokens", "0", "--threads", "1", "--json", "--out", out],
];

test("a run whose reader goes away ends all the same, and its exit code says so", () => {
  for (const rest of ["| head -1", "| true"]) {
    const out = path();
    const { code, stderr } = piped(train(out), rest);
    assert.is(code, 0, stderr);
    assert.match(stderr, /^lowrank: Standard output was closed\. The command goes on/);
    assert.equal(readdirSync(out), ["adapter", "checkpoint", "merged"]);
    assert.ok(existsSync(join(out, "checkpoint/state-40.bin")));
    assert.ok(existsSync(join(out, "merged/model.safetensors")));
  }
});

test("a run that fails after its reader has gone tells so", () => {
  const out = path();
  const { code, stderr } = piped([...train(out), "--lr", "1e30", "--warmup", "2"], "| head -1");
  assert.is(code, 1);
  assert.match(stderr, /^lowrank: .*(loss|gradient)/m);
});

test("merge without a reader saves its model", () => {
  const out = path();
  assert.is(piped(train(out), "> /dev/null").code, 0);
  const merged = path();
  const words = ["merge", "--model", model, "--adapter", join(out, "adapter"), "--out", merged];
  assert.is(piped([...words, "--json"], "| true").code, 0);
  assert.ok(existsSync(join(merged, "model.safetensors")));
});

test("a command that only prints ends quietly with its reader, and at once", () => {
  const words = ["generate", "--model", model, "--prompt", "And", "--max-new-tokens", "1000000"];
  for (const command of [words, ["inspect", model], ["--help"], ["eval", "--model", model]]) {
    const { code, stderr } = piped(command, "| true");
    assert.is(code, 0, stderr);
    assert.is(stderr, "");
  }
  assert.is(piped(["inspect", path(), "--json"], "| true").code, 1);
});

test("standard output on a full disk is a sentence and an exit code; the run is saved", () => {
  if (!existsSync("/dev/full")) return;
  const out = path();
  const run = piped(train(out), "> /dev/full");
  assert.is(run.code, 1);
  assert.match(
    run.stderr,
    /^lowrank: Could not write to standard output: the disk is full\. .*\n$/,
  );
  assert.equal(readdirSync(out), ["adapter", "checkpoint", "merged"]);
  const inspect = piped(["inspect", model], "> /dev/full");
  assert.is(inspect.code, 1);
  assert.match(inspect.stderr, /^lowrank: Could not write .*the disk is full\.\n$/);
});

test("a standard error that nobody reads, or that is full, is in nobody's way", () => {
  const out = path();
  assert.is(piped(train(out), "2>&1 | true").code, 0);
  assert.ok(existsSync(join(out, "adapter")));
  if (existsSync("/dev/full")) assert.is(piped(["inspect", path()], "2> /dev/full").code, 1);
  assert.is(piped(train(path()), ">&- 2>&-").code, 0);
});

test.run();
