// stories260K, a real trained model (A. Karpathy, tinyllamas), read from its llama2.c checkpoint: the tokens that
// llama2.c itself writes, and the logits and loss of an independent PyTorch version. It is not in the repository.

import { existsSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../../src/core/error.ts";
import { readLlama2c } from "../../src/io/llama2c.ts";
import { buildModel, modelFiles } from "../../src/io/model.ts";
import type { PretrainedModel } from "../../src/io/pretrained.ts";
import { tensor } from "../../src/tensor/create.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import { generate } from "../../src/train/generate.ts";
import { expectClose } from "../support/compare.ts";
import { engines } from "../support/engines.ts";

/** What golden.json holds. */
interface Golden {
  readonly ids: readonly number[];
  readonly pos15_logits: readonly number[];
  readonly mean_ce_ids: number;
}

function load(bytes: Uint8Array): PretrainedModel {
  const { config, tensors } = readLlama2c(bytes, "checkpoint");
  return buildModel(config, tensors);
}

const all = await engines();

test("a llama2.c checkpoint becomes a model, which no Hugging Face config can describe", () => {
  // dim 4, hidden 6, 1 layer, 2 heads, 1 key-value head, vocabulary 3, 5 positions.
  const sizes = [12, 4, 16, 8, 8, 16, 4, 24, 24, 24, 4, 10];
  const numbers = sizes.reduce((sum, size) => sum + size);
  const bytes = new Uint8Array(28 + 4 * numbers);
  new Int32Array(bytes.buffer, 0, 7).set([4, 6, 1, 2, 1, 3, 5]);
  new Float32Array(bytes.buffer, 28).set(Float32Array.from({ length: numbers }, (_, i) => i));
  all[0]!.engine.run(() => {
    const model = load(bytes);
    assert.is(model.countParameters(), numbers - 10);
    assert.throws(
      () => modelFiles(model),
      (error: unknown) => error instanceof UsageError && /half style/.test(error.message),
    );
    model.dispose();
  });
});

const directory = new URL("../../../../shared/models/stories260K/", import.meta.url);
if (existsSync(directory)) {
  const golden: Golden = JSON.parse(readFileSync(new URL("golden.json", directory), "utf8"));
  const checkpoint = new Uint8Array(readFileSync(new URL("stories260K.bin", directory)));

  for (const { name, engine } of all) {
    test(`stories260K writes its golden 201 tokens, with their logits and loss (${name})`, () => {
      engine.run(() => {
        const model = load(checkpoint);
        const [first, ...rest] = golden.ids;
        assert.is(golden.ids.length, 201);
        const written = generate(model, [first!], { maxNewTokens: 200, temperature: 0 });
        assert.equal(written, rest);

        const ids = Int32Array.from(golden.ids.slice(0, 16));
        const logits = scope(() =>
          noGrad(() => model.forward(tensor(ids, { shape: [1, 16] })).toArray()),
        );
        // The longest sum has 172 terms; two float32 sums of it differ by at most 2 * 172 units of rounding of
        // what is summed, here of the size of the largest logit. The file itself rounds to 1e-6.
        const largest = Math.max(...golden.pos15_logits.map(Math.abs));
        const bound = 2 * 172 * 2 ** -24 * largest + 1e-6;
        expectClose(logits.slice(15 * 512), golden.pos15_logits, bound);

        const length = rest.length;
        const loss = scope(() =>
          noGrad(() =>
            model
              .loss({
                batchSize: 1,
                blockSize: length,
                inputs: Int32Array.from(golden.ids.slice(0, length)),
                targets: Int32Array.from(rest),
                starts: new Int32Array(length),
                positions: Int32Array.from({ length }, (_, i) => i),
              })
              .item(),
          ),
        );
        // The bound of all golden losses, relative.
        expectClose([loss], [golden.mean_ce_ids], 1e-5 * golden.mean_ce_ids);
        model.dispose();
      });
    });
  }
} else console.log("skipped: the stories260K checkpoint is not present");

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});
test.run();
