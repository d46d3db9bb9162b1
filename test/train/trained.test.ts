// What a trainer trains, and what it asks before it trains everything.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import { adaptersOf } from "../../src/adapters/set.ts";
import { UsageError } from "../../src/core/error.ts";
import type { Dataset } from "../../src/data/dataset.ts";
import { jsonlDataset } from "../../src/data/jsonlDataset.ts";
import { readSafetensors } from "../../src/io/safetensors.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { engines } from "../support/engines.ts";
import { llamaStyle, smallModel } from "../support/models.ts";
import { thrown } from "../support/thrown.ts";
import { letters, lines } from "./run.ts";

const { engine } = (await engines())[0]!;

/** Runs a test's body on a fresh model, in which everything trains. */
function withModel(body: (model: Transformer, data: Dataset) => void): void {
  engine.run(() => {
    const model = smallModel(llamaStyle);
    body(model, jsonlDataset(letters, lines(30, 2), { batchSize: 2, blockSize: 16, seed: 1 }));
    model.dispose();
  });
}

function refusal(act: () => unknown): string {
  const error = thrown(act);
  assert.instance(error, UsageError);
  return error.message;
}

const settings = { steps: 2, warmupSteps: 0 };

test("without an adapter all weights train only when full is asked for", () => {
  withModel((model, data) => {
    const before = model.stateDict();
    const weights = model.countParameters();
    for (const full of [undefined, false] as const) {
      const given = full === undefined ? settings : { ...settings, full };
      const message = refusal(() => new Trainer(model, data, given));
      assert.match(message, `all of its ${weights} weights would train`);
      assert.match(message, /injectLora\(model\).*full: true/);
    }
    const trainer = new Trainer(model, data, { ...settings, full: true });
    trainer.trainStep();
    const changed = [...model.stateDict()].filter(
      ([name, { data: now }]) => String(now) !== String(before.get(name)?.data),
    );
    assert.is(changed.length, before.size);
    trainer.dispose();
  });
});

test("weights that were unfrozen all at once are asked about as well, those frozen by hand are not", () => {
  withModel((model, data) => {
    model.setRequiresGrad(false);
    model.setRequiresGrad(true);
    assert.match(
      refusal(() => new Trainer(model, data, settings)),
      /full: true/,
    );
    const [first] = model.parameters();
    first!.requiresGrad = false;
    const trainer = new Trainer(model, data, settings);
    assert.is(trainer.trainStep().step, 1);
    trainer.dispose();
  });
});

test("a model that lost its adapter is asked about, one that has an adapter never", () => {
  withModel((model, data) => {
    const adapter = injectLora(model, { r: 2 });
    for (const full of [false, true]) new Trainer(model, data, { ...settings, full }).dispose();
    adapter.remove();
    model.setRequiresGrad(true);
    assert.match(
      refusal(() => new Trainer(model, data, settings)),
      /has no adapter/,
    );
    injectLora(model, { r: 2 });
    model.setRequiresGrad(true);
    new Trainer(model, data, settings).dispose();
  });
});

test("full is no part of what a state must have in common with the run", () => {
  withModel((model, data) => {
    injectLora(model, { r: 2 });
    const [plain, full] = [false, true].map(
      (full) => new Trainer(model, data, { ...settings, full }),
    );
    plain!.loadState(full!.state());
    assert.equal(plain!.state(), full!.state());
    const { metadata } = readSafetensors(plain!.state().subarray(16), "state");
    assert.equal(Object.keys(JSON.parse(metadata.get("options") ?? "")), [
      ...["steps", "schedule", "warmupSteps", "weightDecay", "betas", "gradientAccumulation"],
      ...["maxGradNorm", "seed"],
    ]);
    for (const trainer of [plain!, full!]) trainer.dispose();
  });
});

test("of an adapter that is merged or not active the error says what to call", () => {
  withModel((model, data) => {
    const adapter = injectLora(model, { r: 2 }, { adapterName: "notes" });
    const trainer = new Trainer(model, data, settings);
    for (const [put, back, advice] of [
      [() => adapter.merge(), () => adapter.unmerge(), /"notes" is merged .*unmerge\(\)/],
      [() => adapter.disable(), () => adapter.activate(), /"notes" is not active.*activate\(\)/],
    ] as const) {
      put();
      assert.match(
        refusal(() => new Trainer(model, data, settings)),
        new RegExp(`^Nothing trains.*${advice.source}`),
      );
      assert.match(
        refusal(() => trainer.trainStep()),
        advice,
      );
      back();
    }
    assert.is(trainer.trainStep().step, 1);
    assert.equal(adaptersOf(model).merged, []);
    trainer.dispose();
  });
});

test.run();
