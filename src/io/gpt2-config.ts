// The fields of a GPT-2 config.json (transformers, `models/gpt2/configuration_gpt2.py`).
import { FormatError } from "../core/error.ts";
import type { ModelConfig } from "../nn/config.ts";
import {
  homeOf,
  LAYERS,
  nameOfActivation,
  readActivation,
  readTokens,
  SIZE,
} from "./config-fields.ts";
import type { Fields } from "./fields.ts";
import type { JsonValue } from "./json.ts";

export function readGpt2(fields: Fields, warnings: string[]): ModelConfig {
  for (const [key, usual] of [
    ["scale_attn_weights", true],
    ["scale_attn_by_inverse_layer_idx", false],
    ["add_cross_attention", false],
  ] as const) {
    if (fields.boolean(key, usual) === usual) continue;
    throw new FormatError(
      `${fields.file}: ${JSON.stringify(key)} is ${!usual}, which is not supported.`,
    );
  }
  if (fields.boolean("reorder_and_upcast_attn", false)) {
    warnings.push(
      `${fields.file}: "reorder_and_upcast_attn" has no effect here: everything is float32.`,
    );
  }
  const [width, headCount] = [homeOf(fields, "n_embd"), homeOf(fields, "n_head")];
  const hiddenSize = fields.integer(width, { ...SIZE, fallback: 768 });
  const heads = fields.integer(headCount, { ...SIZE, fallback: 12 });
  if (hiddenSize % heads !== 0) fields.wrong(headCount, `a divisor of ${width}, ${hiddenSize}`);
  return {
    modelType: "gpt2",
    vocabSize: fields.integer("vocab_size", { ...SIZE, fallback: 50257 }),
    hiddenSize,
    layers: fields.integer(homeOf(fields, "n_layer"), { ...LAYERS, fallback: 12 }),
    heads,
    kvHeads: heads,
    headDim: hiddenSize / heads,
    intermediateSize: fields.integer("n_inner", { ...SIZE, fallback: 4 * hiddenSize }),
    maxPositions: fields.integer(homeOf(fields, "n_positions"), { ...SIZE, fallback: 1024 }),
    norm: "layer",
    normEps: fields.number("layer_norm_epsilon", { min: 0, max: 1, fallback: 1e-5 }),
    activation: readActivation(fields, "activation_function", "gelu_new"),
    gated: false,
    positions: "learned",
    ropeTheta: 10000,
    ropeStyle: "half",
    attentionBias: { qkv: true, out: true },
    mlpBias: true,
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", true),
    ...readTokens(fields, 50256, [50256]),
  };
}

/** The fields that describe `config`; null for a model that is no GPT-2. */
export function describeGpt2(config: ModelConfig): Map<string, JsonValue | number> | null {
  const { attentionBias } = config;
  const isGpt2 =
    config.norm === "layer" &&
    config.positions === "learned" &&
    !config.gated &&
    config.mlpBias &&
    attentionBias.qkv &&
    attentionBias.out &&
    config.kvHeads === config.heads &&
    config.headDim * config.heads === config.hiddenSize;
  if (!isGpt2) return null;
  const plainWidth = config.intermediateSize === 4 * config.hiddenSize;
  return new Map<string, JsonValue | number>([
    ["architectures", ["GPT2LMHeadModel"]],
    ["n_positions", config.maxPositions],
    ["n_embd", config.hiddenSize],
    ["n_layer", config.layers],
    ["n_head", config.heads],
    ["n_inner", plainWidth ? null : config.intermediateSize],
    ["activation_function", nameOfActivation(config.activation)],
    ["layer_norm_epsilon", config.normEps],
  ]);
}
