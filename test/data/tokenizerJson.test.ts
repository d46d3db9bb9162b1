// Our tokenizer against Hugging Face's: test/fixtures/make_tokenizer.py made the ids, with texts chosen to be odd.
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { LowrankError } from "../../src/core/error.ts";
import { readTokenizerJson } from "../../src/data/readTokenizerJson.ts";
import { DecodeStream } from "../../src/data/tokenizer.ts";
import { trainTokenizer } from "../../src/data/trainTokenizer.ts";
import { writeTokenizerJson } from "../../src/data/writeTokenizerJson.ts";

interface TokenizerFile {
  model: { vocab: Record<string, number>; merges: unknown[]; ignore_merges?: unknown };
  added_tokens: Record<string, unknown>[];
}

interface Case {
  name: string;
  change: Record<string, unknown>;
  ids: number[][];
  decoded: Record<string, string>;
  withSpecial: number[];
}

const root = new URL("../../../", import.meta.url);
const fileText = readFileSync(new URL("test/fixtures/tokenizer.json", root), "utf8");
const { texts, cases } = JSON.parse(
  readFileSync(new URL("test/fixtures/tokenizer-cases.json", root), "utf8"),
) as { texts: string[]; cases: Case[] };

function fileWith(change: Record<string, unknown>): TokenizerFile {
  const { ignore_merges, ...rest } = change;
  const file = { ...(JSON.parse(fileText) as TokenizerFile), ...rest };
  if (ignore_merges !== undefined) file.model.ignore_merges = ignore_merges;
  return file;
}

// U+00AB is a letter of the byte alphabet as well: Hugging Face decodes this added token as bytes, we as its text.
const decodedAsText = texts.findIndex((text) => text.startsWith("\u00ab"));

for (const { name, change, ids, decoded, withSpecial } of cases) {
  const tokenizer = readTokenizerJson(fileWith(change));

  test(`${name}: every odd text gets the ids of Hugging Face's tokenizers`, () => {
    for (const [i, text] of texts.entries()) {
      assert.equal(Array.from(tokenizer.encode(text)), ids[i], JSON.stringify(text));
    }
  });

  test(`${name}: decoding gives the text of Hugging Face's tokenizers`, () => {
    for (const [i, text] of texts.entries()) {
      if (name === "added tokens" && i === decodedAsText) continue;
      assert.is(tokenizer.decode(ids[i]!), decoded[i] ?? text);
    }
  });

  test(`${name}: the template puts its tokens around a text when asked`, () => {
    const begun = tokenizer.encode("Jesus wept.", { addSpecialTokens: true });
    assert.equal(Array.from(begun), withSpecial);
  });

  test(`${name}: written and read again, the tokenizer gives the same ids`, () => {
    const again = readTokenizerJson(writeTokenizerJson(tokenizer));
    for (const [i, text] of texts.entries()) {
      assert.equal(Array.from(again.encode(text)), ids[i], JSON.stringify(text));
    }
    const begun = again.encode("Jesus wept.", { addSpecialTokens: true });
    assert.equal(Array.from(begun), withSpecial);
    assert.is(again.eosTokenId, tokenizer.eosTokenId);
  });

  test(`${name}: ids decoded one by one give the same text as all at once`, () => {
    for (const row of ids) {
      const stream = new DecodeStream(tokenizer);
      const streamed = row.map((id) => stream.push(id)).join("") + stream.end();
      assert.is(streamed, tokenizer.decode(row));
    }
  });
}

test("training gives the merges and the vocabulary of Hugging Face's trainer", () => {
  const corpus = readFileSync(new URL("data/king-james.txt", root), "utf8").slice(0, 60000);
  const file = JSON.parse(fileText) as TokenizerFile;
  const written = JSON.parse(
    writeTokenizerJson(trainTokenizer(corpus, { vocabSize: 600 })),
  ) as TokenizerFile;
  assert.equal(written.model.vocab, file.model.vocab);
  const merges = file.model.merges.map((merge) => (Array.isArray(merge) ? merge.join(" ") : merge));
  assert.equal(written.model.merges, merges);
  assert.equal(written.added_tokens, file.added_tokens);
});

test("merges are read as strings and as pairs", () => {
  const file = fileWith({});
  const strings = file.model.merges.map((merge) =>
    Array.isArray(merge) ? merge.join(" ") : merge,
  );
  const pairs = strings.map((merge) => String(merge).split(" "));
  for (const merges of [strings, pairs]) {
    const tokenizer = readTokenizerJson({ ...file, model: { ...file.model, merges } });
    assert.equal(Array.from(tokenizer.encode(texts[11]!)), cases[0]!.ids[11]);
  }
});

