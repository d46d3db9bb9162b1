// From documents to rows: what shares a row, what is trained, and that nothing is lost.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { IGNORE_INDEX, makeBatch } from "../../src/data/batch.ts";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { cutWhole, packDocuments } from "../../src/data/packing.ts";
import { RoomIndex } from "../../src/data/roomIndex.ts";
import { characters, sorted, targetsOf } from "./characters.ts";

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

// Best fit decreasing as it reads: each segment into the fullest row that has room, of equals the one filled last.
function slowRows(lengths: readonly number[], blockSize: number): number[][] {
  const segments = lengths.flatMap((length) =>
    Array.from({ length: Math.ceil((length - 1) / blockSize) }, (_, i) =>
      Math.min(blockSize, length - 1 - i * blockSize),
    ),
  );
  segments.sort((a, b) => b - a);
  const rows: { room: number; touched: number; segments: number[] }[] = [];
  for (const [time, segment] of segments.entries()) {
    const fitting = rows.filter(({ room }) => room >= segment);
    fitting.sort((a, b) => a.room - b.room || b.touched - a.touched);
    let [row] = fitting;
    if (row === undefined) {
      row = { room: blockSize, touched: 0, segments: [] };
      rows.push(row);
    }
    row.room -= segment;
    row.touched = time;
    row.segments.push(segment);
  }
  return rows.map(({ segments: own }) => own);
}

test("rows are those of best fit decreasing, also of long rows", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 90 }), { maxLength: 60 }),
      fc.constantFrom(1, 7, 31, 32, 33, 64, 1100),
      (lengths, blockSize) => {
        const inputs = lengths.map((length) => ({
          tokens: new Int32Array(length),
          trainedFrom: 0,
        }));
        const rows = packDocuments(inputs, blockSize);
        assert.equal(
          rows.map((row) => row.map(({ length }) => length)),
          slowRows(lengths, blockSize),
        );
      },
    ),
    { numRuns: 300 },
  );
});

test("the next number of a set is found whatever lies between", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(40_000)), fc.array(fc.nat(40_000)), (added, removed) => {
      const index = new RoomIndex(40_000);
      for (const value of added) index.add(value);
      for (const value of removed) index.remove(value);
      const left = sorted(added.filter((value) => !removed.includes(value)));
      for (const value of [0, ...added, ...removed, 40_000]) {
        assert.is(index.next(value), left.find((one) => one >= value) ?? -1);
      }
    }),
  );
});

test("a whole text is cut from its beginning on, with or without a token before it", () => {
  const tokens = Int32Array.from({ length: 23 }, (_, i) => i + 1);
  for (const [before, first] of [
    [undefined, 1],
    [0, 0],
  ] as const) {
    const { count, row } = cutWhole(tokens, 5, before);
    const rows = Array.from({ length: count }, (_, i) => row(i, 0));
    const batch = makeBatch(rows, 5);
    const wanted = Array.from({ length: 23 - first }, (_, i) => first + i);
    const trained = [...batch.targets.keys()].filter((at) => batch.targets[at] !== IGNORE_INDEX);
    assert.equal(
      trained.map((at) => batch.inputs[at]),
      wanted,
    );
    assert.equal(
      trained.map((at) => batch.targets[at]),
      wanted.map((id) => id + 1),
    );
  }
  assert.is(cutWhole(tokens.subarray(0, 1), 5).count, 0);
});

test("a stretch of prompt without any trained target takes no row", () => {
  const rows = packDocuments([{ tokens: new Int32Array(101), trainedFrom: 100 }], 10);
  assert.equal(
    rows.map((row) => row.map(({ from, length }) => [from, length])),
    [[[90, 10]]],
  );
});

test.run();
