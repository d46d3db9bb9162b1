// tokenizer.json from strangers: whatever is in it, it is read or refused with a FormatError.
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/core/error.ts";
import { readTokenizerJson } from "../../src/data/readTokenizerJson.ts";
import { writeTokenizerJson } from "../../src/data/writeTokenizerJson.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const fixture = JSON.parse(
  readFileSync(new URL("../../../test/fixtures/tokenizer.json", import.meta.url), "utf8"),
) as { [key: string]: Json };
const { vocab, merges } = fixture["model"] as {
  vocab: { [token: string]: number };
  merges: Json[];
};

// Each component that is known, and few tokens, so that a change is seldom lost among them.
const kept = Object.entries(vocab).filter(([, id]) => id < 262);
const file: { [key: string]: Json } = {
  ...fixture,
  added_tokens: [
    ...(fixture["added_tokens"] as Json[]),
    { id: 300, content: "cafe\u0301", special: false, normalized: true, lstrip: false },
  ],
  normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }] },
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { String: "x" }, behavior: "Isolated", invert: false },
      { type: "Digits", individual_digits: true },
      { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    ],
  },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    special_tokens: { "<s>": { id: "<s>", ids: [5], tokens: ["<s>"] } },
  },
  model: {
    ...(fixture["model"] as { [key: string]: Json }),
    vocab: Object.fromEntries(kept),
    merges: merges.slice(0, 6),
  },
};

/** The places of all values in a tree. */
function places(value: Json, path: readonly (string | number)[] = []): (string | number)[][] {
  const own = [...path];
  if (typeof value !== "object" || value === null) return [own];
  const inner = Object.entries(value).flatMap(([key, child]) => places(child, [...path, key]));
  return [own, ...inner];
}

function changed(value: Json, path: readonly (string | number)[], by: Json | undefined): Json {
  const [key, ...rest] = path;
  if (key === undefined) return by ?? null;
  // An earlier change has put something else here.
  if (typeof value !== "object" || value === null) return value;
  const copy = structuredClone(value) as { [key: string]: Json };
  if (rest.length === 0 && by === undefined) delete copy[key];
  else copy[key] = changed(copy[key] ?? null, rest, by);
  return copy;
}

const odd: fc.Arbitrary<Json | undefined> = fc.oneof(
  fc.constantFrom<Json | undefined>(
    undefined,
    null,
    true,
    0,
    -1,
    1.5,
    5,
    1e300,
    0xffffff,
    0x1000000,
    "",
    " ",
    "a b",
    "\ud800",
    "\u0000\u001b[2J",
    "__proto__",
    "ByteLevel",
    "Sequence",
    [],
    {},
    [[]],
    [{}],
    ["a", "b", "c"],
  ),
  fc.jsonValue() as fc.Arbitrary<Json>,
);

function readOrRefuse(source: string | object | Uint8Array): void {
  let tokenizer: ReturnType<typeof readTokenizerJson>;
  try {
    tokenizer = readTokenizerJson(source);
  } catch (error) {
    assert.instance(error, FormatError);
    assert.ok((error as Error).message.length < 1500, (error as Error).message);
    return;
  }
  // What is accepted can be used and written.
  readTokenizerJson(writeTokenizerJson(tokenizer));
  tokenizer.decode(Array.from({ length: 310 }, (_, id) => Math.min(id, tokenizer.vocabSize - 1)));
  try {
    tokenizer.encode("a café 12x<|endoftext|>", { addSpecialTokens: true });
  } catch (error) {
    assert.match((error as Error).message, /cannot be encoded/);
  }
}

test("the unchanged file is read", () => {
  assert.is(readTokenizerJson(file).decode([300]), "cafe\u0301");
});

test("a file with any values changed, removed or added is read or refused", () => {
  const all = places(file);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(), odd), { minLength: 1, maxLength: 3 }), (changes) => {
      let value: Json = file;
      for (const [place, by] of changes) value = changed(value, all[place % all.length]!, by);
      readOrRefuse(JSON.stringify(value));
      readOrRefuse(value as object);
    }),
    { numRuns: 400 },
  );
});

test("a file with any bytes changed or cut off is read or refused", () => {
  const bytes = new TextEncoder().encode(JSON.stringify(file));
  const change = fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 4 }), fc.nat(bytes.length), (changes, length) => {
      const copy = bytes.slice(0, changes.length === 0 ? length : bytes.length);
      for (const [at, byte] of changes) copy[at] = byte;
      readOrRefuse(copy);
    }),
    { numRuns: 400 },
  );
});

