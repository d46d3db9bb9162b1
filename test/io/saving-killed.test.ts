// What a reader finds when a save was killed, and when two save to one place at once.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { inspect } from "../../src/cli/inspection.ts";
import { adapterFiles, loadAdapter, saveAdapter } from "../../src/io/adapter.ts";
import { loadModel, modelFiles } from "../../src/io/model.ts";
import { killedAt } from "../core/killed.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { CONFIG, WEIGHTS } from "./adapter-fixture.ts";
import { adapter, model, namesIn, writeShards } from "./saving-fixture.ts";

const fresh = temporaryPaths("saving");
const child = fileURLToPath(new URL("saving-child.js", import.meta.url));

/** Which of two files with one name lies in a directory for a reader, after a killed save. */
async function readBack(directory: string, what: "adapter" | "model"): Promise<Uint8Array> {
  if (what === "model") {
    const loaded = await loadModel(directory);
    const bytes = modelFiles(loaded).get("model.safetensors")!;
    loaded.dispose();
    return bytes;
  }
  const { warnings, path } = await inspect(directory);
  assert.equal([warnings, path], [[], directory]);
  const loaded = await loadAdapter(model, directory, { adapterName: "again" });
  // A config of one and weights of the other would not fit: alpha is the rank.
  assert.is(loaded.config.loraAlpha, loaded.config.r);
  const bytes = adapterFiles(loaded).get(WEIGHTS)!;
  loaded.remove();
  return bytes;
}

test("killed anywhere in a save over an adapter, loadAdapter and inspect find the old or the new", async () => {
  const [old, after] = [adapter(2), adapter(3)];
  const [oldBytes, newBytes] = [old, after].map((one) => adapterFiles(one).get(WEIGHTS)!);
  let seen = 0;
  for (let n = 0; ; n++) {
    const directory = fresh();
    await saveAdapter(old, directory);
    const { fs, count } = killedAt(n);
    await saveAdapter(after, directory, { overwrite: true }, fs).catch(() => undefined);
    if (count() <= n) break;
    const found = await readBack(directory, "adapter");
    const isNew = found.length === newBytes!.length;
    assert.equal(found, isNew ? newBytes : oldBytes);
    if (isNew) seen++;
    await saveAdapter(after, directory, { overwrite: true });
    assert.equal(namesIn(directory), [CONFIG, WEIGHTS]);
  }
  assert.ok(seen > 5);
  for (const made of [old, after]) made.remove();
});

for (const what of ["adapter", "model"] as const) {
  test(`a process that is killed while it saves over ${what === "model" ? "a model in shards" : "an adapter"} leaves one whole`, async () => {
    const old = adapter(2);
    const seen = new Set<string>();
    for (let n = 0; n < 4; n++) {
      const directory = fresh();
      if (what === "adapter") await saveAdapter(old, directory);
      else writeShards(directory);
      const before = await readBack(directory, what);
      const { signal, status } = spawnSync(process.execPath, [
        child,
        "kill",
        what,
        directory,
        String(n),
      ]);
      if (status === 0) break;
      assert.is(signal, "SIGKILL");
      const found = await readBack(directory, what);
      seen.add(Buffer.from(found).equals(Buffer.from(before)) ? "old" : "new");
      // The next process that saves there cleans up.
      const next = spawnSync(process.execPath, [child, "kill", what, directory, "-1"]);
      assert.is(next.status, 0, String(next.stderr));
      const names = what === "adapter" ? [CONFIG, WEIGHTS] : ["config.json", "model.safetensors"];
      assert.equal(namesIn(directory), names);
    }
    assert.equal([...seen], ["old", "new"]);
    old.remove();
  });
}

test("two processes that save to one place at once leave one whole adapter, and nothing else", async () => {
  const directory = fresh();
  const ranks = [2, 3, 4];
  const children = ranks.map((rank) =>
    spawn(process.execPath, [child, "often", "adapter", directory, String(rank)], {
      stdio: "inherit",
    }),
  );
  const codes = await Promise.all(children.map(async (one) => (await once(one, "exit"))[0]));
  assert.equal(codes, [0, 0, 0]);
  const loaded = await loadAdapter(model, directory, { adapterName: "last" });
  assert.ok(ranks.includes(loaded.config.r));
  assert.is(loaded.config.loraAlpha, loaded.config.r);
  assert.equal(namesIn(directory), [CONFIG, WEIGHTS]);
  loaded.remove();
});

test("two saves at once in one process leave one whole adapter", async () => {
  const [first, second] = [adapter(2), adapter(3)];
  const directory = fresh();
  await Promise.all(
    [first, second, first].map((one) => saveAdapter(one, directory, { overwrite: true })),
  );
  assert.equal(
    readFileSync(join(directory, WEIGHTS)),
    Buffer.from(adapterFiles(first).get(WEIGHTS)!),
  );
  assert.equal(namesIn(directory), [CONFIG, WEIGHTS]);
  // Without overwrite the one that comes second is refused.
  const place = fresh();
  const results = await Promise.allSettled([first, second].map((one) => saveAdapter(one, place)));
  assert.equal(
    results.map(({ status }) => status),
    ["fulfilled", "rejected"],
  );
  for (const made of [first, second]) made.remove();
});

test.run();
