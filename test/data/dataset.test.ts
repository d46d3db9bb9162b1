// Datasets: the order of batches, epochs, what is held out, and the summary.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { corpusDataset } from "../../src/data/corpusDataset.ts";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { textDataset } from "../../src/data/textDataset.ts";
import { characters, distinctText, epoch, sorted, targetsOf } from "./characters.ts";

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

test.run();
