import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readLlama2cTokenizer } from "../../src/data/llama2c.ts";
import { DecodeStream } from "../../src/data/tokenizer.ts";

// A tokenizer file of our own: the 259 fixed tokens, then the given ones with their scores.
function makeFile(tokens: readonly (readonly [string, number])[]): Uint8Array {
  const bytes: number[] = [4, 0, 0, 0];
  const fixed = Array.from({ length: 259 }, (): [string, number] => ["?", 0]);
  for (const [text, score] of [...fixed, ...tokens]) {
    const content = new TextEncoder().encode(text);
    const head = new DataView(new ArrayBuffer(8));
    head.setFloat32(0, score, true);
    head.setInt32(4, content.length, true);
    bytes.push(...new Uint8Array(head.buffer), ...content);
  }
  return Uint8Array.from(bytes);
}

const letters = ["a", "b", "c", " ", "\u00e9"].map((text): [string, number] => [text, -1e9]);
const file = makeFile([...letters, ["ab", -2], ["bc", -1], ["abc", -3], ["aa", -2]]);
const small = readLlama2cTokenizer(file, 268);

test("the join with the best score comes first, the leftmost of equals", () => {
  // Ids: a 259, b 260, c 261, space 262, e-acute 263, ab 264, bc 265, abc 266, aa 267.
  assert.equal(Array.from(small.encode("abc")), [262, 266]);
  assert.equal(Array.from(small.encode("aab")), [262, 267, 260]);
  assert.equal(Array.from(small.encode("ab")), [262, 264]);
  assert.equal(Array.from(small.encode("aaa")), [262, 267, 259]);
  assert.equal(Array.from(small.encode("")), []);
});

test("a character without a token becomes its bytes, byte b as id b + 3", () => {
  assert.equal(Array.from(small.encode("\u00e9z\u00fc")), [262, 263, 0x7a + 3, 0xc3 + 3, 0xbc + 3]);
});

test("decoding gives the text back, and streaming gives the same", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", "b", "c", " ", "\u00e9", "z", "\u4e16", "\n") }),
      (text) => {
        const ids = Array.from(small.encode(text));
        assert.is(small.decode([1, ...ids, 2]), text);
        const stream = new DecodeStream(small);
        assert.is([1, ...ids].map((id) => stream.push(id)).join("") + stream.end(), text);
      },
    ),
  );
});

test("a file that is cut off, too long or for another size is refused", () => {
  assert.throws(() => readLlama2cTokenizer(file, 269), /ends in the middle of token 268/);
  assert.throws(() => readLlama2cTokenizer(file, 267), /bytes after its 267 tokens/);
  assert.throws(() => readLlama2cTokenizer(file.subarray(0, 1000), 268), /ends in the middle/);
  assert.throws(() => readLlama2cTokenizer(file, 100), /expected at least 259/);
  assert.throws(() => small.decode([268]), /not among the 268/);
});

const folder = new URL("../../../../shared/models/stories260K/", import.meta.url);
if (existsSync(folder)) {
  const bytes = readFileSync(new URL("tok512.bin", folder));
  const golden = JSON.parse(readFileSync(new URL("golden.json", folder), "utf8")) as {
    ids: number[];
  };
  const tokenizer = readLlama2cTokenizer(bytes, 512);

  test("the golden ids of stories260K decode to a text that encodes to them", () => {
    const text = tokenizer.decode(golden.ids);
    assert.match(text, /^Once upon a time, there was a little girl/);
    assert.equal([1, ...tokenizer.encode(text)], golden.ids);
    assert.equal(
      Array.from(tokenizer.encode("Once upon a time, there was")),
      [403, 407, 261, 378, 432, 383, 286],
    );
  });
} else {
  console.log("skipped: the tokenizer of stories260K (../shared is not here)");
}

test.run();
