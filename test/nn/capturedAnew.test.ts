// A captured step is recorded anew when what it rests on has changed, and gives the bits of the eager step then too.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { Engine } from "../../src/core/engine.ts";
import type { TokenBatch } from "../../src/nn/batch.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { type Captured, capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { batchesOf, expectSameBits, type Training, training } from "../support/captured.ts";
import { drawAdapter, llamaStyle, randomBatch, smallModel } from "../support/models.ts";

const engine = await Engine.create({ deterministic: true, threads: 1 });

for (const [what, change] of [
  ["another length of rows", null],
  ["another training mode", ({ model }) => model.eval()],
  [
    "an adapter that no longer takes part",
    ({ model }) => {
      const second = injectLora(
        model,
        { r: 2, targetModules: ["v_proj"] },
        { adapterName: "second" },
      );
      second.activate();
    },
  ],
  ["a parameter that no longer trains", ({ trained }) => (trained[0]!.requiresGrad = false)],
  ["a frozen parameter that trains now", ({ model }) => (firstFrozen(model).requiresGrad = true)],
  ["a frozen weight in rows", ({ model }) => firstFrozen(model).unpack()],
] as readonly (readonly [string, ((run: Training) => unknown) | null])[]) {
  test(`${what} is noticed and recorded anew`, () => {
    const before = batchesOf(llamaStyle, 3);
    const after = batchesOf(llamaStyle, 3, 50).map((batch) =>
      change === null
        ? randomBatch(llamaStyle, { batchSize: 3, blockSize: 11, seed: batch.inputs[0]! })
        : batch,
    );
    const recordings = expectSameBits(
      engine,
      () => training(llamaStyle, { lora: { loraDropout: 0.2 } }),
      [...before, ...after],
      (run, step) => {
        if (step === 3) change?.(run);
      },
    );
    assert.is(recordings, 2);
  });
}

function firstFrozen(model: Transformer): Tensor {
  for (const parameter of model.parameters()) if (parameter.packed) return parameter;
  throw new Error("nothing is packed");
}

test("merging an adapter between captured evaluations is noticed", () => {
  engine.run(() => {
    const model = smallModel(llamaStyle);
    const adapter = injectLora(model, { r: 3, targetModules: "all-linear" });
    drawAdapter(adapter);
    const [{ inputs }] = batchesOf(llamaStyle, 1) as [TokenBatch];
    const forward = (ids: Int32Array): Tensor => model.forward(tensor(ids, { shape: [3, 17] }));
    const step = capture(forward);
    const eager = (): Float32Array => scope(() => forward(inputs).toArray() as Float32Array);
    const plain = eager();
    for (let i = 0; i < 2; i++) assert.equal(step(inputs).toArray(), plain);
    adapter.merge();
    const merged = eager();
    for (let i = 0; i < 2; i++) assert.equal(step(inputs).toArray(), merged);
    adapter.unmerge();
    for (let i = 0; i < 2; i++) assert.equal(step(inputs).toArray(), plain);
    assert.not.equal(merged, plain);
    assert.is(step.recordings, 3);
    step.dispose();
    model.dispose();
  });
});

test("a disposed optimizer or model is an error at the next call", () => {
  engine.run(() => {
    for (const what of ["optimizer", "model"] as const) {
      const run = training(llamaStyle);
      const step: Captured<[TokenBatch], Tensor> = capture(run.body);
      const [batch] = batchesOf(llamaStyle, 1);
      step(batch!);
      run[what].dispose();
      assert.throws(() => step(batch!), /after its dispose\(\)/);
      step.dispose();
    }
  });
});

test.run();
