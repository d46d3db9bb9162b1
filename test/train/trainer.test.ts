// The trainer: accumulation, clipping, evaluation, and what a loss that is not finite leaves behind.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora, LoraLayer } from "../../src/adapters/lora.ts";
import { adaptersOf } from "../../src/adapters/set.ts";
import { LowrankError, UsageError } from "../../src/core/error.ts";
import { readSafetensors, toFloat32 } from "../../src/io/safetensors.ts";
import { arange } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { bitsPerByte, evaluate, trainedTokens } from "../../src/train/evaluate.ts";
import type { TrainerOptions } from "../../src/train/progress.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { engines } from "../support/engines.ts";
import { makeRun, type Run, type RunOptions } from "./run.ts";

const all = await engines();
const { engine } = all[1]!;

function withRun(options: RunOptions, body: (run: Run) => void): void {
  engine.run(() => {
    const run = makeRun(options);
    body(run);
    run.end();
  });
}

/** AdamW's first moments; after one step with β1 = 0 they are the clipped gradients. */
function gradients(trainer: Trainer): number[] {
  const { tensors } = readSafetensors(trainer.state().subarray(16), "the state");
  return [...tensors]
    .filter(([name]) => /^moment\.\d+\.0$/.test(name))
    .flatMap(([, stored]) => [...toFloat32(stored)]);
}

const norm = (x: readonly number[]): number => Math.hypot(...x);
const apart = (x: readonly number[], y: readonly number[]): number =>
  norm(x.map((value, i) => value - y[i]!));

// Gradients themselves: no clipping, no memory of other steps.
const plain = { betas: [0, 0.9], maxGradNorm: 0 } as const;
const U = 2 ** -24;

for (const { name, engine: one } of all) {
  test(`micro-batches add up to the batch of all their rows, each token counted alike (${name})`, () => {
    one.run(() => {
      const [whole, parts] = [
        makeRun({ ...plain, batchSize: 6 }),
        makeRun({ ...plain, batchSize: 2, gradientAccumulation: 3 }),
      ];
      const counts = [0, 1, 2].map((i) => trainedTokens(parts.data.batchAt(i)));
      assert.ok(new Set(counts).size > 1, "batches of different numbers of tokens");
      const [a, b] = [whole.trainer.trainStep(), parts.trainer.trainStep()];
      assert.is(b.tokens, a.tokens);
      assert.is(
        a.tokens,
        counts.reduce((sum, count) => sum + count, 0),
      );
      // The same terms in another order: at most 144 tokens, and a few roundings for the factor and the parts.
      const close = 160 * U;
      assert.ok(Math.abs(b.loss / a.loss - 1) <= close, `${a.loss} ${b.loss}`);
      const [g, h] = [gradients(whole.trainer), gradients(parts.trainer)];
      assert.ok(g.length > 1000 && apart(g, h) <= close * norm(g), `${apart(g, h) / norm(g)}`);
      assert.ok(Math.abs(b.gradNorm / a.gradNorm - 1) <= close);
      assert.ok(Math.abs(norm(g) / a.gradNorm - 1) <= close);
      for (const run of [whole, parts]) run.end();
    });
  });

  test(`clipping shortens all gradients by one factor, and reports the norm before (${name})`, () => {
    one.run(() => {
      const [free, clipped] = [makeRun(plain), makeRun({ ...plain, maxGradNorm: 0.01 })];
      const [a, b] = [free.trainer.trainStep(), clipped.trainer.trainStep()];
      assert.is(b.gradNorm, a.gradNorm);
      assert.ok(a.gradNorm > 0.02);
      const factor = 0.01 / (a.gradNorm + 1e-6);
      const [g, h] = [gradients(free.trainer), gradients(clipped.trainer)];
      // The factor rounded to float32, and the product.
      g.forEach((value, i) => {
        assert.ok(Math.abs(h[i]! - value * factor) <= 2.01 * U * Math.abs(value * factor));
      });
      const above = makeRun({ ...plain, maxGradNorm: 2 * a.gradNorm });
      above.trainer.trainStep();
      assert.equal(gradients(above.trainer), g);
      for (const run of [free, clipped, above]) run.end();
    });
  });
}

