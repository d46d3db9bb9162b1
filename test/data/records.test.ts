// Files of records: which form a name says, what of a record is read, and what is refused.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, UsageError } from "../../src/core/error.ts";
import { formOf, readRecords } from "../../src/data/records.ts";
import { asText } from "../../src/data/utf8.ts";

test("the form of a file is told by the end of its name, in small or capital letters", () => {
  const forms = {
    lines: ["a.jsonl", "a.ndjson", "A.JSONL", "dir.json/a.NdJson", "https://a/b.jsonl"],
    array: ["a.json", "A.JSON", ".json"],
    plain: ["a.txt", "json", "jsonl", "a.json.txt", "a.jsonl/b", "a.md", "", "a.json "],
  };
  for (const [form, names] of Object.entries(forms)) {
    for (const name of names) assert.is(formOf(name), form, name);
  }
});

const content = fc.string({ unit: "binary", minLength: 1 });
const halves = fc.constantFrom(
  "\ud83d",
  "\ude00",
  "\ud83d\ud83d",
  "a\ude00\ud83d",
  "\ude00\ud83d\ude00",
);
const text = fc.oneof(
  content,
  halves,
  fc.tuple(halves, content).map(([a, b]) => a + b),
);
const columns = fc.dictionary(
  fc.string({ maxLength: 6 }).filter((key) => !["text", "prompt", "completion"].includes(key)),
  fc.jsonValue({ maxDepth: 3 }),
  { maxKeys: 4 },
);
const record = fc.oneof(
  fc.record(
    { text, prompt: fc.constant(null), completion: fc.constant(null) },
    { requiredKeys: ["text"] },
  ),
  fc.record(
    { prompt: fc.oneof(text, fc.constant("")), completion: text, text: fc.constant(null) },
    { requiredKeys: ["prompt", "completion"] },
  ),
);
type Given = { readonly [K in "text" | "prompt" | "completion"]?: string | null };
const rows = fc.array(fc.tuple(record, columns), { minLength: 1, maxLength: 6 });
// Python's json.dumps writes these into columns, which JSON has not.
const python = (row: string, word: string) =>
  row.replace(/\}$/, `, "score": ${word}, "all": [1, ${word}]}`);

test("lines and elements give the same records, with any other columns, and null for those that are missing", () => {
  fc.assert(
    fc.property(
      rows,
      fc.constantFrom("NaN", "Infinity", "-Infinity", "1e999", "null"),
      fc.constantFrom("", "\ufeff"),
      fc.boolean(),
      (given, word, mark, asBytes) => {
        const expected = given.map(([{ text: plain, prompt, completion }]: [Given, unknown]) => ({
          prompt: plain == null ? prompt!.toWellFormed() : "",
          completion: (plain ?? completion!).toWellFormed(),
        }));
        const written = given.map(([wanted, others]) =>
          python(JSON.stringify({ ...others, ...wanted }), word),
        );
        const files = {
          lines: `${mark}${written.join("\r\n\n \t\n")}\n`,
          array: `${mark} [\n${written.join(" ,\n")}\n] \n`,
        };
        for (const form of ["lines", "array"] as const) {
          const file = files[form];
          const records = readRecords(asBytes ? new TextEncoder().encode(file) : file, form, "x");
          assert.is(records.length, expected.length);
          assert.equal([...records], expected);
          assert.equal([...records], expected, "again");
        }
      },
    ),
  );
});

const good = '{"text":"a"}';
const refused: readonly (readonly ["lines" | "array", string, RegExp])[] = [
  [
    "array",
    "",
    /^d\.json holds nothing, but a \.json file must hold an array of records; expected/,
  ],
  ["array", good, /holds a JSON object, .* If every line is a record, call it \.jsonl\. .*\.txt/],
  ["array", `${good}\n${good}`, /call it \.jsonl/],
  ["array", '"text"', /holds a JSON string/],
  ["array", "null", /holds null/],
  ["array", "7", /holds a JSON number/],
  ["array", "[]", /d\.json is empty; expected .* in every element/],
  ["array", `[${good}`, /d\.json is no JSON: expected "\]" but found the end/],
  ["array", `[${good},]`, /Record 2 of d\.json is no JSON/],
  ["array", `[${good} ${good}]`, /d\.json is no JSON: expected "\]" but found "\{"/],
  ["array", `[${good}]x`, /d\.json is no JSON: there is text after the end/],
  ["array", `[${good}, [${good}]]`, /Record 2 of d\.json is a list; expected \{"text"/],
  ["array", `[${good}, null]`, /Record 2 of d\.json is null/],
  ["array", `[${good}, {"text": null}]`, /Record 2 of d\.json has the fields "text" \(null\)/],
  ["array", `[${good}, {"prompt": "a", "completion": 1}]`, /"completion" \(number\)/],
  ["array", `[${good}, {"text": "a", "prompt": {}}]`, /"prompt" \(object\)/],
  ["array", `[${good}, {"text": "a`, /Record 2 of d\.json is no JSON: open string/],
  ["array", `\ufeff\ufeff[${good}]`, /d\.json is no JSON/],
  ["lines", `${good}\n\ufeff${good}`, /Line 2 of d\.json is no JSON/],
  ["lines", `{\n"text": "a"\n}`, /Line 1 of d\.json is no JSON/],
  ["lines", `${good}${good}`, /Line 1 of d\.json is no JSON: there is text after the end/],
  ["lines", `[${good},${good}]`, /Line 1 of d\.json is a list/],
  ["lines", `{"text":"é\\x"}`, /Line 1 of d\.json is no JSON: unknown escape, at character 12;/],
  ["lines", "\n\r\n", /d\.json is empty; expected .* in every line/],
  ["lines", `{"a":${"[".repeat(100)}${"]".repeat(100)},"text":"x"}`, /nesting deeper than 64/],
];
for (const [form, file, message] of refused) {
  test(`${form === "lines" ? "lines" : "an array"} refused: ${JSON.stringify(file.slice(0, 40))}`, () => {
    assert.throws(
      () => readRecords(file, form, "d.json"),
      (error: unknown) => error instanceof FormatError && message.test(error.message),
    );
  });
}

test("a record that lists a thousand columns is refused in a sentence of bearable length", () => {
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`column ${i}`, i]));
  assert.throws(
    () => readRecords(JSON.stringify(many), "lines", "x"),
    (error: Error) => error.message.length < 600 && /and 988 more/.test(error.message),
  );
});

test("a text is a string or bytes of UTF-8, without a mark at its very beginning", () => {
  const marked = "\ufeffa\ufeffb";
  assert.is(asText(marked, "x"), "a\ufeffb");
  assert.is(asText(new TextEncoder().encode(marked), "x"), "a\ufeffb");
  assert.is(asText(`\ufeff${marked}`, "x"), marked);
  for (const wrong of [7, null, ["a"], { text: "a" }]) {
    for (const read of [asText, (source: never) => readRecords(source, "lines", "The text")]) {
      assert.throws(
        () => read(wrong as never, "The text"),
        (error: unknown) =>
          error instanceof UsageError &&
          /The text is .*; expected a string, or/.test(error.message),
      );
    }
  }
});

test.run();
