import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, UsageError } from "../../src/core/error.ts";
import { formatModelConfig, parseModelConfig } from "../../src/io/huggingface-config.ts";
import type { ModelConfig } from "../../src/nn/config.ts";

const fixtures = new URL("../../../test/fixtures/peft/", import.meta.url);
const encode = (text: string) => new TextEncoder().encode(text);
const parse = (value: unknown) => parseModelConfig(encode(JSON.stringify(value)));
const families = ["llama", "gpt2", "qwen2"] as const;
const file = (family: string) => readFileSync(new URL(`${family}/base/config.json`, fixtures));

// What the fixtures were made with, by their script.
const common = {
  vocabSize: 32,
  hiddenSize: 16,
  layers: 2,
  heads: 4,
  headDim: 4,
  intermediateSize: 24,
  maxPositions: 32,
  ropeStyle: "half",
  bosTokenId: 1,
  eosTokenId: [2],
} as const;
const wide = {
  ...common,
  kvHeads: 2,
  norm: "rms",
  activation: "silu",
  gated: true,
  positions: "rope",
  mlpBias: false,
} as const;
const expected: Record<(typeof families)[number], ModelConfig> = {
  llama: {
    ...wide,
    modelType: "llama",
    normEps: 1e-5,
    ropeTheta: 10000,
    attentionBias: { qkv: false, out: false },
    tieWordEmbeddings: false,
  },
  qwen2: {
    ...wide,
    modelType: "qwen2",
    normEps: 1e-6,
    ropeTheta: 1e6,
    attentionBias: { qkv: true, out: false },
    tieWordEmbeddings: true,
  },
  gpt2: {
    ...common,
    modelType: "gpt2",
    kvHeads: 4,
    norm: "layer",
    normEps: 1e-5,
    activation: "geluTanh",
    gated: false,
    positions: "learned",
    ropeTheta: 10000,
    attentionBias: { qkv: true, out: true },
    mlpBias: true,
    tieWordEmbeddings: true,
  },
};

for (const family of families) {
  test(`the ${family} config that transformers wrote is read as it was made`, () => {
    const { config, warnings } = parseModelConfig(file(family));
    assert.equal(config, expected[family]);
    assert.equal(warnings, []);
  });

  test(`the ${family} config is written again to the same bytes`, () => {
    const { config, fields } = parseModelConfig(file(family));
    assert.is(formatModelConfig(config, { fields }), file(family).toString());
  });

  test(`a ${family} config written from nothing is read as the same config`, () => {
    const text = formatModelConfig(expected[family], { dtype: "bfloat16" });
    assert.equal(parseModelConfig(encode(text)).config, expected[family]);
    assert.is(JSON.parse(text).torch_dtype, "bfloat16");
  });
}

test("only what has changed is changed in a config, under all of its names", () => {
  const { config, fields } = parseModelConfig(file("llama"));
  const before = JSON.parse(file("llama").toString());
  const text = formatModelConfig(
    { ...config, ropeTheta: 5000, vocabSize: 40 },
    { fields, dtype: "float16" },
  );
  assert.equal(JSON.parse(text), {
    ...before,
    vocab_size: 40,
    rope_theta: 5000,
    rope_parameters: { rope_theta: 5000, rope_type: "default" },
    dtype: "float16",
  });
  assert.is(parseModelConfig(encode(text)).config.ropeTheta, 5000);
});

