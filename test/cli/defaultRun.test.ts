// The run that a newcomer starts, as it stands: what it must show is adaptation of a trained model, so the same
// run on a model that has learnt nothing must end clearly worse.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { init } from "../../src/core/engine.ts";
import { loadModel, saveModel } from "../../src/io/model.ts";
import { normalInitializer } from "../../src/nn/init.ts";
import { Transformer } from "../../src/nn/transformer.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const workspace = mkdtempSync(join(tmpdir(), "lowrank-default-"));

interface Done {
  readonly event: string;
  readonly lossBefore: number;
  readonly lossAfter: number;
  readonly steps: number;
  readonly adapterSha256: string;
}

function train(name: string, ...options: string[]): Done {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      join(root, "dist/src/cli/main.js"),
      ...["train", "--json", "--deterministic", "--out", join(workspace, name)],
      ...options,
    ],
    { encoding: "utf8", maxBuffer: 1 << 26 },
  );
  assert.is(status, 0, stderr);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}") as Done;
}

let adapted: Done | undefined;

test("the default run cuts the held-out loss of the embedded model by at least 15 %", () => {
  adapted = train("embedded");
  assert.is(adapted.event, "done");
  assert.ok(
    adapted.lossAfter <= 0.85 * adapted.lossBefore,
    `from ${adapted.lossBefore} to ${adapted.lossAfter}`,
  );
  for (const file of ["adapter/adapter_config.json", "adapter/adapter_model.safetensors"]) {
    assert.ok(existsSync(join(workspace, "embedded", file)), file);
  }
  assert.ok(existsSync(join(workspace, "embedded/merged/model.safetensors")));
});

test("the README states the losses of the default run", () => {
  const { lossBefore = 0, lossAfter = 0 } = adapted ?? {};
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const falls = `from ${lossBefore.toFixed(2)} to ${lossAfter.toFixed(2)} nats`;
  assert.ok(readme.includes(falls), falls);
});

test("the same run on an untrained model ends at least 25 % worse", async () => {
  await init({ deterministic: true, threads: 1 });
  const embedded = await loadModel();
  const fresh = new Transformer(embedded.config, normalInitializer(1, 0.02));
  const directory = join(workspace, "untrained");
  const tokenizer = readFileSync(join(root, "models/lowrank-sotu/tokenizer.json"));
  saveModel(fresh, directory, { files: new Map([["tokenizer.json", new Uint8Array(tokenizer)]]) });
  const untrained = train("fresh", "--model", directory);
  const best = adapted?.lossAfter ?? Number.NaN;
  assert.ok(untrained.lossAfter >= 1.25 * best, `${untrained.lossAfter} against ${best}`);
});

test.after(() => rmSync(workspace, { recursive: true, force: true }));

test.run();
