// A rank above both sides of every weight is wasteful, and trains as any other.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { batchesOf, expectSameBits, training } from "../support/captured.ts";
import { engines } from "../support/engines.ts";
import { styles } from "../support/models.ts";

for (const { name, engine } of await engines()) {
  for (const [family, config] of styles) {
    test(`captured steps of rank 75 are the eager ones (${family}, ${name})`, () => {
      const recordings = expectSameBits(
        engine,
        () => training(config, { lora: { r: 75, loraDropout: 0.1 } }),
        batchesOf(config, 3),
      );
      assert.is(recordings, 1);
    });
  }
}

test.run();
