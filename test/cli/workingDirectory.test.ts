// A working directory that was deleted while a shell was in it.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { temporaryPaths } from "../support/temporary.ts";
import { writeTinyModel } from "../support/tinyModel.ts";

const path = temporaryPaths("lowrank-gone");
const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const model = path();
writeTinyModel(model);

/** The command in a directory that is deleted before it starts. */
function inGone(...words: string[]): { code: number | null; stderr: string } {
  const gone = path();
  mkdirSync(gone);
  const { status, stderr } = spawnSync(
    "sh",
    ["-c", 'cd "$0" && rmdir "$0" && exec "$@"', gone, process.execPath, main, ...words],
    { encoding: "utf8", timeout: 60_000 },
  );
  assert.is(existsSync(gone), false);
  return { code: status, stderr };
}

const small = ["--steps", "1", "--batch-size", "1", "--block-size", "16", "--max-new-tokens", "0"];
const train = ["train", "--model", model, "--threads", "1", "--json", ...small];

test("relative paths are refused by a sentence, and nothing is computed", () => {
  for (const words of [
    [...train, "--out", "x"],
    train,
    [...train, "--out", "x", "--resume"],
    [...train, "--resume"],
    ["merge", "--model", model, "--adapter", model, "--out", "x"],
  ]) {
    const { code, stderr } = inGone(...words);
    assert.is(code, 1, `${words}: ${stderr}`);
    assert.match(stderr, /^lowrank: (The working directory was deleted|There is no)/, `${words}`);
  }
});

test("what is named by its whole path works", () => {
  const out = path();
  const { code, stderr } = inGone(...train, "--out", out);
  assert.is(code, 0, stderr);
  assert.is(existsSync(`${out}/adapter/adapter_config.json`), true);
  assert.is(inGone("inspect", model).code, 0);
  assert.match(inGone("inspect", "x").stderr, /There is no file or directory "x"/);
});

test.run();
