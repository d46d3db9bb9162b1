// The small Llama and GPT-2 of test/fixtures, trained by the front end: PyTorch's logits, gradients and losses, with LoRA
// and in full, documents packed or not, in both builds.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import type { TokenBatch } from "../../src/nn/batch.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import { emptyParameter } from "../../src/nn/init.ts";
import { Linear } from "../../src/nn/linear.ts";
import { Transformer } from "../../src/nn/transformer.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import {
  type FixtureGradient,
  type ModelCase,
  type ModelFixture,
  type ModelRun,
  readFixture,
} from "../fixtures/fixture.ts";
import { engines } from "../support/engines.ts";
import { logitsOf } from "../support/logits.ts";
import { type StartTensor, writtenStart } from "./written-model.ts";

const all = await engines();

/** Another order of the same float32 sums: an error of the size of PyTorch's own, not many times that. */
const TIMES = 4;

function configOf({ config }: ModelFixture, model: ModelCase): ModelConfig {
  const gpt2 = config.modelType === "gpt2";
  return {
    ...config,
    norm: gpt2 ? "layer" : "rms",
    activation: gpt2 ? "geluTanh" : "silu",
    gated: !gpt2,
    positions: gpt2 ? "learned" : "rope",
    ropeTheta: config.ropeTheta ?? 10000,
    ropeStyle: "half",
    attentionBias: { qkv: gpt2, out: gpt2 },
    mlpBias: gpt2,
    tieWordEmbeddings: model.tied,
    bosTokenId: null,
    eosTokenId: [],
  };
}

function batchOf(fixture: ModelFixture, model: ModelCase, run: ModelRun): TokenBatch {
  const { batch, length } = fixture;
  const starts = run.packed
    ? Int32Array.from(fixture.starts.flat())
    : new Int32Array(batch * length);
  return {
    batchSize: batch,
    blockSize: length,
    inputs: Int32Array.from(model.inputs.flat()),
    targets: Int32Array.from(model.targets.flat()),
    starts,
    positions: starts.map((start, i) => (i % length) - start),
  };
}

/** [rows, columns] as [columns, rows]. */
function transposed(
  values: ArrayLike<number>,
  [rows = 0, columns = 0]: readonly number[],
): number[] {
  return Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

/** The model with the run's start values, and what trains by the fixture's names. */
function build(fixture: ModelFixture, model: ModelCase, run: ModelRun) {
  const built = new Transformer(configOf(fixture, model), emptyParameter);
  const { weights, lora } = writtenStart(model);
  // GPT-2's linear weights lie in files, and in the fixture, as [in, out].
  const turned = new Set(
    [...built.namedModules()]
      .filter(([, module]) => module instanceof Linear && module.storedTransposed)
      .map(([path]) => `${path}.weight`),
  );
  const put = (parameter: Tensor | undefined, name: string, start: StartTensor): void => {
    if (parameter === undefined) throw new Error(`the model has no ${name}`);
    parameter.set(turned.has(name) ? transposed(start.data, start.shape) : start.data);
  };
  const own = new Map(built.namedParameters());
  assert.equal([...own.keys()].sort(), [...weights.keys()].sort());
  for (const [name, start] of weights) put(own.get(name), name, start);
  if (run.trained === "full") return { built, turned, trains: own };
  const { r, loraAlpha } = fixture.lora;
  const adapter = injectLora(built, { r, loraAlpha, targetModules: "all-linear" });
  const factors = new Map(adapter.namedParameters());
  assert.equal([...factors.keys()].sort(), [...lora.keys()].sort());
  for (const [name, start] of lora) put(factors.get(name), name, start);
  return { built, turned, trains: factors };
}

/** ‖found − truth‖ / ‖truth‖, of the numbers that the fixture has. */
function relative(found: ArrayLike<number>, truth: readonly number[]): number {
  return Math.hypot(...truth.map((value, i) => found[i]! - value)) / Math.hypot(...truth);
}

function isGradient(found: ArrayLike<number>, expected: FixtureGradient, error: number): void {
  const { name, norm, data, first } = expected;
  const allowed = TIMES * error * norm;
  const all = Array.from(found);
  assert.ok(Math.abs(Math.hypot(...all) - norm) <= allowed, `norm of ${name}`);
  const truth = data ?? first ?? [];
  // No element can be further off than the whole.
  const off = Math.hypot(...truth.map((value, i) => all[i]! - value));
  assert.ok(truth.length > 0 && off <= allowed, `gradient of ${name}: ${off} > ${allowed}`);
}

for (const family of ["llama", "gpt2"] as const) {
  const fixture = readFixture(family);
  for (const model of fixture.models) {
    for (const run of model.runs) {
      for (const { name: binary, engine } of all) {
        // One thread and two have the same bits (test/nn/trainingStep.test.ts).
        if (engine.threads === 2) continue;
        test(`${family} ${model.name} ${run.name}: PyTorch's logits, gradients and losses (${binary})`, () => {
          engine.run(() => {
            const { built, turned, trains } = build(fixture, model, run);
            const batch = batchOf(fixture, model, run);
            const logits = logitsOf(built, batch);
            const V = fixture.config.vocabSize;
            const rows = run.logits.rows.map(({ at: [b, t] }) => {
              const from = (b * fixture.length + t) * V;
              return [...logits.subarray(from, from + V)];
            });
            const error = relative(
              rows.flat(),
              run.logits.rows.flatMap(({ data }) => data),
            );
            const { float32Error } = run;
            assert.ok(error <= TIMES * float32Error.logits, `logits ${error}`);
            const norm = Math.hypot(...logits) / run.logits.norm - 1;
            assert.ok(Math.abs(norm) <= TIMES * float32Error.logits, `norm of logits ${norm}`);

            assert.equal([...trains.keys()].sort(), run.grads.map((grad) => grad.name).sort());
            const optimizer = new AdamW(trains.values(), fixture.adamw);
            run.losses.float64.forEach((expected, step) => {
              const loss = scope(() => {
                const value = built.loss(batch);
                value.backward();
                return value.item();
              });
              if (step === 0) {
                for (const expectedGrad of run.grads) {
                  const parameter = trains.get(expectedGrad.name)!;
                  const grad = parameter.grad!;
                  const found = turned.has(expectedGrad.name)
                    ? transposed(grad, parameter.shape)
                    : grad;
                  isGradient(found, expectedGrad, float32Error.grads);
                }
              }
              optimizer.step();
              optimizer.zeroGrad();
              const off = Math.abs(loss / expected - 1);
              assert.ok(off <= 1e-5, `step ${step + 1}: loss ${loss}, PyTorch ${expected}`);
            });
            optimizer.dispose();
            built.dispose();
          });
        });
      }
    }
  }
}

test.run();
