import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/core/error.ts";
import { JsonReader } from "../../src/core/json-reader.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const reader = (text: string): JsonReader => new JsonReader(encode(text), "x.json");

/** How many values JSON.parse would make. */
function count(value: unknown): number {
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce((sum: number, item) => sum + count(item), 1);
}

test("what is stepped over is counted, and the cursor stands behind it", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => {
      const cursor = reader(`${text} ,`);
      // Keys that a Map keeps apart and an object does not are no matter of this test.
      assert.ok(cursor.skip() >= count(JSON.parse(text)));
      assert.ok(cursor.take(","));
      cursor.end();
    }),
  );
});

test("strings are what JSON.parse reads, whatever is escaped", () => {
  const unit = fc.constantFrom(
    "a",
    "é",
    "€",
    "😀",
    '"',
    "\\",
    "\n",
    "\u0000",
    "\u007f",
    "\ud7ff",
    "\ue000",
  );
  const escaped = (char: string): string =>
    [...Array(char.length).keys()]
      .map((i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, "0").toUpperCase()}`)
      .join("");
  const text = fc.array(fc.tuple(unit, fc.boolean()), { maxLength: 300 });
  fc.assert(
    fc.property(text, (units) => {
      const json = `"${units
        .map(([char, all]) => (all ? escaped(char) : JSON.stringify(char).slice(1, -1)))
        .join("")}"`;
      assert.is(reader(json).string(), JSON.parse(json));
    }),
  );
});

test("numbers give their spelling and end where JSON ends them", () => {
  for (const [text, spelling, rest] of [
    ["-0", "-0", ""],
    ["01", "0", "1"],
    ["1.5e+3,", "1.5e+3", ","],
    ["1.", "1", "."],
    ["1e", "1", "e"],
    ["1E-", "1", "E"],
    ["123456789012345678901234567890", "123456789012345678901234567890", ""],
  ] as const) {
    const cursor = reader(text);
    assert.is(cursor.number(), spelling);
    assert.is(cursor.peek(), rest);
  }
});

for (const [what, text] of [
  ["a low surrogate first", '"\\udc00"'],
  ["a high surrogate before a letter", '"\\ud800a"'],
  ["a high surrogate before an escape of another kind", '"\\ud800\\n"'],
  ["two high surrogates", '"\\ud800\\ud800"'],
  ["a broken escape at the end", '"\\u12'],
  ["an unknown escape", '"\\x"'],
  ["a backslash at the end", '"\\'],
] as const) {
  test(`${what} is refused, read or stepped over`, () => {
    for (const use of [(r: JsonReader) => r.string(), (r: JsonReader) => r.skip()]) {
      assert.throws(
        () => use(reader(text)),
        (error: unknown) => error instanceof FormatError,
      );
    }
  });
}

test("a place is counted in characters, not in bytes", () => {
  assert.throws(() => reader('["é€😀"x').skip(), /expected "\]" but found "x", at character 6\.$/);
});

test("bytes that are no UTF-8 are refused wherever they lie", () => {
  for (const at of [1, 65_535, 65_536, 150_000]) {
    const bytes = encode(`"${"a".repeat(200_000)}"`);
    bytes[at] = 0xff;
    assert.throws(() => new JsonReader(bytes, "x.json"), /x\.json is not valid UTF-8/);
  }
  // A character on the border of two pieces is whole.
  const text = `"${"a".repeat(65_534)}é"`;
  assert.is(reader(text).string(), JSON.parse(text));
});

test.run();
