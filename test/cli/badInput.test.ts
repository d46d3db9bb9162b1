import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Finished, lastEvent, lowrankHere } from "../support/command.ts";
import { bundledText, writeTinyModel } from "../support/tinyModel.ts";

const root = mkdtempSync(join(tmpdir(), "lowrank-input-"));
const model = join(root, "model");
writeTinyModel(model);

function file(name: string, content: string | Uint8Array): string {
  const path = join(root, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, content);
  return path;
}

const text = file("text.txt", bundledText().slice(0, 20000));
const small = [
  "--model",
  model,
  "--block-size",
  "32",
  "--batch-size",
  "2",
  "--max-new-tokens",
  "0",
];

/** One sentence on standard error, no stack, exit code 1, and nothing left in the output place. */
function checkRefusal({ code, stderr }: Finished, message: RegExp, out?: string): void {
  assert.is(code, 1, stderr);
  assert.match(stderr, /^lowrank: /);
  assert.match(stderr, message);
  assert.not.match(stderr, /\n {4}at /);
  if (out !== undefined) assert.is(existsSync(join(root, out)), false);
}

function train(...words: string[]): Promise<Finished> {
  return lowrankHere(["train", ...small, "--steps", "2", "--out", join(root, "never"), ...words]);
}

/** A copy of the model with one file changed; null takes the file away. */
function modelWith(
  name: string,
  changed: string,
  change: (bytes: Uint8Array) => Uint8Array | string | null,
): string {
  const directory = join(root, name);
  mkdirSync(directory);
  for (const entry of ["config.json", "model.safetensors", "tokenizer.json"]) {
    copyFileSync(join(model, entry), join(directory, entry));
  }
  const path = join(directory, changed);
  const content = change(readFileSync(path));
  if (content === null) rmSync(path);
  else writeFileSync(path, content);
  return directory;
}

const texts: readonly (readonly [string, string, RegExp])[] = [
  ["a text that is not there", join(root, "absent.txt"), /absent\.txt.*no such file/],
  ["a directory in the place of a text", root, /directory/],
  ["an empty text", file("empty.txt", ""), /empty\.txt.* is empty/],
  ["a text of spaces", file("spaces.txt", "  \n \n"), /is empty/],
  ["a text too short for a block", file("short.txt", "In the beginning"), /too short.*32/],
  [
    "invalid UTF-8",
    file(
      "latin.txt",
      Uint8Array.from([...new TextEncoder().encode("In the beginning "), 0xe9, 0x20]),
    ),
    /not valid UTF-8: byte 0xe9 at offset 17/,
  ],
  [
    "a broken line of JSON",
    file("broken.jsonl", '{"text": "In the"}\n{"text": "begin'),
    /Line 2 of .*broken\.jsonl/,
  ],
  [
    "a line of JSON with other fields",
    file("fields.jsonl", '{"body": "In the"}\n'),
    /Line 1 .*"body"/,
  ],
];

for (const [what, path, message] of texts) {
  test(`${what} is refused in one sentence, and nothing is written`, async () => {
    checkRefusal(await train("--data", path), message, "never");
  });
}

const models: readonly (readonly [string, () => string, RegExp])[] = [
  ["a model that is not there", () => join(root, "absent"), /absent.* is not a directory/],
  [
    "a directory without config.json",
    () => modelWith("m1", "config.json", () => null),
    /no config\.json/,
  ],
  [
    "a model without weights",
    () => modelWith("m2", "model.safetensors", () => null),
    /no model\.safetensors/,
  ],
  [
    "a truncated weights file",
    () => modelWith("m3", "model.safetensors", (bytes) => bytes.subarray(0, 50000)),
    /model\.safetensors/,
  ],
  [
    "an empty weights file",
    () => modelWith("m4", "model.safetensors", () => ""),
    /model\.safetensors/,
  ],
  [
    "a header that lies about its length",
    () => modelWith("m5", "model.safetensors", (bytes) => bytes.fill(0xff, 0, 8)),
    /model\.safetensors/,
  ],
  ["a config that is no JSON", () => modelWith("m6", "config.json", () => "{"), /config\.json/],
  [
    "a config of another size",
    () =>
      modelWith("m7", "config.json", (bytes) =>
        new TextDecoder()
          .decode(bytes)
          .replace('"intermediate_size": 48', '"intermediate_size": 40'),
      ),
    /mlp\.gate_proj\.weight has the shape \[48, 32\], expected \[40, 32\]/,
  ],
  [
    "a model without a tokenizer",
    () => modelWith("m8", "tokenizer.json", () => null),
    /tokenizer\.json/,
  ],
];

for (const [what, make, message] of models) {
  test(`${what} is refused in one sentence, and nothing is written`, async () => {
    checkRefusal(await train("--data", text, "--model", make()), message, "never");
  });
}

test("targets that match nothing are an error that lists the names that exist", async () => {
  const result = await train("--data", text, "--targets", "q_prj");
  checkRefusal(result, /"q_prj".*matches no module.*"q_proj"/, "never");
});

test("a rank above a weight's smaller side is a remark that names the weight", async () => {
  const out = join(root, "wide");
  const { code, stdout, stderr } = await train("--data", text, "--r", "17", "--out", out);
  assert.is(code, 0, stderr);
  assert.match(`${stdout}${stderr}`, /rank for .*k_proj[\s\S]*above the smaller side/);
});

test("a block longer than the model's positions is wrong usage", async () => {
  const { code, stderr } = await train("--data", text, "--block-size", "129");
  assert.is(code, 2);
  assert.match(stderr, /--block-size is 129.* 128/);
});

test("an adapter for another model is refused with names and shapes", async () => {
  const other = join(root, "three-layers");
  writeTinyModel(other, { layers: 3 });
  const out = join(root, "out");
  const words = ["--data", text, "--model", other, "--out", out];
  assert.is((await train(...words)).code, 0);
  const adapter = join(out, "adapter");
  for (const command of ["eval", "generate", "merge"]) {
    const extra =
      command === "eval"
        ? ["--data", text]
        : command === "merge"
          ? ["--out", join(root, "never")]
          : ["--prompt", "And"];
    const result = await lowrankHere([command, "--model", model, "--adapter", adapter, ...extra]);
    checkRefusal(result, /model\.layers\.2\.[\s\S]*lora_A/, "never");
  }
});

test("a place that holds no adapter is refused", async () => {
  const result = await lowrankHere(["eval", "--model", model, "--data", text, "--adapter", model]);
  checkRefusal(result, /no adapter_config\.json/);
});

test("a pickle is never opened", async () => {
  const path = file("adapter_model.bin", "\x80\x02.");
  checkRefusal(await lowrankHere(["inspect", path]), /pickle/);
});

test("a file of another kind is refused", async () => {
  checkRefusal(await lowrankHere(["inspect", text]), /text\.txt/);
  checkRefusal(await lowrankHere(["inspect", join(root, "absent")]), /no file or directory/);
});

test("with --json the error is the last event, and the sentence is on standard error as well", async () => {
  const result = await train("--data", join(root, "absent.txt"), "--json");
  checkRefusal(result, /absent\.txt/, "never");
  const error = lastEvent(result);
  assert.is(error.event, "error");
  assert.match(String(error["message"]), "absent.txt");
});

test.after(() => rmSync(root, { recursive: true, force: true }));
test.run();
