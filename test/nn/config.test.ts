// Configurations that no model can be built of are refused by a sentence.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { init } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import { normalInitializer } from "../../src/nn/init.ts";
import { Transformer } from "../../src/nn/transformer.ts";
import { small } from "../io/model-fixture.ts";

await init({ deterministic: true, threads: 1 });

for (const key of ["activation", "norm", "positions", "ropeStyle"] as const) {
  test(`a word that ${key} does not know is refused, also one that every object knows`, () => {
    for (const word of ["swish", "constructor", "toString", "__proto__", ""]) {
      const config = { ...small, [key]: word } as unknown as ModelConfig;
      assert.throws(
        () => new Transformer(config, normalInitializer(1)),
        (error: unknown) =>
          error instanceof UsageError &&
          error.message.startsWith(
            `This model cannot be built: ${key} is ${JSON.stringify(word)}, expected one of `,
          ),
      );
    }
  });
}

test.run();
