// Finding added tokens: which one is found where, and that many or overlapping ones take no longer.
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/core/error.ts";
import { TokenFinder } from "../../src/data/addedTokens.ts";
import { readTokenizerJson } from "../../src/data/readTokenizerJson.ts";

type Part = string | number;

function partsOf(contents: readonly string[], text: string): Part[] {
  const parts: Part[] = [];
  new TokenFinder(contents).split(text, {
    text: (part) => parts.push(part),
    token: (index) => parts.push(index),
  });
  return parts;
}

/** At each place the longest content that begins there, from left to right. */
function slowParts(contents: readonly string[], text: string): Part[] {
  const parts: Part[] = [];
  let done = 0;
  for (let at = 0; at < text.length; ) {
    const here = contents.filter((content) => text.startsWith(content, at));
    const longest = Math.max(0, ...here.map((content) => content.length));
    if (longest === 0) {
      at++;
      continue;
    }
    if (at > done) parts.push(text.slice(done, at));
    parts.push(contents.findIndex((content) => content === text.slice(at, at + longest)));
    at += longest;
    done = at;
  }
  if (done < text.length) parts.push(text.slice(done));
  return parts;
}

const few = fc.string({ unit: fc.constantFrom("a", "b", "<", "é"), minLength: 1, maxLength: 6 });

test("the leftmost token is found, and the longest of those", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "<", "é", "x"), maxLength: 400 });
  fc.assert(
    fc.property(fc.array(few, { minLength: 1, maxLength: 12 }), text, (contents, whole) => {
      assert.equal(partsOf(contents, whole), slowParts(contents, whole));
    }),
    { numRuns: 2000 },
  );
});

test("a hundred thousand tokens, and tokens that begin alike, take about the time of one", () => {
  const numbered = Array.from({ length: 100_000 }, (_, i) => `<|reserved_${i}|>`);
  const nested = Array.from({ length: 1500 }, (_, i) => `${"a".repeat(i + 1)}b`);
  const began = performance.now();
  const parts = partsOf(numbered, `${"<|reserved_9x".repeat(50_000)}<|reserved_99999|>`);
  assert.is(parts.at(-1), 99_999);
  assert.is(parts.length, 2);
  // No token is found, though one of 1500 letters could begin at each.
  assert.is(partsOf(nested, "a".repeat(500_000)).length, 1);
  assert.is(partsOf([...nested, "a"], "a".repeat(200_000)).length, 200_000);
  // Trying each token at each place takes hours.
  assert.ok(performance.now() - began < 30_000);
});

test("added tokens of more characters than any tokenizer has are refused", () => {
  const one = "x".repeat(1 << 20);
  const contents = ["a", "b", "c", "d", "e"].map((end) => one + end);
  assert.throws(
    () => new TokenFinder(contents),
    (error: unknown) => error instanceof FormatError && /5242885 characters/.test(error.message),
  );
});

const file = JSON.parse(
  readFileSync(new URL("../../../test/fixtures/tokenizer.json", import.meta.url), "utf8"),
) as Record<string, unknown>;
const word = { id: 600, special: false, single_word: false, lstrip: false, rstrip: false };

test("a token that is looked for in normalised text is found in each spelling of its content", () => {
  for (const [form, content] of [
    ["NFC", "cafe\u0301"],
    ["NFD", "caf\u00e9"],
    ["NFKC", "\ufb01n"],
  ] as const) {
    const tokenizerWith = (normalized: boolean) =>
      readTokenizerJson({
        ...file,
        normalizer: { type: form },
        added_tokens: [{ ...word, content, normalized }],
      });
    for (const spelling of [content, content.normalize("NFC"), content.normalize("NFKD")]) {
      assert.equal([...tokenizerWith(true).encode(spelling)], [600], `${form} ${spelling}`);
    }
    // One that is not normalised is found as it is spelled, before the text is normalised.
    assert.equal([...tokenizerWith(false).encode(content)], [600]);
    assert.not.ok(tokenizerWith(false).encode(content.normalize(form)).includes(600));
  }
});

test.run();
