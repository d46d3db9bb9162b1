import { readFileSync } from "node:fs";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BpeTokenizer } from "../../src/data/bpeTokenizer.ts";
import { byteCharacters, sortedByteCharacters, tokenToBytes } from "../../src/data/byteLevel.ts";
import { Heap } from "../../src/data/heap.ts";
import { MergeTable } from "../../src/data/merges.ts";
import { DecodeStream } from "../../src/data/tokenizer.ts";
import { trainTokenizer } from "../../src/data/trainTokenizer.ts";

const corpus = readFileSync(new URL("../../../data/king-james.txt", import.meta.url), "utf8");
const tokenizer = trainTokenizer(corpus, { vocabSize: 512 });

// Any text, and texts made of words of the corpus, in which merges happen.
const words = corpus.slice(0, 5000).split(/(?<= )/);
const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc
    .array(fc.constantFrom(...words, "<|endoftext|>", "\ufeff", "\u0085", "  ", "\r\n"))
    .map((w) => w.join("")),
);

test("decoding what was encoded gives the text back, whatever the text", () => {
  fc.assert(
    fc.property(anyText, fc.boolean(), (text, allowSpecial) => {
      assert.is(tokenizer.decode(tokenizer.encode(text, { allowSpecial })), text);
    }),
    { numRuns: 1000 },
  );
});

test("arbitrary bytes survive as Latin-1 text", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const text = String.fromCharCode(...bytes);
      assert.is(tokenizer.decode(tokenizer.encode(text)), text);
    }),
  );
});

test("a lone surrogate becomes U+FFFD and disturbs nothing else", () => {
  assert.is(tokenizer.decode(tokenizer.encode("a \ud800 b\udc00")), "a \ufffd b\ufffd");
});

test("the tokens of a text spell its bytes", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const bytes = Array.from(tokenizer.encode(text)).flatMap((id) => [
        ...tokenizer.tokenBytes(id),
      ]);
      assert.equal(bytes, [...new TextEncoder().encode(text)]);
    }),
  );
});

// Byte-pair encoding as its definition reads: find the best pair by looking at all of them, join, repeat.
function slowEncode(word: string, bpe: BpeTokenizer): string[] {
  const ranks = new Map(bpe.definition.merges.map(([a, b], rank) => [`${a} ${b}`, rank]));
  const parts = Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte]!);
  for (;;) {
    let best = -1;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let i = 0; i + 1 < parts.length; i++) {
      const rank = ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? Number.POSITIVE_INFINITY;
      if (rank >= bestRank) continue;
      best = i;
      bestRank = rank;
    }
    if (best < 0) return parts;
    parts.splice(best, 2, parts[best]! + parts[best + 1]!);
  }
}

test("merging by heap and list gives the same tokens as searching all pairs again and again", () => {
  const letters = fc.string({
    unit: fc.constantFrom("a", "e", "h", "n", "t", "d", "s"),
    minLength: 1,
    maxLength: 60,
  });
  fc.assert(
    fc.property(
      fc.oneof(letters, fc.constantFrom(...words.map((word) => word.trim()).filter(Boolean))),
      (word) => {
        const ids = tokenizer.encode(word);
        const expected = (word.match(/[A-Za-z]+|[^A-Za-z]+/g) ?? []).flatMap((part) =>
          slowEncode(part, tokenizer),
        );
        assert.equal(
          Array.from(ids),
          expected.map((token) => tokenizer.definition.vocab.get(token)),
        );
      },
    ),
    { numRuns: 500 },
  );
});

test("a text without a single space is encoded in time that grows about as its length", () => {
  const text = "begat".repeat(40000);
  const started = performance.now();
  const ids = tokenizer.encode(text);
  // 200,000 symbols: quadratic merging would take minutes.
  assert.ok(performance.now() - started < 10000);
  assert.is(tokenizer.decode(ids), text);
});

test("special tokens in the text are recognised, unless that is forbidden", () => {
  const end = tokenizer.eosTokenId!;
  assert.is(tokenizer.bosTokenId, end);
  assert.equal(Array.from(tokenizer.encode("<|endoftext|>")), [end]);
  const plain = tokenizer.encode("<|endoftext|>", { allowSpecial: false });
  assert.not.ok(plain.includes(end));
  assert.is(tokenizer.addedTokenId("<|endoftext|>"), end);
  assert.is(tokenizer.addedTokenId("<s>"), undefined);
  const ids = tokenizer.encode("a<|endoftext|>b");
  assert.is(tokenizer.decode(ids), "a<|endoftext|>b");
  assert.is(tokenizer.decode(ids, { skipSpecialTokens: true }), "ab");
});

