import { test } from "uvu";
import * as assert from "uvu/assert";
import { LowrankError } from "../../src/core/error.ts";
import { withoutSecrets } from "../../src/core/secrets.ts";

const cases: readonly (readonly [string, string])[] = [
  ["https://a/b", "https://a/b"],
  ["https://a/b?token=SECRET", "https://a/b"],
  ["https://a/b#SECRET", "https://a/b"],
  ["https://user:SECRET@a:8/b/?x=SECRET#y", "https://a:8/b/"],
  ["https://us@er:SECRET@a/b", "https://a/b"],
  ["HTTP://SECRET@a", "HTTP://a"],
  ['"https://a/b?SECRET" and http://c?SECRET, too.', '"https://a/b" and http://c, too.'],
  ["Could not fetch https://a/b?SECRET: no.", "Could not fetch https://a/b: no."],
  ["https://a/b@c", "https://a/b@c"],
  ["why? a@b #1 file:///a?b", "why? a@b #1 file:///a?b"],
];

test("addresses lose user, query and fragment; other text stays", () => {
  for (const [text, expected] of cases) assert.is(withoutSecrets(text), expected);
});

test("no error tells what an address holds", () => {
  for (const [text, expected] of cases) assert.is(new LowrankError(text).message, expected);
});

test.run();
