import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { revisionOf } from "../../src/core/revision.ts";
import * as lowrank from "../../src/index.ts";
import { readSafetensors } from "../../src/io/safetensors.ts";
import { withoutRevision } from "../support/revision.ts";
import { makeRun } from "../train/run.ts";

const root = new URL("../../../", import.meta.url);
const program = await import(new URL("test/runtimes/program.mjs", root).href);

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The adapter's file of the run of the runtimes' tests, before files named the revision. */
const BEFORE = "e1f38dd8b68fae63fe53130fa91ec21211f76fd755f977bafea1e4f88b7fe4b1";

test("the revision is all that a trained adapter's file has more than it had before", async () => {
  const files = Object.fromEntries(
    program.files.map((path: string) => [path, readFileSync(new URL(path, root))]),
  );
  const engine = await lowrank.init({ deterministic: true, threads: 1 });
  const file: Uint8Array = await program.trained(lowrank, files);
  engine.shutdown();
  assert.is(sha256(file), program.pinned);
  assert.is(sha256(withoutRevision(file)), BEFORE);
});

test("models, adapters and states name the revision; a file without it counts as the first", async () => {
  await lowrank.init({ threads: 1 });
  const { model, trainer } = makeRun();
  const [adapter] = lowrank.adaptersOf(model).adapters.values();
  const files = [
    lowrank.adapterFiles(adapter!).get("adapter_model.safetensors")!,
    lowrank.modelFiles(model).get("model.safetensors")!,
    trainer.state().subarray(16),
  ];
  for (const bytes of files) {
    const { metadata } = readSafetensors(bytes, "the file");
    assert.is(revisionOf(metadata), String(lowrank.ENGINE_REVISION));
  }
  assert.is(revisionOf(new Map()), "1");
});

test.run();
