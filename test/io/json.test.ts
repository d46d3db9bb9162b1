import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/core/error.ts";
import {
  formatJson,
  JsonNumber,
  JsonText,
  type JsonValue,
  parseJson,
  parseJsonObject,
} from "../../src/io/json.ts";

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

test("a byte-order mark at the beginning is dropped", () => {
  assert.is(parseJson("\ufeff7", "x.json") instanceof JsonNumber, true);
  assert.is(parseJsonObject(new TextEncoder().encode("\ufeff{}"), "x.json").size, 0);
});

test("NaN and Infinity are numbers, as Python writes them", () => {
  const value = parseJson("[NaN, Infinity, -Infinity]", "x.json");
  assert.equal(plain(value), [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
  assert.is(formatJson(value), "[\n  NaN,\n  Infinity,\n  -Infinity\n]");
});

test("a member with very many values stays a text, is written back as it stands, and read when asked for", () => {
  const list = `[${"[], ".repeat(200_000)}[]]`;
  const json = `{"a": 1, "x": ${list}, "names": [${'"ab",'.repeat(60_000)}"ab"], "y": ["${"z".repeat(2_000_000)}"]}`;
  const object = parseJsonObject(new TextEncoder().encode(json), "x.json");
  assert.equal([...object.keys()], ["a", "x", "names", "y"]);
  const x = object.get("x");
  assert.instance(x, JsonText);
  assert.throws(() => (x as JsonText).value(), /x\.json is not valid: more than 100000 values/);
  assert.is((object.get("names") as JsonValue[]).length, 60_001);
  assert.equal((object.get("y") as JsonText).value(), ["z".repeat(2_000_000)]);
  const written = formatJson(object);
  assert.equal(JSON.parse(written), JSON.parse(json));
  assert.ok(written.includes(list));
});

test("what is wrong in a member that stays a text is refused all the same", () => {
  for (const bad of ["[,]", '"\\ud800"', "01", "[".repeat(70), "nul"]) {
    const json = `{"x": [${"1,".repeat(300_000)}${bad}]}`;
    assert.throws(
      () => parseJsonObject(new TextEncoder().encode(json), "x.json"),
      (error: unknown) =>
        error instanceof FormatError && /at character 60\d{4}\.$/.test(error.message),
    );
  }
});

test("an object of more than a hundred thousand keys is no config", () => {
  const keys = Array.from({ length: 100_001 }, (_, i) => `"${i}":1`);
  assert.throws(
    () => parseJsonObject(new TextEncoder().encode(`{${keys}}`), "x.json"),
    /more than 100000 keys/,
  );
});

for (const [what, text] of [
  ["a duplicate key", '{"a": 1, "a": 2}'],
  ["a lone surrogate", '"\\ud800"'],
  ["a word that begins like another", "NaNa"],
  ["a plus before a number", "[+Infinity]"],
  ["a comma at the end", "[1,]"],
  ["a leading zero", "01"],
  ["a second value", "{} {}"],
  ["an open string", '"abc'],
  ["a line break in a string", '"a\nb"'],
  ["nothing", ""],
  ["a byte-order mark behind the beginning", " \ufeff{}"],
  ["a second byte-order mark", "\ufeff\ufeff{}"],
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
