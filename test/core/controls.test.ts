import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { coverControls, escapeControls } from "../../src/core/controls.ts";
import { FormatError, LowrankError } from "../../src/core/error.ts";
import { quote } from "../../src/io/json.ts";

// What a terminal or a reader's eye is steered by, written as code points: the C0 codes but tab and line end, DEL, the
// C1 codes, separators of lines and paragraphs, embeddings, overrides and isolates of direction.
const steering = [
  ...Array.from({ length: 32 }, (_, code) => code).filter((code) => code !== 9 && code !== 10),
  ...Array.from({ length: 33 }, (_, i) => 0x7f + i),
  ...[0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069],
].map((code) => String.fromCharCode(code));

const text = fc.string({
  unit: fc.oneof(fc.constantFrom(...steering), fc.string({ unit: "grapheme", maxLength: 1 })),
});

test("steering characters are escaped or covered, all others stay", () => {
  fc.assert(
    fc.property(text, (hostile) => {
      for (const result of [escapeControls(hostile), coverControls(hostile)]) {
        for (const char of steering) assert.not.ok(result.includes(char));
      }
      assert.is(coverControls(hostile).length, hostile.length);
      let expected = "";
      for (const char of hostile) {
        const code = char.charCodeAt(0).toString(16).padStart(4, "0");
        expected += steering.includes(char) ? `\\u${code}` : char;
      }
      assert.is(escapeControls(hostile), expected);
    }),
  );
});

test("escaped JSON means the same", () => {
  fc.assert(
    fc.property(text, (hostile) => {
      assert.is(JSON.parse(escapeControls(JSON.stringify(hostile))), hostile);
    }),
  );
});

test("no message of an error holds a steering character, nor does its stack", () => {
  const name = `w${steering.join("")}`;
  for (const message of [name, `The tensor ${quote(name)} is too long.`]) {
    for (const error of [new LowrankError(message), new FormatError(message, { cause: 7 })]) {
      for (const char of steering) {
        assert.not.ok(error.message.includes(char), JSON.stringify(char));
        assert.not.ok(error.stack?.includes(char), JSON.stringify(char));
      }
      assert.match(error.message, "\\u001b");
    }
  }
  assert.is(new FormatError("two\nlines", { cause: 7 }).message, "two\nlines");
  assert.is(new FormatError("x", { cause: 7 }).cause, 7);
});

test.run();
