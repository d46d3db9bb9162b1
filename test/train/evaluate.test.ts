// The tokens of a batch: those that are trained, and those that are read.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { readTokens, trainedTokens } from "../../src/train/evaluate.ts";
import { engines } from "../support/engines.ts";
import { letters, makeRun } from "./run.ts";

const { engine } = (await engines())[0]!;

const word = (most: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(..."abcdefgh"), minLength: 1, maxLength: most });

test("an epoch reads every letter but those that predict nothing, and no padding", () => {
  const records = fc.array(fc.record({ prompt: word(9), completion: word(9) }), {
    minLength: 1,
    maxLength: 12,
  });
  fc.assert(
    fc.property(records, fc.integer({ min: 1, max: 4 }), (documents, batchSize) => {
      const text = documents.map((document) => JSON.stringify(document)).join("\n");
      const data = jsonlDataset(letters, text, { batchSize: 1, blockSize: 20, validation: 0 });
      const batches = [...data.batches(data.summary.rowsPerEpoch)];
      const sum = (count: (batch: (typeof batches)[0]) => number): number =>
        batches.reduce((all, batch) => all + count(batch), 0);
      // The end token, the last of a document, predicts nothing: the letters are what is read.
      const read = documents.reduce((n, d) => n + d.prompt.length + d.completion.length, 0);
      const trained = documents.reduce((n, d) => n + d.completion.length + 1, 0);
      assert.is(sum(readTokens), read);
      assert.is(sum(trainedTokens), trained);
      // As many batches of several rows count all of their rows.
      const wide = jsonlDataset(letters, text, { batchSize, blockSize: 20, validation: 0 });
      const epochs = [...wide.batches(data.summary.rowsPerEpoch)];
      assert.is(
        epochs.reduce((all, batch) => all + readTokens(batch), 0),
        batchSize * read,
      );
    }),
  );
});

test("a step reports the tokens of all its batches", () => {
  engine.run(() => {
    const run = makeRun({ gradientAccumulation: 3 });
    for (let step = 0; step < 2; step++) {
      const { tokens, inputTokens } = run.trainer.trainStep();
      const batches = [0, 1, 2].map((i) => run.data.batchAt(3 * step + i));
      const inRows = batches.reduce((sum, { inputs }) => sum + inputs.length, 0);
      assert.is(
        inputTokens,
        batches.reduce((sum, batch) => sum + readTokens(batch), 0),
      );
      assert.ok(tokens < inputTokens && inputTokens <= inRows, `${tokens}, ${inputTokens}`);
    }
    run.end();
  });
});

test.run();
