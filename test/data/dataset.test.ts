import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, UsageError } from "../../src/core/error.ts";
import { type Batch, IGNORE_INDEX, makeBatch } from "../../src/data/batch.ts";
import { corpusDataset } from "../../src/data/corpusDataset.ts";
import type { Dataset } from "../../src/data/dataset.ts";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { packDocuments } from "../../src/data/packing.ts";
import { textDataset } from "../../src/data/textDataset.ts";
import type { Tokenizer } from "../../src/data/tokenizer.ts";

// One token a character: its code. So tokens can be followed through packing by eye.
function characters(extra: { bosTokenId?: number; eosTokenId?: number } = {}): Tokenizer {
  return {
    vocabSize: 0x10000,
    encode: (text) => Array.from(text, (character) => character.charCodeAt(0)),
    decode: (ids) => Array.from(ids, (id) => String.fromCharCode(id)).join(""),
    ...extra,
  };
}

// A text in which no character occurs twice, so that every target tells where it comes from.
function distinctText(length: number): string {
  return Array.from({ length }, (_, i) => String.fromCharCode(0x4e00 + i)).join("");
}

function targetsOf(batches: Iterable<Batch>): number[] {
  return [...batches].flatMap((batch) => [...batch.targets]).filter((t) => t !== IGNORE_INDEX);
}

function sorted(numbers: Iterable<number>): number[] {
  return [...numbers].sort((a, b) => a - b);
}

// The batches that make up epoch e of a dataset with one row a batch.
function* epoch(data: Dataset, e: number): Iterable<Batch> {
  const { rowsPerEpoch } = data.summary;
  yield* data.batches({ steps: rowsPerEpoch, from: e * rowsPerEpoch });
}

test("two documents share a row without seeing each other", () => {
  const rows = [
    [
      { tokens: Int32Array.of(10, 11, 12, 13), from: 0, length: 3, trainedFrom: 2 },
      { tokens: Int32Array.of(20, 21, 22), from: 0, length: 2, trainedFrom: 0 },
    ],
  ];
  const batch = makeBatch(rows, 7);
  assert.equal([...batch.inputs], [10, 11, 12, 20, 21, 0, 0]);
  assert.equal([...batch.targets], [-100, 12, 13, 21, 22, -100, -100]);
  assert.equal([...batch.starts], [0, 0, 0, 3, 3, 5, 6]);
  assert.equal([...batch.positions], [0, 1, 2, 0, 1, 0, 0]);
  assert.is(batch.trained, 4);
  assert.is(batch.batchSize, 1);
  assert.is(batch.blockSize, 7);
});

test("a prompt of two tokens and a completion of three trains the completion and the end token", () => {
  const line = JSON.stringify({ prompt: "ab", completion: "cde" });
  const data = jsonlDataset(characters({ eosTokenId: 0 }), line, {
    batchSize: 1,
    blockSize: 8,
    validation: 0,
  });
  const batch = data.batchAt(0);
  assert.equal([...batch.inputs], [..."abcde"].map((c) => c.charCodeAt(0)).concat(0, 0, 0));
  const trained = [..."cde"].map((c) => c.charCodeAt(0)).concat(0);
  assert.equal([...batch.targets], [-100, ...trained, -100, -100, -100]);
  assert.is(batch.trained, 4);
  assert.is(data.summary.trainTokens, 4);
  assert.is(data.summary.trainBytes, 3);
});

test("a text line trains all its tokens when the tokenizer has a begin token", () => {
  const tokenizer = characters({ bosTokenId: 1, eosTokenId: 2 });
  const options = { batchSize: 1, blockSize: 8, validation: 0 };
  const batch = jsonlDataset(tokenizer, '{"text":"ab"}', options).batchAt(0);
  assert.equal([...batch.inputs].slice(0, 3), [1, 97, 98]);
  assert.equal([...batch.targets].slice(0, 4), [97, 98, 2, -100]);
  const without = jsonlDataset(characters(), '{"text":"ab"}', options).batchAt(0);
  assert.equal([...without.targets].slice(0, 2), [98, -100]);
});

