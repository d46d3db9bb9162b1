// What is put before and after texts, for any tokenizer.
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeRecord } from "../../src/data/documents.ts";
import { missingBegin, missingEnd, promptTokens } from "../../src/data/documentTokens.ts";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { textDataset } from "../../src/data/textDataset.ts";
import type { Tokenizer } from "../../src/data/tokenizer.ts";
import { trainTokenizer } from "../../src/data/trainTokenizer.ts";
import { wholeText } from "../../src/data/wholeText.ts";
import { characters } from "./characters.ts";

const templated: Tokenizer = { ...characters(), beginIds: [1, 2], endIds: [3, 4] };

test("what a text begins or ends with of the ids itself is not put there again", () => {
  for (const [ids, before, after] of [
    [[97], [1, 2], [3, 4]],
    [[2, 97, 3], [1], [4]],
    [[1, 2, 97, 3, 4], [], []],
    [
      [1, 97, 4],
      [1, 2],
      [3, 4],
    ],
    [[], [1, 2], [3, 4]],
  ] as const) {
    assert.equal(missingBegin(templated, ids), before);
    assert.equal(missingEnd(templated, ids), after);
  }
});

test("without lists of their own, texts begin and end with the begin and end token, prompts stay open", () => {
  const tokenizer = characters({ bosTokenId: 1, eosTokenId: 2 });
  assert.equal(
    [...encodeRecord(tokenizer, { prompt: "a", completion: "b" }).tokens],
    [1, 97, 98, 2],
  );
  assert.equal([...promptTokens({ tokenizer }, "ab")], [1, 97, 98]);
  assert.equal([...promptTokens({ tokenizer }, "")], [1]);
  assert.equal([...promptTokens({ tokenizer: characters(), startToken: 7 }, "")], [7]);
  assert.equal([...promptTokens({ tokenizer: characters(), startToken: 7 }, "a")], [97]);
  assert.throws(() => promptTokens({ tokenizer: characters() }, ""), /no begin token/);
});

const bpe = trainTokenizer("", { vocabSize: 258, specialTokens: ["<|endoftext|>", "<|im_end|>"] });

test("a prompt is laid out as the beginning of a document, whatever the two texts", () => {
  const piece = fc.constantFrom("a", " b", "é", "<|endoftext|>", "<|im_end|>");
  const text = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
  fc.assert(
    fc.property(text, text, (prompt, rest) => {
      const { tokens } = encodeRecord(bpe, { prompt, completion: `${rest}x` });
      const begun = promptTokens({ tokenizer: bpe }, prompt);
      if (prompt !== "") assert.equal([...tokens.subarray(0, begun.length)], [...begun]);
    }),
  );
});

test("bytes are those of the text, without the special tokens that are spelled in it", () => {
  const completion = " é<|im_end|>\n<|endoftext|>";
  const record = { prompt: "x", completion };
  assert.is(encodeRecord(bpe, record).trainedBytes, 4);
  const options = { batchSize: 1, blockSize: 8, validation: 0 };
  assert.is(jsonlDataset(bpe, JSON.stringify(record), options).summary.trainBytes, 4);
  const text = "ab<|endoftext|>".repeat(100);
  const { trainBytes, validationBytes } = textDataset(bpe, text, {
    ...options,
    validation: 0.5,
  }).summary;
  assert.is(trainBytes + validationBytes, 200);
  const all = { blockSize: 8, name: "text" } as const;
  assert.is(wholeText(bpe, text, { ...all, form: "plain" }).bytes, 200);
  assert.is(wholeText(bpe, JSON.stringify(record), { ...all, form: "lines" }).bytes, 4);
});

test.run();
