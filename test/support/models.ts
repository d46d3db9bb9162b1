// Small models of both families with weights that make every part matter, and batches for them. Weights are drawn so
// that activations stay about 1 through the layers; an untrained model's weights are so small that most of a block
// would vanish beside the residual.

import type { Adapter } from "../../src/adapters/adapter.ts";
import type { TokenBatch } from "../../src/nn/batch.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import { emptyParameter } from "../../src/nn/init.ts";
import { Transformer } from "../../src/nn/transformer.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, uniform } from "./arbitraries.ts";

const common = {
  vocabSize: 61,
  hiddenSize: 24,
  layers: 2,
  heads: 4,
  intermediateSize: 40,
  maxPositions: 48,
  normEps: 1e-5,
  ropeTheta: 10000,
  ropeStyle: "half",
  bosTokenId: null,
  eosTokenId: [],
} as const;

/** GPT-2's style: layer norm, learned positions, fused projections, biases, tied head. */
export const gpt2Style: ModelConfig = {
  ...common,
  modelType: "gpt2",
  kvHeads: 4,
  headDim: 6,
  norm: "layer",
  activation: "geluTanh",
  gated: false,
  positions: "learned",
  attentionBias: { qkv: true, out: true },
  mlpBias: true,
  tieWordEmbeddings: true,
};

/** Llama's style: RMS norm, rotary positions, gated MLP, grouped heads, a head of its own. */
export const llamaStyle: ModelConfig = {
  ...common,
  modelType: "llama",
  kvHeads: 2,
  headDim: 6,
  norm: "rms",
  activation: "silu",
  gated: true,
  positions: "rope",
  attentionBias: { qkv: false, out: false },
  mlpBias: false,
  tieWordEmbeddings: false,
};

/** Both, by name. */
export const styles: readonly (readonly [string, ModelConfig])[] = [
  ["GPT-2", gpt2Style],
  ["Llama", llamaStyle],
];

/** Overwrites a tensor with numbers of about ±`size`, none of them 0. */
export function draw(tensor: Tensor, seed: number, size: number): void {
  tensor.set(fill(tensor.shape, seed, { min: -size, max: size }));
}

/** A model with random weights, the same for the same seed; trainable and unpacked. */
export function smallModel(config: ModelConfig, seed = 1): Transformer {
  const model = new Transformer(config, emptyParameter);
  let next = seed * 1000;
  for (const [name, parameter] of model.namedParameters()) {
    next++;
    const width = parameter.shape.at(-1) ?? 1;
    if (parameter.rank === 1) {
      const around = name.endsWith(".bias") ? 0 : 1;
      parameter.set(fill(parameter.shape, next, { min: -0.2, max: 0.2 }).map((x) => x + around));
    } else if (/wte|wpe|embed/.test(name)) draw(parameter, next, 0.7);
    else draw(parameter, next, 1.7 / Math.sqrt(width));
  }
  return model;
}

/** Gives all factors of an adapter numbers as if it had trained: A about 1/sqrt(K), B about 0.2. */
export function drawAdapter(adapter: Adapter, seed = 1): void {
  let next = seed * 7919;
  for (const [name, parameter] of adapter.namedParameters()) {
    const isA = name.endsWith("lora_A.weight");
    draw(parameter, next++, isA ? 1.7 / Math.sqrt(parameter.shape[1] ?? 1) : 0.2);
  }
}

export interface RandomBatch {
  readonly batchSize: number;
  readonly blockSize: number;
  readonly seed?: number;
  /** Cuts the rows into documents that do not see each other. */
  readonly packed?: boolean;
  /** The share of targets that do not count; default 0.1. */
  readonly ignored?: number;
}

/** Random tokens for a model. */
export function randomBatch(config: ModelConfig, options: RandomBatch): TokenBatch {
  const { batchSize, blockSize, seed = 1, packed = false, ignored = 0.1 } = options;
  const next = uniform(seed);
  const size = batchSize * blockSize;
  const token = (): number => Math.floor(next() * config.vocabSize);
  const inputs = Int32Array.from({ length: size }, token);
  const targets = Int32Array.from({ length: size }, () => (next() < ignored ? -100 : token()));
  const starts = new Int32Array(size);
  for (let i = 0; i < size; i++) {
    const t = i % blockSize;
    starts[i] = t === 0 ? 0 : packed && next() < 0.2 ? t : starts[i - 1]!;
  }
  const positions = starts.map((start, i) => (i % blockSize) - start);
  return { batchSize, blockSize, inputs, targets, starts, positions };
}
