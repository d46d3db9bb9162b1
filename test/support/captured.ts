// A training step in both forms, captured and eager, to compare their bits.

import * as assert from "uvu/assert";
import { injectLora } from "../../src/adapters/lora.ts";
import type { LoraConfig } from "../../src/adapters/loraConfig.ts";
import type { Engine } from "../../src/core/engine.ts";
import type { TokenBatch } from "../../src/nn/batch.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import type { Transformer } from "../../src/nn/transformer.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { clipGradNorm } from "../../src/optim/clip.ts";
import type { Optimizer } from "../../src/optim/optimizer.ts";
import { SGD } from "../../src/optim/sgd.ts";
import { capture } from "../../src/tensor/capture.ts";
import { manualSeed } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { drawAdapter, randomBatch, smallModel } from "./models.ts";

/** A model, its optimizer, and a step of both. */
export interface Training {
  readonly model: Transformer;
  readonly optimizer: Optimizer;
  /** One optimizer step on a batch; a tensor with the loss. */
  readonly body: (batch: TokenBatch) => Tensor;
  readonly trained: readonly Tensor[];
}

export interface Setup {
  readonly full?: boolean;
  readonly lora?: Partial<LoraConfig>;
  readonly maxNorm?: number;
  readonly sgd?: boolean;
  /** Blocks run again in backward. */
  readonly checkpointing?: boolean;
}

export function training(config: ModelConfig, setup: Setup = {}): Training {
  const { full = false, lora = {}, maxNorm = 0.5, sgd = false, checkpointing = false } = setup;
  const model = smallModel(config);
  if (!full) drawAdapter(injectLora(model, { r: 3, targetModules: "all-linear", ...lora }));
  model.train();
  model.gradientCheckpointing = checkpointing;
  const trained = [...model.trainableParameters()];
  const optimizer = sgd
    ? new SGD(trained, { lr: 0.05, momentum: 0.9 })
    : new AdamW(trained, { lr: 1e-2, weightDecay: 0.1 });
  const body = (batch: TokenBatch): Tensor => {
    const loss = model.loss(batch);
    loss.backward();
    clipGradNorm(trained, maxNorm);
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  };
  return { model, optimizer, body, trained };
}

export interface Trained {
  readonly losses: readonly number[];
  readonly weights: readonly Float32Array[];
  readonly recordings: number;
}

/** Trains on the batches in order; between steps `between` may change something. */
export function train(
  engine: Engine,
  made: () => Training,
  batches: readonly TokenBatch[],
  options: {
    readonly captured: boolean;
    readonly between?: (run: Training, step: number) => void;
  },
): Trained {
  return engine.run(() => {
    const run = made();
    const step = capture(run.body);
    manualSeed(7);
    const losses = batches.map((batch, i) => {
      options.between?.(run, i);
      return options.captured ? step(batch).item() : scope(() => run.body(batch).item());
    });
    const weights = [...run.model.parameters()].map((p) => p.toArray() as Float32Array);
    step.dispose();
    run.optimizer.dispose();
    run.model.dispose();
    return { losses, weights, recordings: step.recordings };
  });
}

/** Trains both ways and compares; how often the captured one was recorded. */
export function expectSameBits(
  engine: Engine,
  made: () => Training,
  batches: readonly TokenBatch[],
  between?: (run: Training, step: number) => void,
): number {
  const options = between === undefined ? {} : { between };
  const eager = train(engine, made, batches, { captured: false, ...options });
  const captured = train(engine, made, batches, { captured: true, ...options });
  assert.equal(captured.losses, eager.losses);
  assert.equal(captured.weights, eager.weights);
  assert.is(new Set(eager.losses).size, batches.length, "each step has a loss of its own");
  return captured.recordings;
}

/** Random batches, every second one of packed documents. */
export function batchesOf(config: ModelConfig, count: number, start = 1): TokenBatch[] {
  return Array.from({ length: count }, (_, i) =>
    randomBatch(config, { batchSize: 3, blockSize: 17, seed: start + i, packed: i % 2 === 1 }),
  );
}
