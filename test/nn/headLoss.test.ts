// The loss of a model whose logits are many: head and loss in one op, plain and adapted, with the bits of two.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { Engine } from "../../src/core/engine.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { crossEntropy } from "../../src/tensor/crossEntropy.ts";
import { scope } from "../../src/tensor/scope.ts";
import { engines } from "../support/engines.ts";
import { drawAdapter, llamaStyle, randomBatch, smallModel } from "../support/models.ts";

const config = { ...llamaStyle, vocabSize: 8192, maxPositions: 128 };
const batch = randomBatch(config, { batchSize: 4, blockSize: 128, seed: 1, ignored: 0.1 });
const logitBytes = 4 * 128 * 8192 * 4;

for (const [what, targets, loraDropout, chunked] of [
  ["plain", ["q_proj"], 0, true],
  ["adapted", ["q_proj", "lm_head"], 0, true],
  ["adapted with dropout", ["lm_head"], 0.2, false],
] as const) {
  test(`a head that is ${what} gives the loss of its logits, ${chunked ? "which are never all there" : "which are stored"}`, async () => {
    const engine = await Engine.create({ threads: 1 });
    engine.run(() => {
      const model = smallModel(config);
      const adapter = injectLora(model, { r: 2, targetModules: targets, loraDropout });
      drawAdapter(adapter);
      model.train();
      const loss = scope(() => {
        const mean = model.loss(batch);
        mean.backward();
        return mean;
      });
      const { arenaPeak, scratchBytes } = engine.stats();
      assert.is(arenaPeak + scratchBytes < logitBytes, chunked, `${arenaPeak} + ${scratchBytes}`);
      for (const parameter of adapter.parameters()) assert.ok(parameter.grad!.some((g) => g !== 0));
      if (!chunked) return;
      const shape = [4, 128];
      const expected = scope(() =>
        crossEntropy(
          model.forward(tensor(batch.inputs, { shape }), {
            positions: tensor(batch.positions, { shape }),
            starts: tensor(batch.starts, { shape }),
          }),
          tensor(batch.targets, { shape }),
        ).item(),
      );
      assert.is(loss.item(), expected);
    });
  });
}

// The trainer gives the loss a factor; a user's own loop multiplies.
for (const { name, engine } of await engines()) {
  test(`a factor given to the loss has the bits of a product after it, captured or not (${name})`, () => {
    for (const targets of [["q_proj"], ["q_proj", "lm_head"]]) {
      const runs = [false, true].flatMap((within) =>
        [false, true].map((captured) =>
          engine.run(() => {
            const model = smallModel(config);
            const adapter = injectLora(model, { r: 2, targetModules: targets });
            drawAdapter(adapter);
            const body = (given: typeof batch, by: Float32Array) => {
              const factor = tensor(by, { shape: [] });
              const loss = within
                ? model.loss(given, { reduction: "sum", factor })
                : model.loss(given, { reduction: "sum" }).mul(factor);
              loss.backward();
              return loss;
            };
            const step = capture(body);
            // Twice, so that gradients are added to, and a step is replayed with another factor.
            const losses = [1 / 459, 0.3].map((factor) => {
              const by = Float32Array.of(factor);
              return captured ? step(batch, by).item() : scope(() => body(batch, by).item());
            });
            step.dispose();
            const gradients = [...adapter.parameters()].map(({ grad }) => grad);
            model.dispose();
            return { losses, gradients };
          }),
        ),
      );
      const [first, ...others] = runs.map(({ losses, gradients }) => [losses, ...gradients]);
      for (const other of others) {
        assert.is(other.length, first!.length);
        other.forEach((found, i) => {
          assert.ok(
            found!.every((value, at) => Object.is(value, first![i]![at])),
            `${targets}, part ${i}`,
          );
        });
      }
    }
  });
}

test.run();
