import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RUN } from "../../src/cli/defaults.ts";
import { FormatError, LowrankError, UsageError } from "../../src/core/error.ts";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { readTokenizerJson } from "../../src/data/readTokenizerJson.ts";
import { textDataset } from "../../src/data/textDataset.ts";
import { type LoadTextOptions, loadText } from "../../src/io/text.ts";
import { failure } from "./peft-fixture.ts";

const read = (path: string) =>
  new Uint8Array(readFileSync(new URL(`../../../${path}`, import.meta.url)));
const tokenizer = readTokenizerJson(read("test/fixtures/tokenizer.json"));
const model = { tokenizer, config: { maxPositions: 64 } };
const sizes = { batchSize: 2, blockSize: 16, seed: 3 };

const root = mkdtempSync(join(tmpdir(), "text-"));
test.after(() => rmSync(root, { recursive: true }));
function file(name: string, content: string | Uint8Array): string {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
}

const plain = "The quick brown fox jumps over the lazy dog.\n".repeat(40);
const lines = ["one and one", "two and two", "three and three"]
  .map((text) => JSON.stringify({ text }))
  .join("\n");

test("without path and text, the bundled text is read", async () => {
  const data = await loadText(model, sizes);
  const expected = textDataset(tokenizer, read("data/king-james.txt"), sizes);
  assert.equal(data.summary, expected.summary);
  assert.equal(data.batchAt(5), expected.batchAt(5));
});

test("a file, a string and bytes give the same batches", async () => {
  const expected = textDataset(tokenizer, plain, sizes).batchAt(1);
  const bytes = new TextEncoder().encode(plain);
  for (const from of [{ path: file("fox.txt", plain) }, { text: plain }, { text: bytes }]) {
    assert.equal((await loadText(model, { ...from, ...sizes })).batchAt(1), expected);
  }
});

test("a file that ends with .jsonl is read line by line", async () => {
  const options = { ...sizes, validation: 0.4 };
  const data = await loadText(model, { path: file("lines.jsonl", lines), ...options });
  assert.equal(data.batchAt(0), jsonlDataset(tokenizer, lines, options).batchAt(0));
  assert.is(data.summary.documents, 3);
});

test("a file that ends with .ndjson or .json is read as records, whatever the case of the letters", async () => {
  const options = { ...sizes, validation: 0.4 };
  const expected = jsonlDataset(tokenizer, lines, options);
  const files = [
    file("lines.ndjson", lines),
    file("LINES.NDJSON", `\ufeff${lines}`),
    file("array.json", `\ufeff[${lines.replaceAll("\n", ",")}]`),
    file(
      "ARRAY.Json",
      JSON.stringify(
        lines.split("\n").map((line) => JSON.parse(line)),
        null,
        2,
      ),
    ),
  ];
  for (const path of files) {
    const data = await loadText(model, { path, ...options });
    assert.equal(data.batchAt(0), expected.batchAt(0));
    assert.equal(data.summary, expected.summary);
  }
});

test("a byte order mark at the beginning of a text is dropped, of strings too", async () => {
  const expected = textDataset(tokenizer, plain, sizes);
  const marked = `\ufeff${plain}`;
  const bytes = new TextEncoder().encode(marked);
  for (const from of [{ text: marked }, { text: bytes }, { path: file("mark.txt", bytes) }]) {
    const data = await loadText(model, { ...from, ...sizes });
    assert.equal(data.summary, expected.summary);
    assert.equal(data.batchAt(0), expected.batchAt(0));
  }
});

test("records are what the lines of a file would say", async () => {
  const options = { ...sizes, validation: 0.4 };
  const expected = jsonlDataset(tokenizer, lines, options);
  const records = lines.split("\n").map((line) => JSON.parse(line) as { text: string });
  const data = await loadText(model, { records, ...options });
  assert.equal(data.batchAt(0), expected.batchAt(0));
  assert.equal(data.summary, expected.summary);
  const pair = { prompt: "one and", completion: " two", text: undefined, id: 7 };
  const pairs = await loadText(model, { records: Array(4).fill(pair), ...options });
  const asLines = Array(4).fill(JSON.stringify(pair)).join("\n");
  assert.equal(pairs.batchAt(1), jsonlDataset(tokenizer, asLines, options).batchAt(1));
});

test("a record that is none is refused with its number", async () => {
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [[], /^records is empty/],
    [[{ text: "a" }, "b"], /^records\[1\] is "b"; expected \{"text"/],
    [[null], /^records\[0\] is null/],
    [[{ prompt: "a" }], /^records\[0\] has the fields "prompt"; expected/],
    [
      [{ text: "a", prompt: "b", completion: "c" }],
      /^records\[0\] has the fields "text", "prompt"/,
    ],
    [[{ prompt: "a", completion: 5 }], /^records\[0\] has the fields/],
    [[{ prompt: "a", completion: "" }], /^records\[0\] has an empty completion/],
    [{ text: "a" }, /^records is an object, but must be an array of records/],
    ["a.jsonl", /^records is "a.jsonl", but must be an array of records/],
  ];
  for (const [records, reason] of wrong) {
    const error = await failure(() => loadText(model, { records, ...sizes } as LoadTextOptions));
    assert.instance(error, LowrankError);
    assert.match(error.message, reason);
  }
});

test("rows are those of the command when nothing is said, and fit the model", async () => {
  const small = await loadText(model);
  assert.equal([small.batchSize, small.blockSize], [8, 64]);
  const large = await loadText({ tokenizer, config: { maxPositions: 1024 } }, { text: plain });
  assert.equal([large.batchSize, large.blockSize], [8, 128]);
  assert.equal([RUN.batchSize, RUN.blockSize], [8, 128]);
});

test("what is wrong with a file is said with its name", async () => {
  const cases: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
    ["empty.txt", "", /is empty/],
    ["short.txt", "short", /too short/],
    ["latin1.txt", Uint8Array.of(...new TextEncoder().encode(plain), 0xff), /UTF-8/],
    ["broken.jsonl", `${lines}\n{"text": "no end`, /4/],
  ];
  for (const [name, content, reason] of cases) {
    const path = file(name, content);
    const error = await failure(() => loadText(model, { path, ...sizes }));
    assert.instance(error, FormatError);
    assert.match(error.message, name);
    assert.match(error.message.replaceAll(path, ""), reason);
  }
  const path = join(root, "none.txt");
  const missing = await failure(() => loadText(model, { path, ...sizes }));
  assert.instance(missing, LowrankError);
  assert.match(missing.message, /none\.txt": there is no such file/);
});

test("a block longer than the model's positions and two sources at once are refused", async () => {
  const wrong: readonly (readonly [LoadTextOptions, RegExp])[] = [
    [{ ...sizes, blockSize: 65 }, /blockSize is 65, but the model has 64 positions/],
    [{ ...sizes, path: "a.txt", text: plain }, /Both path and text/],
    [{ ...sizes, path: "a.txt", records: [{ text: plain }] }, /Both path and records/],
    [{ ...sizes, text: plain, records: [{ text: plain }] }, /Both text and records/],
  ];
  for (const [options, reason] of wrong) {
    const error = await failure(() => loadText(model, options));
    assert.instance(error, UsageError);
    assert.match(error.message, reason);
  }
});

test.run();