test("missing fields have the defaults of transformers", () => {
  const gpt2 = parse({ model_type: "gpt2" }).config;
  assert.equal([gpt2.vocabSize, gpt2.hiddenSize, gpt2.layers, gpt2.heads], [50257, 768, 12, 12]);
  assert.equal([gpt2.intermediateSize, gpt2.maxPositions, gpt2.normEps], [3072, 1024, 1e-5]);
  assert.equal([gpt2.bosTokenId, ...gpt2.eosTokenId], [50256, 50256]);
  assert.ok(gpt2.tieWordEmbeddings);
  const llama = parse({ model_type: "llama" }).config;
  assert.equal([llama.vocabSize, llama.hiddenSize, llama.layers], [32000, 4096, 32]);
  assert.equal([llama.heads, llama.kvHeads, llama.headDim], [32, 32, 128]);
  assert.equal([llama.intermediateSize, llama.maxPositions, llama.normEps], [11008, 2048, 1e-6]);
  assert.not(llama.tieWordEmbeddings);
  const qwen2 = parse({ model_type: "qwen2" }).config;
  assert.equal(
    [qwen2.vocabSize, qwen2.intermediateSize, qwen2.maxPositions],
    [151936, 22016, 32768],
  );
  assert.equal([qwen2.bosTokenId, qwen2.eosTokenId], [null, []]);
});

test("older and newer places of one number are both read", () => {
  assert.is(parse({ model_type: "gpt2", n_ctx: 77 }).config.maxPositions, 77);
  assert.is(parse({ model_type: "llama", rope_theta: 5e5 }).config.ropeTheta, 5e5);
  assert.is(parse({ model_type: "llama", rope_parameters: { rope_theta: 7 } }).config.ropeTheta, 7);
  assert.is(parse({ model_type: "llama", rope_scaling: null, rope_theta: 8 }).config.ropeTheta, 8);
});

test("published configs are read: SmolLM2-135M and Qwen2-0.5B", () => {
  const smol = parse({
    ...{ model_type: "llama", hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30 },
    ...{ num_attention_heads: 9, num_key_value_heads: 3, vocab_size: 49152, rms_norm_eps: 1e-5 },
    ...{
      rope_theta: 100000,
      max_position_embeddings: 8192,
      tie_word_embeddings: true,
      rope_scaling: null,
    },
    ...{ torch_dtype: "bfloat16", pretraining_tp: 1, attention_bias: false, hidden_act: "silu" },
  }).config;
  assert.equal([smol.headDim, smol.kvHeads, smol.ropeTheta], [64, 3, 100000]);
  const qwen = parse({
    ...{ model_type: "qwen2", hidden_size: 896, intermediate_size: 4864, num_hidden_layers: 24 },
    ...{
      num_attention_heads: 14,
      num_key_value_heads: 2,
      vocab_size: 151936,
      rope_theta: 1000000.0,
    },
    ...{
      use_sliding_window: false,
      sliding_window: 32768,
      max_window_layers: 24,
      tie_word_embeddings: true,
    },
    ...{ eos_token_id: [151645, 151643], bos_token_id: 151643 },
  }).config;
  assert.equal([qwen.headDim, qwen.kvHeads], [64, 2]);
  assert.equal(qwen.attentionBias, { qkv: true, out: false });
  assert.equal(qwen.eosTokenId, [151645, 151643]);
});

test("a Mistral is read up to its window, with a warning", () => {
  const { config, warnings } = parse({ model_type: "mistral", max_position_embeddings: 32768 });
  assert.equal([config.maxPositions, config.window], [4096, 4096]);
  assert.match(warnings[0]!, /window of 4096 tokens/);
  const whole = parse({ model_type: "mistral", sliding_window: null }).config;
  assert.equal([whole.maxPositions, whole.window], [131072, undefined]);
});

test("code that a model brings along is reported and never run", () => {
  const { warnings } = parse({ model_type: "llama", auto_map: { AutoModel: "evil.Model" } });
  assert.match(warnings[0]!, /never run/);
});