test("a run reports its steps, warms up, decays, and learns", () => {
  withRun({ steps: 30, lr: 1e-2 }, ({ trainer, model, data }) => {
    const before = evaluate(model, data.validationBatches());
    assert.equal(evaluate(model, data), before);
    const reports = [...trainer.run()];
    assert.equal(
      reports.map(({ step }) => step),
      Array.from({ length: 30 }, (_, i) => i + 1),
    );
    assert.ok(trainer.done);
    const rates = reports.map(({ lr }) => lr);
    assert.ok(rates[0]! < rates[1]! && rates[1]! <= 1e-2);
    for (let i = 3; i < 30; i++) assert.ok(rates[i]! < rates[i - 1]!);
    const mean = (part: readonly { readonly loss: number }[]): number =>
      part.reduce((sum, { loss }) => sum + loss, 0) / part.length;
    assert.ok(mean(reports.slice(-10)) < mean(reports.slice(0, 10)) - 0.2);
    assert.ok(evaluate(model, data.validationBatches()).loss < before.loss);
    assert.not.ok(model.training);
  });
});

test("an update that overflows in the last step, after which no loss would tell, is an error", () => {
  withRun({ steps: 1, lr: 1e39, warmupSteps: 0, weightDecay: 0 }, ({ trainer }) => {
    assert.throws(
      () => trainer.trainStep(),
      (error: unknown) =>
        error instanceof LowrankError && /step 1: the update made .*lora_/.test(error.message),
    );
  });
});

test("a run of one step takes no warm-up, whose first rate is 0", () => {
  withRun({}, ({ model, data }) => {
    const trainer = new Trainer(model, data, { steps: 1 });
    assert.ok(trainer.trainStep().lr > 0);
    trainer.dispose();
  });
});

test("a loss that is not finite names its step, and weights, moments and step stay", () => {
  const options: RunOptions = { loraDropout: 0.1, gradientAccumulation: 2 };
  withRun(options, (clean) => {
    withRun(options, ({ trainer, model }) => {
      for (let i = 0; i < 2; i++) {
        clean.trainer.trainStep();
        trainer.trainStep();
      }
      const [layer] = adaptersOf(model).adapters.get("default")!.layers.values();
      if (!(layer instanceof LoraLayer)) throw new Error("no LoRA");
      const good = layer.b.toArray();
      for (const value of [Number.NaN, 3e38]) {
        layer.b.set(good.map(() => value));
        const before = trainer.state();
        assert.throws(
          () => trainer.trainStep(),
          (error: unknown) =>
            error instanceof LowrankError &&
            /step 3/.test(error.message) &&
            /after step 2/.test(error.message),
        );
        assert.equal(trainer.state(), before);
        assert.is(trainer.step, 2);
        for (const parameter of model.trainableParameters()) assert.is(parameter.grad, null);
      }
      // Mended, the run goes on as if nothing had happened.
      layer.b.set(good);
      assert.equal(trainer.trainStep(), clean.trainer.trainStep());
      assert.equal(trainer.state(), clean.trainer.state());
    });
  });
});

test("evaluation counts every target once, however the rows are batched, without dropout", () => {
  withRun({ loraDropout: 0.5 }, ({ model, data, trainer }) => {
    trainer.trainStep();
    const batches = [...data.validationBatches()];
    const result = evaluate(model, batches);
    assert.is(result.tokens, data.summary.validationTokens);
    assert.equal(evaluate(model, batches), result);
    model.train();
    assert.equal(evaluate(model, batches), result);
    assert.ok(model.training);
    model.eval();
    let sum = 0;
    for (const batch of batches) sum += evaluate(model, [batch]).loss * trainedTokens(batch);
    // Sums of a few numbers in float64.
    assert.ok(Math.abs(sum / result.tokens / result.loss - 1) < 1e-14);
    assert.ok(Math.abs(result.perplexity / Math.exp(result.loss) - 1) < 1e-15 * 4);
    const bits = bitsPerByte(result, 2 * result.tokens);
    assert.ok(Math.abs(bits / (result.loss / Math.LN2 / 2) - 1) < 1e-15 * 4);
    const none = batches.map((batch) => ({ ...batch, targets: batch.targets.map(() => -100) }));
    assert.throws(() => evaluate(model, none), /nothing to evaluate/);
  });
});