test("the begin and end tokens can be named, left out, or are found by their usual names", () => {
  const { eosTokenId, bosTokenId } = readTokenizerJson(fileText);
  assert.is(eosTokenId, 599);
  assert.is(bosTokenId, 599);
  const none = readTokenizerJson(fileText, { bosToken: null, eosToken: "<|endoftext|>" });
  assert.is(none.bosTokenId, undefined);
  assert.is(none.eosTokenId, 599);
  assert.throws(() => readTokenizerJson(fileText, { bosToken: "<s>" }), /no added token "<s>"/);
});

const end = fileWith({}).added_tokens[0]!;
const level = { type: "ByteLevel", add_prefix_space: false, use_regex: true };
const broken: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
  ["a normalizer", { normalizer: { type: "Lowercase" } }, /normalizer Lowercase/],
  ["a pre-tokenizer", { pre_tokenizer: { type: "Metaspace" } }, /pre-tokenizer Metaspace/],
  ["no pre-tokenizer", { pre_tokenizer: null }, /pre_tokenizer must be an object/],
  [
    "an unknown pattern",
    {
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [{ type: "Split", pattern: { Regex: "x+" }, behavior: "Isolated" }, level],
      },
    },
    /pattern \{"Regex":"x\+"\}/,
  ],
  [
    "an unknown behavior",
    {
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [{ type: "Split", pattern: { String: "x" }, behavior: "Contiguous" }, level],
      },
    },
    /behavior "Contiguous"/,
  ],
  [
    "two byte levels",
    { pre_tokenizer: { type: "Sequence", pretokenizers: [level, level] } },
    /ByteLevel once and last/,
  ],
  ["a post-processor", { post_processor: { type: "BertProcessing" } }, /BertProcessing/],
  ["a decoder", { decoder: { type: "WordPiece" } }, /decoder WordPiece/],
  ["an option of an added token", { added_tokens: [{ ...end, lstrip: true }] }, /sets lstrip/],
  ["an added token with the id of another", { added_tokens: [{ ...end, id: 5 }] }, /id 5/],
  ["an added token without content", { added_tokens: [{ ...end, content: "" }] }, /no content/],
];
for (const [what, change, message] of broken) {
  test(`${what} that cannot be applied is refused by name`, () => {
    assert.throws(
      () => readTokenizerJson(fileWith(change)),
      (error: unknown) => error instanceof LowrankError && message.test(error.message),
    );
  });
}

const brokenModels: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
  ["another model", { type: "WordPiece" }, /model WordPiece/],
  ["dropout", { dropout: 0.1 }, /model.dropout is 0.1/],
  ["byte fallback", { byte_fallback: true }, /model.byte_fallback is true/],
  ["a word suffix", { end_of_word_suffix: "</w>" }, /model.end_of_word_suffix/],
  ["a merge of three parts", { merges: ["a b c"] }, /merge 0 is "a b c"/],
  ["a merge to a token that is missing", { merges: ["z z"] }, /token "zz"/],
  ["an id that is no number", { vocab: { a: "0" } }, /the id of the token "a"/],
  ["a negative id", { vocab: { a: -1 } }, /the id of the token "a"/],
  ["the same id twice", { vocab: { a: 1, b: 1 } }, /"a" and "b" have the same id 1/],
  ["a vocabulary that is a list", { vocab: ["a"] }, /model.vocab must be an object/],
];
for (const [what, change, message] of brokenModels) {
  test(`a model with ${what} is refused`, () => {
    const file = fileWith({ added_tokens: [] });
    assert.throws(
      () => readTokenizerJson({ ...file, model: { ...file.model, ...change } }),
      (error: unknown) => error instanceof LowrankError && message.test(error.message),
    );
  });
}

test("a file that is no JSON, no object or no UTF-8 is refused", () => {
  assert.throws(() => readTokenizerJson("{"), /the file is no JSON/);
  assert.throws(() => readTokenizerJson("[]"), /the file must be an object/);
  assert.throws(() => readTokenizerJson(Uint8Array.of(0x7b, 0xff)), /byte 0xff at offset 1/);
});

test("a byte without a token is an error, or the unknown token where there is one", () => {
  const file = fileWith({});
  const { "\u0101": _, ...vocab } = file.model.vocab;
  const without = readTokenizerJson({ ...file, model: { ...file.model, vocab } });
  assert.is(without.decode(without.encode("plain")), "plain");
  assert.throws(() => without.encode("x\u0001"), /no token for its byte 1/);
  const unk = { ...file.model, vocab, unk_token: "?" };
  const tokenizer = readTokenizerJson({ ...file, model: unk });
  assert.is(tokenizer.decode(tokenizer.encode("x\u0001y")), "x?y");
});

test.run();