const llama = { model_type: "llama" };
const gpt2 = { model_type: "gpt2" };
const refused: [string, object, RegExp][] = [
  ["no model type", {}, /"model_type" is missing, but must be one of "gpt2", "llama"/],
  ["an unknown model type", { model_type: "bloom" }, /"model_type" is "bloom"/],
  ["an inherited property as model type", { model_type: "constructor" }, /"model_type"/],
  [
    "a vocabulary of 0",
    { ...llama, vocab_size: 0 },
    /"vocab_size" is 0, but must be a whole number from 1/,
  ],
  ["a width beyond reason", { ...llama, hidden_size: 1e9 }, /"hidden_size" is 1000000000/],
  ["a fractional width", { ...llama, hidden_size: 16.5 }, /"hidden_size" is 16.5/],
  ["a string as width", { ...llama, hidden_size: "16" }, /"hidden_size" is "16"/],
  ["a billion layers", { ...llama, num_hidden_layers: 1e9 }, /"num_hidden_layers"/],
  [
    "heads that do not divide the width",
    { ...llama, hidden_size: 100, num_attention_heads: 3 },
    /"num_attention_heads"/,
  ],
  [
    "key-value heads that do not divide the heads",
    { ...llama, num_key_value_heads: 5 },
    /"num_key_value_heads" is 5, but must be a divisor of the 32 heads/,
  ],
  ["heads of odd width", { ...llama, head_dim: 7 }, /width 7/],
  [
    "an unknown activation",
    { ...llama, hidden_act: "quick_gelu" },
    /"hidden_act" is "quick_gelu", but must be one of/,
  ],
  [
    "scaled rotary positions",
    { ...llama, rope_scaling: { type: "linear", factor: 2 } },
    /"rope_scaling" .* "linear"/,
  ],
  [
    "Llama 3 rotary positions",
    { ...llama, rope_parameters: { rope_type: "llama3", factor: 8 } },
    /"rope_parameters" .* "llama3"/,
  ],
  [
    "rotation of a part of each head",
    { ...llama, partial_rotary_factor: 0.5 },
    /"partial_rotary_factor"/,
  ],
  ["a sliding window", { model_type: "qwen2", use_sliding_window: true }, /slides over a window/],
  ["layers of another attention", { ...llama, layer_types: ["sliding_attention"] }, /layer_types/],
  ["split pretraining", { ...llama, pretraining_tp: 2 }, /pretraining_tp/],
  ["a quantized model", { ...llama, quantization_config: { quant_method: "gptq" } }, /quantized/],
  ["unscaled attention", { ...gpt2, scale_attn_weights: false }, /"scale_attn_weights" is false/],
  [
    "attention scaled by layer",
    { ...gpt2, scale_attn_by_inverse_layer_idx: true },
    /"scale_attn_by_inverse_layer_idx" is true/,
  ],
  ["cross-attention", { ...gpt2, add_cross_attention: true }, /"add_cross_attention"/],
  [
    "GPT-2 heads that do not divide",
    { ...gpt2, n_head: 7 },
    /"n_head" is 7, but must be a divisor of n_embd, 768/,
  ],
  ["an epsilon below 0", { ...gpt2, layer_norm_epsilon: -1 }, /"layer_norm_epsilon"/],
  ["text as end token", { ...gpt2, eos_token_id: ["</s>"] }, /"eos_token_id"/],
];
for (const [what, value, message] of refused) {
  test(`${what} is refused with the name of the file`, () => {
    assert.throws(
      () => parse(value),
      (error: unknown) =>
        error instanceof FormatError &&
        error.message.includes("config.json") &&
        message.test(error.message),
    );
  });
}

test("a model that no Hugging Face config describes is not written as one", () => {
  for (const change of [
    { ropeStyle: "interleaved" },
    { gated: false },
    { attentionBias: { qkv: true, out: false } },
    { modelType: "custom" },
    { norm: "layer" },
  ] as Partial<ModelConfig>[]) {
    assert.throws(
      () => formatModelConfig({ ...expected.llama, ...change }),
      (error: unknown) =>
        error instanceof UsageError && /has no Hugging Face config/.test(error.message),
    );
  }
});

test("any change of any value gives a config or a FormatError", () => {
  fc.assert(
    fc.property(fc.constantFrom(...families), fc.nat(), fc.jsonValue(), (family, index, value) => {
      const whole = JSON.parse(file(family).toString());
      const keys = Object.keys(whole);
      const key = keys[index % keys.length]!;
      try {
        const { config, fields } = parse({ ...whole, [key]: value });
        formatModelConfig(config, { fields });
      } catch (error) {
        assert.instance(error, FormatError);
      }
    }),
    { numRuns: 2000 },
  );
});

test.run();
