import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { decompress } from "../../src/core/decompress.ts";

// The script lies beside dist/, where this file runs.
const { toPrintable } = (await import(
  new URL("../../../scripts/printable.mjs", import.meta.url).href
)) as { toPrintable: (bytes: Uint8Array) => string };

const few = fc.uint8Array({ max: 3, maxLength: 200 });
const many = fc.uint8Array({ maxLength: 2000 });

test("the text of any bytes gives them back", () => {
  fc.assert(
    fc.property(fc.oneof(few, many), (bytes) => {
      assert.equal(decompress(toPrintable(bytes)), bytes);
    }),
  );
});

test("bytes that occur equally often, and all of them, come back in order", () => {
  const all = Uint8Array.from({ length: 512 }, (_, i) => i & 255);
  assert.equal(decompress(toPrintable(all)), all);
  assert.equal(decompress(toPrintable(all.toReversed())), all.toReversed());
});

test("a text may stand between quotation marks as it is", () => {
  fc.assert(
    fc.property(many, (bytes) => {
      const text = toPrintable(bytes);
      assert.is(JSON.stringify(text), `"${text}"`);
      assert.match(text, /^[ -~]*$/);
    }),
  );
});

test("a byte takes one character, or two if it is none of the 91 most frequent", () => {
  const bytes = Uint8Array.from({ length: 91 * 2 + 165 }, (_, i) => (i < 182 ? i % 91 : i - 91));
  assert.is(toPrintable(bytes).length, 182 + 182 + 2 * 165);
});

test.run();