test("an id outside the vocabulary is an error that says how large it is", () => {
  for (const id of [512, -1, 1.5, Number.NaN]) {
    assert.throws(() => tokenizer.decode([id]), /not in the vocabulary, whose ids are 0 to 511/);
  }
});

test("a stream holds back unfinished characters and prints the rest at once", () => {
  const stream = new DecodeStream(tokenizer);
  const ids = Array.from(tokenizer.encode("a\u00e9"));
  assert.is(ids.length, 3);
  assert.equal(
    ids.map((id) => stream.push(id)),
    ["a", "", "\u00e9"],
  );
  assert.is(stream.push(ids[1]!), "");
  assert.is(stream.end(), "\ufffd");
  assert.is(stream.end(), "");
});

test("streamed pieces joined are the decoded whole, whatever the ids", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(511)), (ids) => {
      const stream = new DecodeStream(tokenizer);
      assert.is(ids.map((id) => stream.push(id)).join("") + stream.end(), tokenizer.decode(ids));
    }),
    { numRuns: 500 },
  );
});

test("training depends on the texts alone", () => {
  const lines = corpus.slice(0, 30000).split("\n");
  const first = trainTokenizer(lines, { vocabSize: 400 });
  const second = trainTokenizer(lines.toReversed(), { vocabSize: 400 });
  assert.equal(first.definition.merges, second.definition.merges);
  assert.is(first.vocabSize, 400);
});

test("the most frequent pair is joined first, and of equals the one with the smaller ids", () => {
  const { merges } = trainTokenizer("xy xy xy bc bc ab ab", {
    vocabSize: 300,
    specialTokens: [],
  }).definition;
  // " x" and " xy" stand in the text twice, for the first word has no space in front; "\u0120" is the space.
  assert.equal(merges[0], ["x", "y"]);
  // Ids follow the code points of the byte alphabet, in which the space comes after all letters.
  assert.equal(merges[1], ["a", "b"]);
  assert.equal(merges[2], ["b", "c"]);
});

test("a small text gives a smaller vocabulary, and no pair that occurs once is joined", () => {
  const small = trainTokenizer("abcdef", { vocabSize: 1000 });
  assert.is(small.vocabSize, 257);
  assert.is(small.decode(small.encode("abc \u00e9")), "abc \u00e9");
  assert.is(trainTokenizer("abcdef", { vocabSize: 1000, minFrequency: 1 }).vocabSize, 262);
});

test("special tokens are not trained on and come last", () => {
  const trained = trainTokenizer("<s>aa</s><s>aa</s>", {
    vocabSize: 300,
    specialTokens: ["<s>", "</s>"],
  });
  assert.equal(trained.definition.merges, [["a", "a"]]);
  assert.equal(Array.from(trained.encode("<s>aa</s>")), [257, 256, 258]);
});

test("a vocabulary without room for the bytes and the special tokens is refused", () => {
  assert.throws(
    () => trainTokenizer("a", { vocabSize: 256 }),
    /vocabSize is 256; expected a whole number from 257/,
  );
  assert.throws(() => trainTokenizer("a", { vocabSize: 300.5 }), /vocabSize is 300.5/);
  assert.throws(
    () => trainTokenizer("a", { vocabSize: 300, specialTokens: ["x", "x"] }),
    /specialTokens/,
  );
});

test("the byte alphabet has 256 printable characters, and tokens are spelled in them alone", () => {
  assert.is(new Set(byteCharacters).size, 256);
  // GPT-2's vocabulary.json: "!" is 0, "~" 93, and the space, "\u0120", 220.
  assert.is(sortedByteCharacters[0], "!");
  assert.is(sortedByteCharacters[93], "~");
  assert.is(sortedByteCharacters[220], "\u0120");
  assert.is(byteCharacters[32], "\u0120");
  assert.is(byteCharacters[10], "\u010a");
  assert.equal(tokenToBytes("\u0120a\u010a"), Uint8Array.of(32, 97, 10));
  assert.is(tokenToBytes("a b"), undefined);
});

test("a heap gives its elements back in order", () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), (numbers) => {
      const heap = new Heap<number>((a, b) => a < b);
      for (const number of numbers) heap.push(number);
      const popped = numbers.map(() => heap.pop());
      assert.equal(
        popped,
        numbers.toSorted((a, b) => a - b),
      );
      assert.is(heap.pop(), undefined);
    }),
  );
});

test("a merge table joins the leftmost of equal ranks first", () => {
  const merges = new MergeTable(10);
  assert.ok(merges.add(1, 1, 0, 2));
  assert.not.ok(merges.add(1, 1, 1, 3));
  assert.equal(merges.apply([1, 1, 1]), [2, 1]);
  assert.equal(merges.apply([1, 1, 1, 1, 5]), [2, 2, 5]);
  assert.equal(merges.apply([]), []);
});

test.run();
