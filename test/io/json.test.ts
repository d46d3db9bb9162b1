import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/core/error.ts";
import { formatJson, JsonNumber, type JsonValue, parseJson } from "../../src/io/json.ts";

function plain(value: JsonValue): unknown {
  if (value instanceof JsonNumber) return value.value;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) {
    return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  }
  return value;
}

test("what JSON.stringify writes is read as JSON.parse reads it", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => {
      assert.equal(plain(parseJson(text, "x.json")), JSON.parse(text));
    }),
  );
});

test("any text gives a value or a FormatError, and never a value where JSON.parse refuses", () => {
  const fragment = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    '"',
    ":",
    ",",
    "\\",
    "\\u",
    "d800",
    "1",
    "e",
    ".",
    "-",
    "0",
  );
  const noise = fc.array(
    fc.oneof(fragment, fc.string({ maxLength: 3 }), fc.constantFrom("true", "null", " ")),
  );
  fc.assert(
    fc.property(noise, (parts) => {
      const text = parts.join("");
      let value: JsonValue;
      try {
        value = parseJson(text, "x.json");
      } catch (error) {
        assert.instance(error, FormatError);
        return;
      }
      assert.equal(plain(value), JSON.parse(text));
    }),
    { numRuns: 3000 },
  );
});

test("what is written is read back as the same value", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 4 }), (text) => {
      const value = parseJson(text, "x.json");
      assert.equal(plain(parseJson(formatJson(value), "x.json")), plain(value));
    }),
  );
});

test("numbers keep their spelling", () => {
  const text = "[\n  1e-05,\n  1.0,\n  123456789012345678901234567890\n]";
  assert.is(formatJson(parseJson(text, "x.json")), text);
});

test("text outside ASCII is written as Python writes it", () => {
  assert.is(formatJson("\u007f\u0080é😀"), '"\\u007f\\u0080\\u00e9\\ud83d\\ude00"');
});

test("odd keys are plain keys", () => {
  const value = parseJson('{"__proto__": 1, "constructor": 2, "": 3}', "x.json");
  assert.instance(value, Map);
  assert.equal([...(value as Map<string, JsonValue>).keys()], ["__proto__", "constructor", ""]);
});

for (const [what, text] of [
  ["a duplicate key", '{"a": 1, "a": 2}'],
  ["a lone surrogate", '"\\ud800"'],
  ["NaN", "NaN"],
  ["Infinity", "[-Infinity]"],
  ["a comma at the end", "[1,]"],
  ["a leading zero", "01"],
  ["a second value", "{} {}"],
  ["an open string", '"abc'],
  ["a line break in a string", '"a\nb"'],
  ["nothing", ""],
  ["a byte-order mark", "\ufeff{}"],
  ["nesting without end", "[".repeat(1_000_000)],
] as const) {
  test(`${what} is refused with the file's name and the place`, () => {
    assert.throws(
      () => parseJson(text, "some.json"),
      (error: unknown) =>
        error instanceof FormatError && /some\.json .* at character \d+\.$/.test(error.message),
    );
  });
}

test.run();
