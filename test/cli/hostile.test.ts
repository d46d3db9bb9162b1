// Files that are made to cost time or memory. The rule, above what a small good file costs: a malformed file of up to
// 8 MB gives an error within 2 seconds and 64 MB; a larger one costs at most 4 times its JSON, and 64 MB.
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { costOf } from "../support/cost.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { writeTinyModel } from "../support/tinyModel.ts";

const MB = 1e6;
const next = temporaryPaths("lowrank-hostile");
const good = next();
writeTinyModel(good);

/** The directory of a good model, with another file in place of one of its own. */
function modelWith(name: string, content: string | Uint8Array): string {
  const directory = next();
  cpSync(good, directory, { recursive: true });
  writeFileSync(join(directory, name), content);
  return directory;
}

function safetensors(header: string, data = 0): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const config = (rest: string): string =>
  `{"model_type":"llama","hidden_size":16,"num_attention_heads":4,"num_hidden_layers":1,"x":${rest}}`;
const entries = (count: number): string =>
  Array.from(
    { length: count },
    (_, i) => `"${i.toString(36)}":{"dtype":"F4","shape":[0],"data_offsets":[0,0]}`,
  ).join();

const malformed: [string, string, string | Uint8Array][] = [
  ["lists that nobody closes", "config.json", config("[".repeat(8 * MB - 200))],
  ["empty lists, and a comma too many", "config.json", config(`[${"[],".repeat(2.6 * MB)}]`)],
  [
    "as many keys as there is room for",
    "config.json",
    `{${Array.from({ length: 600_000 }, (_, i) => `"${i}":1`)}}`,
  ],
  ["a name of eight million letters", "config.json", `{"model_type":"${"l".repeat(8 * MB)}"}`],
  [
    "a number of eight million digits",
    "config.json",
    config("1").replace("16", "1".repeat(8 * MB)),
  ],
  [
    "a list of names where one stands",
    "config.json",
    `{"model_type":[${'"llama",'.repeat(900_000)}"llama"]}`,
  ],
  ["a header of tensors that breaks off", "model.safetensors", safetensors(`{${entries(150_000)}`)],
  [
    "a header whose last tensor has no room",
    "model.safetensors",
    safetensors(`{${entries(140_000)},"z":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}`),
  ],
  [
    "a shape of four million dimensions",
    "model.safetensors",
    safetensors(`{"a":{"dtype":"U8","shape":[${"1,".repeat(4 * MB)}1],"data_offsets":[0,1]}}`, 1),
  ],
  [
    "metadata of a million words",
    "model.safetensors",
    safetensors(
      `{"__metadata__":{${Array.from({ length: 800_000 }, (_, i) => `"${i.toString(36)}":""`)}}}`,
    ),
  ],
];
for (const [what, name, content] of malformed) {
  test(`${what}: an error within 2 seconds and 64 MB`, () => {
    const small = costOf(["inspect", good]);
    assert.is(small.code, 0, small.stderr);
    const directory = modelWith(name, content);
    const cost = costOf(["inspect", directory]);
    rmSync(directory, { recursive: true });
    assert.is(cost.code, 1);
    assert.match(cost.stderr, new RegExp(name.replace(".", "\\.")));
    assert.ok(cost.stderr.length < 1000, `${cost.stderr.length} characters`);
    assert.ok(cost.seconds - small.seconds < 2, `${cost.seconds - small.seconds} seconds`);
    assert.ok(cost.memory - small.memory < 64 * MB, `${(cost.memory - small.memory) / MB} MB`);
  });
}

test("a config of five million empty lists is read at the cost of its bytes", () => {
  const small = costOf(["inspect", good]);
  const text = JSON.stringify({ model_type: "llama", hidden_size: 64 });
  const directory = modelWith("config.json", `${text.slice(0, -1)},"x":[${"[],".repeat(5e6)}[]]}`);
  const cost = costOf(["inspect", directory]);
  assert.is(cost.code, 0, cost.stderr);
  assert.ok(
    cost.memory - small.memory < (4 * 15 + 64) * MB,
    `${(cost.memory - small.memory) / MB} MB`,
  );
  rmSync(directory, { recursive: true });
});

test("inspect takes two hundred thousand tensors, in the short table, in the long one, and as JSON", () => {
  const path = `${next()}.safetensors`;
  const header = Array.from(
    { length: 200_000 },
    (_, i) => `"layers.${i}.w":{"dtype":"F32","shape":[1],"data_offsets":[${4 * i},${4 * i + 4}]}`,
  );
  writeFileSync(path, safetensors(`{${header}}`, 800_000));
  const table = costOf(["inspect", path]);
  assert.is(table.code, 0, table.stderr);
  assert.match(table.stdout, /layers\.\{0-199999\}\.w +F32 +\[1\] +200000 × 4 bytes/);
  const long = costOf(["inspect", path, "--tensors"]);
  assert.match(long.stdout, /layers\.0\.w .*\n.*layers\.1\.w .*\n.*layers\.2\.w /);
  assert.match(long.stdout, /200,000 tensors, 200,000 numbers, 800 kB/);
  const json = JSON.parse(costOf(["inspect", path, "--json"]).stdout) as {
    tensors: { name: string }[];
  };
  assert.is(json.tensors.length, 200_000);
  assert.is(json.tensors[10]?.name, "layers.10.w");
  rmSync(path);
});

test("an adapter of a hundred thousand layers is inspected", () => {
  const directory = next();
  mkdirSync(directory);
  const header = Array.from({ length: 100_000 }, (_, i) => {
    const path = `base_model.model.model.layers.${i}.w${i}`;
    return ["A", "B"].map(
      (side, k) =>
        `"${path}.lora_${side}.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[${8 * i + 4 * k},${8 * i + 4 * k + 4}]}`,
    );
  });
  writeFileSync(join(directory, "adapter_model.safetensors"), safetensors(`{${header}}`, 800_000));
  const r = { peft_type: "LORA", r: 1, target_modules: ["w1"] };
  writeFileSync(join(directory, "adapter_config.json"), JSON.stringify(r));
  const cost = costOf(["inspect", directory]);
  assert.is(cost.code, 0, cost.stderr);
  assert.match(cost.stdout, /100,000 layers: w0, w1,[\s\S]* and 99980\s+more/);
  assert.ok(cost.seconds < 20, `${cost.seconds} seconds`);
  rmSync(directory, { recursive: true });
});

test.run();
