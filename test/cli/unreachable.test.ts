// A command whose package has lost its model or text says what to do at a shell, not in a program.

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { writeTinyModel } from "../support/tinyModel.ts";

const home = fileURLToPath(new URL("../../../", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "lowrank-bare-"));
mkdirSync(join(root, "dist"));
cpSync(join(home, "dist/src"), join(root, "dist/src"), { recursive: true });
cpSync(join(home, "package.json"), join(root, "package.json"));
const model = join(root, "model");
writeTinyModel(model);

/** What the bare package says. */
function refusal(...words: string[]): string {
  const main = join(root, "dist/src/cli/main.js");
  const { status, stderr } = spawnSync(process.execPath, [main, ...words], {
    encoding: "utf8",
    cwd: root,
  });
  assert.is(status, 1, stderr);
  assert.not.match(stderr, /\n {4}at |load(Model|Text)\(/);
  return stderr;
}

test("without the embedded model every command asks for --model", () => {
  const adapter = ["--adapter", "a"];
  for (const words of [["train"], ["eval"], ["generate"], ["merge", ...adapter, "--out", "b"]]) {
    assert.match(refusal(...words), /lowrank-sotu.* cannot be reached.*--model DIR/);
  }
  assert.match(refusal("inspect"), /lowrank-sotu.* cannot be reached.*Name a directory/);
});

test("without the bundled text the commands that read one ask for --data", () => {
  const small = ["--model", model, "--block-size", "32"];
  for (const words of [["train"], ["eval"], ["eval", "--all"]]) {
    assert.match(refusal(...words, ...small), /king-james.* cannot be reached.*--data FILE/);
  }
});

test.after(() => rmSync(root, { recursive: true, force: true }));
test.run();