const documents = fc.array(
  fc.record({ length: fc.integer({ min: 2, max: 40 }), prompt: fc.integer({ min: 0, max: 30 }) }),
  { minLength: 1, maxLength: 30 },
);

test("packing keeps every trained token exactly once, after the token before it", () => {
  fc.assert(
    fc.property(documents, fc.integer({ min: 1, max: 20 }), (sizes, blockSize) => {
      let next = 1;
      const inputs = sizes.map(({ length, prompt }) => ({
        tokens: Int32Array.from({ length }, () => next++),
        trainedFrom: prompt,
      }));
      const batch = makeBatch(packDocuments(inputs, blockSize), blockSize);
      const expected = inputs.flatMap(({ tokens, trainedFrom }) => [
        ...tokens.subarray(Math.max(1, trainedFrom)),
      ]);
      assert.equal(sorted(targetsOf([batch])), sorted(expected));
      assert.is(batch.trained, expected.length);
      // Tokens are numbered through, so the right input is one less than its target.
      for (const [i, target] of batch.targets.entries()) {
        if (target !== IGNORE_INDEX) assert.is(batch.inputs[i], target - 1);
      }
    }),
  );
});

test("positions count from the start of the token's document, and documents are contiguous", () => {
  fc.assert(
    fc.property(documents, fc.integer({ min: 1, max: 20 }), (sizes, blockSize) => {
      const owner = new Map<number, number>();
      let next = 1;
      const inputs = sizes.map(({ length }, document) => {
        const tokens = Int32Array.from({ length }, () => next++);
        for (const token of tokens) owner.set(token, document);
        return { tokens, trainedFrom: 0 };
      });
      const {
        inputs: ids,
        starts,
        positions,
      } = makeBatch(packDocuments(inputs, blockSize), blockSize);
      for (let at = 0; at < ids.length; at++) {
        const t = at % blockSize;
        assert.is(positions[at], t - starts[at]!);
        assert.ok(starts[at]! <= t);
        if (positions[at] === 0) continue;
        assert.is(starts[at], starts[at - 1]);
        assert.is(owner.get(ids[at]!), owner.get(ids[at - 1]!));
      }
    }),
  );
});

test("packing fills rows: any two rows that both have half their places free would have been one", () => {
  fc.assert(
    fc.property(documents, (sizes) => {
      const inputs = sizes.map(({ length }) => ({
        tokens: new Int32Array(length),
        trainedFrom: 0,
      }));
      const rows = packDocuments(inputs, 16);
      const filled = rows.map((row) => row.reduce((sum, { length }) => sum + length, 0));
      assert.ok(filled.every((length) => length >= 1 && length <= 16));
      assert.ok(filled.filter((length) => length <= 8).length <= 1);
    }),
  );
});

test("a stretch of prompt without any trained target takes no row", () => {
  const rows = packDocuments([{ tokens: new Int32Array(101), trainedFrom: 100 }], 10);
  assert.equal(
    rows.map((row) => row.map(({ from, length }) => [from, length])),
    [[[90, 10]]],
  );
});

test("a batch is a pure function of the seed and its number", () => {
  const make = (seed: number) =>
    textDataset(characters(), distinctText(500), { batchSize: 3, blockSize: 10, seed });
  fc.assert(
    fc.property(fc.nat(200), fc.nat(200), fc.nat(5), (a, b, seed) => {
      const data = make(seed);
      const expected = data.batchAt(a);
      data.batchAt(b);
      assert.equal(data.batchAt(a), expected);
      assert.equal(make(seed).batchAt(a), expected);
    }),
    { numRuns: 30 },
  );
  assert.not.equal(make(1).batchAt(0), make(2).batchAt(0));
});

test("batches from a later position are those of the whole run", () => {
  const data = textDataset(characters(), distinctText(500), { batchSize: 4, blockSize: 10 });
  const all = [...data.batches(40)];
  assert.is(all.length, 40);
  assert.equal([...data.batches({ steps: 15, from: 25 })], all.slice(25));
  const endless = data.batches({ from: 7 });
  assert.equal(endless.next().value, all[7]);
});