test("settings that make no sense, and models in which nothing trains, are refused", () => {
  withRun({}, ({ model, data }) => {
    const wrong: readonly (readonly [Partial<TrainerOptions>, RegExp])[] = [
      [{ steps: -1 }, /steps is -1/],
      [{ steps: 1.5 }, /steps is 1.5/],
      [{ gradientAccumulation: 0 }, /gradientAccumulation is 0/],
      [{ maxGradNorm: -1 }, /maxGradNorm is -1/],
      [{ maxGradNorm: Number.NaN }, /maxGradNorm is NaN/],
      [{ lr: -1 }, /lr is -1/],
      [{ schedule: "step" as "linear" }, /"step"/],
    ];
    for (const [change, message] of wrong) {
      assert.throws(
        () => new Trainer(model, data, { steps: 3, ...change }),
        (error: unknown) => error instanceof UsageError && message.test(error.message),
      );
    }
    model.setRequiresGrad(false);
    assert.throws(() => new Trainer(model, data, { steps: 3 }), /Nothing trains/);
  });
});

test("an option that is undefined has its default", () => {
  withRun({}, ({ model, data }) => {
    const names = ["lr", "schedule", "warmupSteps", "weightDecay", "betas"] as const;
    const more = ["gradientAccumulation", "maxGradNorm", "seed"] as const;
    const undefinedOnes = Object.fromEntries([...names, ...more].map((name) => [name, undefined]));
    const trainers = [{}, undefinedOnes].map(
      (given) => new Trainer(model, data, { steps: 40, ...given }),
    );
    assert.equal(trainers[1]!.options, trainers[0]!.options);
    for (const trainer of trainers) trainer.dispose();
    // As for the numbers of a range, which are whole unless another type is asked for.
    const untyped = { dtype: undefined } as unknown as { readonly dtype: "int32" };
    assert.is(
      scope(() => arange(0, 2, untyped).dtype),
      "int32",
    );
  });
});

test("a trainer whose adapter is not active any more refuses to step, and goes on when it is again", () => {
  withRun({}, ({ model, trainer }) => {
    trainer.trainStep();
    const adapter = adaptersOf(model).adapters.get("default")!;
    const state = trainer.state();
    const other = injectLora(model, { r: 2 }, { adapterName: "other" });
    const refused = (): void => {
      assert.throws(
        () => trainer.trainStep(),
        (error: unknown) => error instanceof UsageError && /inactive or merged/.test(error.message),
      );
      for (const parameter of other.parameters()) assert.is(parameter.grad, null);
    };
    refused();
    adapter.merge();
    refused();
    adapter.unmerge();
    adapter.activate();
    assert.equal(trainer.state(), state);
    const [a, b] = [trainer.trainStep(), engine.run(() => makeRun({}))];
    b.trainer.loadState(state);
    assert.equal(b.trainer.trainStep(), a);
    assert.equal(b.trainer.state(), trainer.state());
    b.end();
  });
});

test("a step is recorded once: later ones, evaluations in between included, replay it", () => {
  withRun({ steps: 6, gradientAccumulation: 2, loraDropout: 0.1 }, ({ model, data, trainer }) => {
    trainer.trainStep();
    const { records } = engine.stats();
    trainer.trainStep();
    assert.is(engine.stats().records, records);
    evaluate(model, data.validationBatches());
    const evaluated = engine.stats().records;
    assert.ok(evaluated > records);
    trainer.trainStep();
    assert.is(engine.stats().records, evaluated);
  });
});

test("after its last step a trainer gives the memory of activations back, and takes it again when it goes on", () => {
  withRun({ steps: 3 }, ({ trainer }) => {
    const states: Uint8Array[] = [];
    const held: number[] = [];
    for (let i = 0; i < 3; i++) {
      trainer.trainStep();
      states.push(trainer.state());
      held.push(engine.stats().persistentBytes);
    }
    assert.is(held[1], held[0]);
    assert.ok(held[2]! < held[1]!, `${held}`);
    trainer.loadState(states[1]!);
    trainer.trainStep();
    assert.equal(trainer.state(), states[2]);
  });
});

test.run();
