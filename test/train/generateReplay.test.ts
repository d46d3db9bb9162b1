// Generation replays its passes; who cannot tell sees the same tokens: inside a scope, with layers that cannot be
// captured, and when the model changes between tokens.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { Linear } from "../../src/nn/linear.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { generate, generateBatch, generateTokens } from "../../src/train/generate.ts";
import { engines } from "../support/engines.ts";
import { heldBytes } from "../support/inEngine.ts";
import { drawAdapter, smallModel, styles } from "../support/models.ts";

const all = await engines();
const prompts = [5, 17, 33].map((first) => [first, 2, 7]);
const options = { maxNewTokens: 20, temperature: 1, seed: 3 };

/** A head that looks at its input's values, which a captured function cannot. */
class Looking extends Linear {
  looked = 0;

  override forward(x: Tensor): Tensor {
    this.looked += x.toArray().length > 0 ? 1 : 0;
    return super.forward(x);
  }
}

for (const { name, engine } of all) {
  for (const [family, config] of styles) {
    const withModel = (what: string, body: (model: Transformer) => void): void => {
      test(`${what} (${family}, ${name})`, () => {
        engine.run(() => {
          const model = smallModel(config);
          body(model);
          model.dispose();
        });
      });
    };

    withModel("tokens are those of passes that cannot be captured, one by one", (model) => {
      const made = generateBatch(model, prompts, options);
      const held = heldBytes(engine);
      assert.equal(
        scope(() => generateBatch(model, prompts, options)),
        made,
      );
      const { weight } = model.head as Linear;
      const head = new Looking(24, 61, { bias: false, weight });
      model.replaceModule("lm_head", head);
      assert.equal(generateBatch(model, prompts, options), made);
      // The capture that failed had looked at nothing.
      assert.is(head.looked, options.maxNewTokens);
      assert.is(heldBytes(engine), held);
    });

    withModel("a model that changes between tokens goes on as it then is", (model) => {
      const adapter = injectLora(model, { r: 2, targetModules: "all-linear" });
      drawAdapter(adapter);
      const changes = [() => adapter.merge(), () => adapter.unmerge(), () => model.freeze()];
      const run = (inScope: boolean): number[] => {
        const tokens = generateTokens(model, prompts[0]!, options);
        const made: number[] = [];
        for (let i = 0; i < options.maxNewTokens; i++) {
          const next = () => tokens.next().value as number;
          made.push(inScope ? scope(next) : next());
          if (i % 5 === 4) changes[(i - 4) / 5]?.();
        }
        tokens.return?.();
        return made;
      };
      const outside = run(false);
      assert.equal(run(true), outside);
    });
  }
}

test("two generations at once, and a tensor made between tokens, do not disturb each other", () => {
  const { engine } = all[0]!;
  engine.run(() => {
    const model = smallModel(styles[0]![1]);
    const alone = prompts.map((ids) => generate(model, ids, options));
    const running = prompts.map((ids) => generateTokens(model, ids, options));
    const made = prompts.map((): number[] => []);
    for (let i = 0; i < options.maxNewTokens; i++) {
      running.forEach((tokens, row) => {
        made[row]!.push(tokens.next().value as number);
        scope(() => tensor([1, 2, 3]).mul(2).sum().item());
      });
    }
    for (const tokens of running) tokens.return?.();
    assert.equal(made, alone);
    model.dispose();
  });
});

test.run();
