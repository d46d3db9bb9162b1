// The mode of the benchmark that compares two checkouts.

import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { againstIds, expectCheckout } from "../../bench/cases/against.ts";
import { targets } from "../../bench/targets.ts";

test("each figure of the comparison has a bound, and each bound a figure", () => {
  const bounded = Object.keys(targets).filter((id) => targets[id]?.beside === "older checkout");
  assert.equal([...againstIds].sort(), bounded.sort());
});

test("a directory without a built checkout is refused with what to do", () => {
  assert.throws(() => expectCheckout(tmpdir()), /no checkout that has been built: run npm install/);
});

test.run();