test("an epoch of a plain text trains no target twice, leaves fewer than two blocks out, and epochs differ", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 12, max: 600 }),
      fc.integer({ min: 1, max: 11 }),
      (length, blockSize) => {
        const text = distinctText(length);
        const data = textDataset(characters(), text, { batchSize: 1, blockSize, validation: 0 });
        const targets = targetsOf(epoch(data, 0));
        assert.is(new Set(targets).size, targets.length);
        assert.ok(targets.length > length - 1 - 2 * blockSize);
        assert.ok(targets.length >= blockSize);
        for (const { inputs, targets } of epoch(data, 1)) {
          for (const [i, input] of inputs.entries()) assert.is(targets[i], input + 1);
        }
      },
    ),
  );
  const data = textDataset(characters(), distinctText(500), { batchSize: 1, blockSize: 10 });
  assert.not.equal(targetsOf(epoch(data, 0)), targetsOf(epoch(data, 1)));
  assert.not.equal(sorted(targetsOf(epoch(data, 0))), sorted(targetsOf(epoch(data, 1))));
});

test("a corpus fills every row, and no document sees another or is trained twice in an epoch", () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(lengths, fc.integer({ min: 1, max: 12 }), (sizes, blockSize) => {
      let next = 0x4e00;
      const train = sizes.map((length) => {
        next += length + 1;
        return String.fromCharCode(...Array.from({ length }, (_, i) => next + i - length));
      });
      const pairs = sizes.reduce((sum, length) => sum + length - 1, 0);
      const make = () =>
        corpusDataset(characters(), { train, validation: train }, { batchSize: 1, blockSize });
      if (pairs < blockSize) {
        assert.throws(make, /too short: its \d+ texts have \d+ tokens to predict/);
        return;
      }
      const data = make();
      for (const e of [0, 1, 2]) {
        const targets = targetsOf(epoch(data, e));
        assert.is(targets.length, data.summary.rowsPerEpoch * blockSize);
        assert.is(new Set(targets).size, targets.length);
        assert.ok(targets.length > pairs - 2 * blockSize);
      }
      for (const { inputs, targets, positions } of data.batches(50)) {
        for (const [i, input] of inputs.entries()) {
          // Documents are a code apart, so a pair across a border would differ by two.
          assert.is(targets[i], input + 1);
          if (positions[i] !== 0) assert.is(inputs[i - 1], input - 1);
        }
      }
      const first = new Set(train.map((text) => text.charCodeAt(0)));
      const all = train.flatMap((text) => [...text].map((c) => c.charCodeAt(0)));
      const expected = all.filter((code) => !first.has(code));
      assert.equal(sorted(targetsOf(data.validationBatches())), sorted(expected));
      assert.is(data.summary.trainTokens, pairs);
    }),
  );
});

test("every target of a plain text is trained in some epoch", () => {
  const data = textDataset(characters(), distinctText(300), {
    batchSize: 1,
    blockSize: 10,
    validation: 0,
  });
  const seen = new Set<number>();
  for (let e = 0; e < 200; e++) for (const target of targetsOf(epoch(data, e))) seen.add(target);
  assert.is(seen.size, 299);
});

test("every epoch of JSON lines trains each target once, in another order", () => {
  let next = 0;
  const lines = Array.from({ length: 40 }, (_, i) => {
    const text = Array.from({ length: 1 + (i % 7) }, () => String.fromCharCode(0x4e00 + next++));
    return JSON.stringify({ text: text.join("") });
  });
  const data = jsonlDataset(characters({ bosTokenId: 1 }), lines.join("\n"), {
    batchSize: 1,
    blockSize: 10,
    validation: 0,
  });
  const expected = Array.from({ length: next }, (_, i) => 0x4e00 + i);
  for (const e of [0, 1, 7]) assert.equal(sorted(targetsOf(epoch(data, e))), expected);
  assert.not.equal(targetsOf(epoch(data, 0)), targetsOf(epoch(data, 1)));
});

