import { test } from "uvu";
import * as assert from "uvu/assert";
import { expectClose, expectSame } from "./compare.ts";

function messageOf(compare: () => void): string {
  try {
    compare();
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

test("a failed comparison shows the first five pairs, their number and the largest difference", () => {
  const expected = new Float64Array(12);
  const actual = expected.map((_, i) => (i % 2 === 0 ? 0 : i));
  const message = messageOf(() =>
    expectClose(actual, expected, 0.5, { what: "dx", shape: [3, 4] }),
  );
  assert.match(message, /^dx: 6 of 12 numbers/);
  assert.is(message.split("\n").length, 1 + 5 + 1);
  assert.match(message, "[0,1] 1, expected 0, difference 1 > 0.5");
  assert.match(message, "largest difference 11 at [2,3]");
});

test("a difference at the tolerance passes, one above it does not", () => {
  expectClose([1.5], [1], 0.5);
  expectClose([1.5, 3], [1, 2], [0.5, 1]);
  expectClose([1.5, 3], [1, 2], (_, e) => e / 2);
  assert.throws(() => expectClose([1.5, 3.5], [1, 2], [0.5, 1]));
});

test("NaN equals NaN alone, an infinity itself alone, whatever the tolerance", () => {
  const infinity = Number.POSITIVE_INFINITY;
  expectClose([Number.NaN, infinity], [Number.NaN, infinity], 0);
  for (const [a, e] of [
    [Number.NaN, 1],
    [1, Number.NaN],
    [infinity, 1],
    [1, infinity],
    [infinity, -infinity],
  ]) {
    assert.throws(() => expectClose([a!], [e!], infinity));
    assert.throws(() => expectSame([a!], [e!]));
  }
});

test("arrays of different length are never equal", () => {
  assert.throws(() => expectClose([], [1], 1), /0 numbers, expected 1/);
  assert.throws(() => expectSame([1, 2], [1]), /2 numbers, expected 1/);
});

test("expectSame takes a zero of either sign for a zero, and sees a last bit", () => {
  expectSame([0, -0], [-0, 0]);
  assert.throws(() => expectSame([1], [1 + 2 ** -52]));
});

test.run();
