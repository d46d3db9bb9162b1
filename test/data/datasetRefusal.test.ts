// Texts, lines and options that datasets refuse, and how they say it.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, UsageError } from "../../src/core/error.ts";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { textDataset } from "../../src/data/textDataset.ts";
import { characters, distinctText, epoch, sorted, targetsOf } from "./characters.ts";

const options = { batchSize: 1, blockSize: 8 };
const badTexts: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
  ["an empty text", "", /story.txt is empty/],
  ["a text of white space", " \n\t", /story.txt is empty/],
  [
    "a short text",
    "abcdefgh",
    /too short: 7 tokens are left to train on \(1 are held out\), but a block of 8 needs 9/,
  ],
  [
    "invalid UTF-8",
    Uint8Array.of(97, 98, 0xc3, 0x28),
    /story.txt is not valid UTF-8: byte 0xc3 at offset 2/,
  ],
];
for (const [what, text, message] of badTexts) {
  test(`${what} is an error that says so`, () => {
    assert.throws(
      () => textDataset(characters(), text, options, "story.txt"),
      (error: unknown) => error instanceof FormatError && message.test(error.message),
    );
  });
}

const good = '{"text":"a"}\n';
const badLines: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
  ["no line", "\n\n", /d.jsonl is empty/],
  ["a broken line", `${good}\n{"text": "b"\n`, /Line 3 of d.jsonl is no JSON: /],
  ["a list", `${good}[1]`, /Line 2 of d.jsonl is a list; expected \{"text"/],
  ["a number", `${good}5`, /Line 2 of d.jsonl is a number/],
  ["null", `${good}null`, /Line 2 of d.jsonl is null/],
  [
    "other fields",
    `${good}{"instruction":"x","n":1}`,
    /Line 2 of d.jsonl has the fields "instruction" \(string\), "n" \(number\)/,
  ],
  [
    "a prompt alone",
    `{"prompt":"x"}`,
    /Line 1 of d.jsonl has the fields "prompt" \(string\); expected/,
  ],
  ["a text that is no string", `{"text":["x"]}`, /"text" \(list\)/],
  ["a text and a prompt", `{"text":"x","prompt":"y","completion":"z"}`, /has the fields "text"/],
  ["an empty text", `${good}{"text":""}`, /Line 2 of d.jsonl has an empty text/],
  ["an empty completion", `{"prompt":"x","completion":""}`, /has an empty completion/],
  ["a single document", good, /has 1 documents, of which 1 would be held out/],
  ["nothing to train", good + good, /holds no token that could be trained/],
];
for (const [what, text, message] of badLines) {
  test(`JSON lines with ${what} are an error that says where and what`, () => {
    assert.throws(
      () => jsonlDataset(characters(), text, options, "d.jsonl"),
      (error: unknown) => error instanceof FormatError && message.test(error.message),
    );
  });
}

test("JSON lines may have blank lines, Windows line ends, a byte order mark and further fields", () => {
  const text = `\ufeff{"text":"ab","id":1}\r\n\r\n{"prompt":"c","completion":"d"}\r\n`;
  const bytes = new TextEncoder().encode(text);
  const data = jsonlDataset(characters(), bytes, { ...options, validation: 0 });
  assert.equal(sorted(targetsOf(epoch(data, 0))), [98, 100]);
});

const badOptions: readonly (readonly [Record<string, number>, RegExp])[] = [
  [{ batchSize: 0 }, /batchSize is 0/],
  [{ blockSize: 1.5 }, /blockSize is 1.5/],
  [{ seed: -1 }, /seed is -1/],
  [{ validation: 1 }, /validation is 1; expected/],
  [{ validation: Number.NaN }, /validation is NaN/],
];
for (const [change, message] of badOptions) {
  test(`${JSON.stringify(change)} is refused`, () => {
    assert.throws(
      () => textDataset(characters(), distinctText(100), { ...options, ...change }),
      (error: unknown) => error instanceof UsageError && message.test(error.message),
    );
  });
}

test("the number of a batch must be a whole number", () => {
  const data = textDataset(characters(), distinctText(100), options);
  for (const index of [-1, 0.5, Number.NaN]) {
    assert.throws(() => data.batchAt(index), /The index of a batch is/);
  }
});

test.run();