test("a batch larger than an epoch takes rows from the next one", () => {
  const data = textDataset(characters(), distinctText(41), {
    batchSize: 7,
    blockSize: 10,
    validation: 0,
  });
  assert.is(data.summary.rowsPerEpoch, 4);
  assert.is(data.summary.batchesPerEpoch, 4 / 7);
  const batch = data.batchAt(0);
  assert.is(batch.trained, 70);
  assert.is(new Set(batch.targets.subarray(0, 40)).size, 40);
});

test("validation covers each held-out token of a plain text once, in batches of which the last may be smaller", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 60, max: 400 }),
      fc.integer({ min: 1, max: 5 }),
      (length, batchSize) => {
        const text = distinctText(length);
        const data = textDataset(characters(), text, { batchSize, blockSize: 7, validation: 0.3 });
        const held = targetsOf(data.validationBatches());
        assert.is(held.length, data.summary.validationTokens);
        assert.equal(
          held,
          [...text].slice(length - held.length).map((c) => c.charCodeAt(0)),
        );
        assert.ok(Math.abs(held.length - 0.3 * length) <= 1);
        const batches = [...data.validationBatches()];
        assert.ok(batches.slice(0, -1).every((batch) => batch.batchSize === batchSize));
        assert.is(data.summary.validationBytes, 3 * held.length);
        assert.is(data.summary.trainBytes, 3 * (length - held.length));
      },
    ),
  );
});

test("training never sees a held-out target, of plain text or of JSON lines", () => {
  const text = distinctText(300);
  const lines = [...text].map((c) => JSON.stringify({ text: c })).join("\n");
  const tokenizer = characters({ bosTokenId: 1 });
  const options = { batchSize: 2, blockSize: 9, validation: 0.2, seed: 3 };
  for (const data of [
    textDataset(tokenizer, text, options),
    jsonlDataset(tokenizer, lines, options),
  ]) {
    const held = new Set(targetsOf(data.validationBatches()));
    assert.is(held.size, 60);
    assert.not.ok(targetsOf(data.batches(100)).some((target) => held.has(target)));
  }
});

test("the held-out documents do not depend on the seed", () => {
  const lines = [...distinctText(50)].map((c) => JSON.stringify({ text: c })).join("\n");
  const held = [1, 2].map((seed) => {
    const options = { batchSize: 2, blockSize: 9, seed };
    return sorted(
      targetsOf(jsonlDataset(characters({ bosTokenId: 1 }), lines, options).validationBatches()),
    );
  });
  assert.is(held[0]!.length, 5);
  assert.equal(held[0], held[1]);
});

test("a plain text is parted at the beginning of a line, or else of a word", () => {
  const options = { batchSize: 1, blockSize: 5, validation: 0.1 };
  const inputsOf = (text: string) =>
    targetsOf(textDataset(characters(), text, options).validationBatches());
  const lines = "0123456\n".repeat(200);
  assert.is(String.fromCharCode(...inputsOf(lines)), "0123456\n".repeat(20));
  const shifted = `${"0123456\n".repeat(200)}abc`;
  assert.ok(String.fromCharCode(...inputsOf(shifted)).startsWith("0123456\n"));
  const words = "0123456 ".repeat(200);
  assert.ok(String.fromCharCode(...inputsOf(words)).startsWith(" 0123456"));
});

test("the summary counts documents, tokens and cut documents", () => {
  const lines = ["abc", "defghijklmnop", "q"].map((text) => JSON.stringify({ text })).join("\n");
  const tokenizer = characters({ bosTokenId: 1, eosTokenId: 2 });
  const data = jsonlDataset(tokenizer, lines, { batchSize: 2, blockSize: 8, validation: 0 });
  assert.equal(data.summary, {
    documents: 3,
    validationDocuments: 0,
    tokens: 17 + 6,
    trainTokens: 17 + 3,
    validationTokens: 0,
    trainBytes: 17,
    validationBytes: 0,
    cutDocuments: 1,
    // 14 + 4 + 2 pairs: 8 | 6 + 2 | 4.
    rowsPerEpoch: 3,
    batchesPerEpoch: 1.5,
  });
  assert.equal([...data.validationBatches()], []);
});

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
