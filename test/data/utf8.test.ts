import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { byteLength, decodeUtf8, invalidUtf8Offset, utf8Source } from "../../src/data/utf8.ts";

// The decoder of the host says whether bytes are valid, but not where they stop being so.
function isValid(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

const bytesNearUtf8 = fc
  .tuple(
    fc.string({ unit: "binary" }),
    fc.uint8Array({ maxLength: 6 }),
    fc.string({ unit: "binary" }),
  )
  .map(([before, middle, after]) => {
    const encoder = new TextEncoder();
    return Uint8Array.from([...encoder.encode(before), ...middle, ...encoder.encode(after)]);
  });

test("bytes are found invalid exactly when the host's decoder refuses them", () => {
  fc.assert(
    fc.property(bytesNearUtf8, (bytes) => {
      assert.is(invalidUtf8Offset(bytes) === -1, isValid(bytes));
    }),
    { numRuns: 2000 },
  );
});

test("the bytes of a text are counted and given as the host's encoder does, in stretches of any length", () => {
  const halves = fc.array(fc.constantFrom("a", "é", "語", "😀", "\ud800", "\udc00"));
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    halves.map((units) => units.join("")),
  );
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 9 }), (whole, stretch) => {
      const bytes = [...new TextEncoder().encode(whole)];
      assert.is(byteLength(whole), bytes.length);
      const source = utf8Source(whole);
      const list = new Int32Array(stretch + 5);
      const given: number[] = [];
      let end: number;
      do {
        list[0] = -1;
        end = source(list, 1, 1 + stretch);
        given.push(...list.subarray(1, end));
      } while (end > stretch);
      assert.equal(given, bytes);
    }),
    { numRuns: 2000 },
  );
});

test("all is valid before the offset, and nothing that begins there is a character", () => {
  fc.assert(
    fc.property(bytesNearUtf8, (bytes) => {
      const offset = invalidUtf8Offset(bytes);
      if (offset < 0) return;
      assert.ok(isValid(bytes.subarray(0, offset)));
      for (let length = 1; length <= 4; length++) {
        if (offset + length > bytes.length) break;
        assert.not.ok(isValid(bytes.subarray(offset, offset + length)));
      }
    }),
    { numRuns: 2000 },
  );
});

test("overlong forms, surrogates, values above U+10FFFF and cut characters are invalid", () => {
  const sequences = [
    [0xc0, 0x80],
    [0xc1, 0xbf],
    [0xe0, 0x9f, 0xbf],
    [0xed, 0xa0, 0x80],
    [0xf0, 0x8f, 0xbf, 0xbf],
    [0xf4, 0x90, 0x80, 0x80],
    [0xf5, 0x80, 0x80, 0x80],
    [0xff],
    [0x80],
    [0xe2, 0x82],
  ];
  for (const sequence of sequences) {
    assert.is(invalidUtf8Offset(Uint8Array.from([0x61, ...sequence])), 1);
  }
});

test("a byte order mark at the beginning is dropped, and UTF-16 is recognised", () => {
  assert.is(decodeUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61), "x"), "a");
  assert.throws(() => decodeUtf8(Uint8Array.of(0xff, 0xfe, 0x61, 0), "x"), /offset 0.*UTF-16/);
});

test.run();