const model = file["model"] as { [key: string]: Json };
const deep = (n: number) => `${'{"type":"Sequence","normalizers":['.repeat(n)}${"]}".repeat(n)}`;
const textWith = (key: string, spelled: string) =>
  JSON.stringify({ ...file, [key]: "HERE" }).replace('"HERE"', () => spelled);
const modelWith = (members: { [key: string]: Json }) => ({
  ...file,
  model: { ...model, ...members },
});

const cyclic: { [key: string]: unknown } = { ...file };
cyclic["self"] = cyclic;
let nested: object = {};
for (let i = 0; i < 100_000; i++) nested = { type: "Sequence", normalizers: [nested] };

const hostile: Readonly<Record<string, readonly [string | object, RegExp]>> = {
  "Sequences nested a hundred thousand deep": [
    textWith("normalizer", deep(100_000)),
    /nesting deeper than 64/,
  ],
  "lists nested millions deep": [
    textWith("extra", "[".repeat(4_000_000)),
    /nesting deeper than 64/,
  ],
  "an object nested a hundred thousand deep": [
    { ...file, normalizer: nested },
    /cannot be written/,
  ],
  "an object that holds itself": [cyclic, /cannot be written/],
  "half a surrogate as an added token": [
    { ...file, added_tokens: [{ id: 301, content: "\ud800" }] },
    /half a surrogate pair/,
  ],
  "half a surrogate in the vocabulary": [
    modelWith({ vocab: { "a\udc00": 1 } }),
    /half a surrogate pair/,
  ],
  "half a surrogate in a text": [textWith("extra", '"\ud800"'), /half a surrogate pair/],
  "an id beyond all": [modelWith({ vocab: { a: 1e15 } }), /expected 0 to 16777215/],
  "an id of thousands of digits": [
    JSON.stringify(modelWith({ vocab: { a: 7 } })).replace(/:7\b/, `:${"9".repeat(9000)}`),
    /the id of the token "a"/,
  ],
  "the same key twice": [
    JSON.stringify(file).replace("{", '{"model":5,'),
    /the file has the key "model" twice/,
  ],
  "the same token twice": [
    JSON.stringify(modelWith({ vocab: { a: 1, b: 2 }, merges: [] })).replace('"b":2', '"a":2'),
    /the token "a" is in the vocabulary twice/,
  ],
  "merges that are numbers": [modelWith({ merges: [5] }), /merge 0 is 5; expected/],
  "a merge of a hundred thousand parts": [
    modelWith({ merges: [Array.from({ length: 100_000 }, () => "a")] }),
    /merge 0 has more than 10000 values/,
  ],
  "a template that repeats a long list of ids": [
    {
      ...file,
      post_processor: {
        type: "TemplateProcessing",
        single: Array.from({ length: 2000 }, () => ({ SpecialToken: { id: "s" } })),
        special_tokens: { s: { ids: Array.from({ length: 2000 }, () => 5) } },
      },
    },
    /more than 64 tokens around a text/,
  ],
  "a template without the text": [
    { ...file, post_processor: { type: "TemplateProcessing", single: [] } },
    /holds the text 0 times/,
  ],
  "thousands of pre-tokenizers": [
    {
      ...file,
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: Array.from({ length: 3000 }, () => ({ type: "Digits" })),
      },
    },
    /3000 pre-tokenizers; expected at most 64/,
  ],
  "a token of a megabyte with the id of another": [
    modelWith({ vocab: { a: 1, ["b".repeat(1 << 20)]: 1 } }),
    /have the same id 1/,
  ],
  "NaN in a component": [textWith("decoder", '{"type":"ByteLevel","x":NaN}'), /decoder holds NaN/],
};
for (const [name, [source, message]] of Object.entries(hostile)) {
  test(`${name}: refused in a sentence, at once`, () => {
    const began = performance.now();
    assert.throws(
      () => readTokenizerJson(source),
      (error: unknown) =>
        error instanceof FormatError && message.test(error.message) && error.message.length < 1500,
    );
    assert.ok(performance.now() - began < 10_000);
  });
}

test("ids far apart cost no more than close ones", () => {
  const tokenizer = readTokenizerJson(
    modelWith({ vocab: { ...Object.fromEntries(kept), far: 0xffffff }, merges: [] }),
  );
  assert.is(tokenizer.vocabSize, 0x1000000);
  assert.is(tokenizer.decode([0xffffff, 400, 5]), `far${tokenizer.decode([5])}`);
});

test.run();
