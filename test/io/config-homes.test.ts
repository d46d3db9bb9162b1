// Settings that may stand in several places of a config.json are read in the order of transformers (5.24, whose answers
// these are), and written to all of the places.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/core/error.ts";
import { formatModelConfig, parseModelConfig } from "../../src/io/huggingface-config.ts";
import type { ModelConfig } from "../../src/nn/config.ts";

const parse = (value: unknown) => parseModelConfig(new TextEncoder().encode(JSON.stringify(value)));
const write = (value: object, change: Partial<ModelConfig>, dtype?: "float16") => {
  const { config, fields } = parse(value);
  const options = dtype === undefined ? { fields } : { fields, dtype };
  return JSON.parse(formatModelConfig({ ...config, ...change }, options)) as object;
};

const llama = { model_type: "llama" };
const gpt2 = { model_type: "gpt2" };
const plain = { rope_type: "default" };

const thetas: [object, number][] = [
  [{}, 10_000],
  [{ rope_theta: 2e4 }, 2e4],
  [{ rope_scaling: { ...plain, rope_theta: 5e5 } }, 5e5],
  [{ rope_theta: 2e4, rope_scaling: { ...plain, rope_theta: 5e5 } }, 5e5],
  [{ rope_theta: 2e4, rope_scaling: plain }, 2e4],
  [{ rope_theta: 2e4, rope_parameters: plain }, 2e4],
  [{ rope_theta: 2e4, rope_parameters: { rope_theta: 3e5 } }, 3e5],
  [{ rope_theta: 2e4, rope_scaling: {} }, 2e4],
  [{ rope_theta: 2e4, rope_scaling: null, rope_parameters: { rope_theta: 3e5 } }, 3e5],
  [{ rope_scaling: {}, rope_parameters: { rope_theta: 3e5 } }, 3e5],
  [{ rope_scaling: plain, rope_parameters: { ...plain, rope_theta: 5e5 } }, 10_000],
  [{ rope_theta: 2e4, rope_scaling: plain, rope_parameters: { rope_theta: 5e5 } }, 2e4],
  [{ rope_scaling: { rope_theta: 4e5 }, rope_parameters: { rope_theta: 5e5 } }, 4e5],
  [{ rope_theta: 2e4, rope_scaling: { type: "linear", rope_type: "default", factor: 2 } }, 2e4],
];
for (const [value, theta] of thetas) {
  test(`rope_theta of ${JSON.stringify(value)} is ${theta}`, () => {
    const { config, warnings } = parse({ ...llama, ...value });
    assert.is(config.ropeTheta, theta);
    const differs =
      "rope_scaling" in value && JSON.stringify(value).includes('"rope_parameters":{');
    const isIgnored = differs && JSON.stringify(value.rope_scaling) !== "{}" && value.rope_scaling;
    assert.is(warnings.length, isIgnored ? 1 : 0, warnings.join());
  });
}

test("a new rope_theta is written where it counts and wherever one stands", () => {
  for (const [value] of thetas) {
    const written = write({ ...llama, ...value }, { ropeTheta: 77_777 });
    assert.is(parse(written).config.ropeTheta, 77_777, JSON.stringify(written));
    assert.not.match(JSON.stringify(written), /"rope_theta":[^7]/);
  }
});

const sizes = (config: ModelConfig): number[] => [
  config.hiddenSize,
  config.layers,
  config.heads,
  config.maxPositions,
];
const own = { n_embd: 64, n_layer: 3, n_head: 8, n_positions: 33 };
const general = {
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  max_position_embeddings: 44,
};
for (const [what, value, expected] of [
  ["its own names", own, [64, 3, 8, 33]],
  ["the general names", general, [32, 2, 4, 44]],
  ["both, of which the general ones count", { ...general, ...own }, [32, 2, 4, 44]],
  ["both, in the other order", { ...own, ...general }, [32, 2, 4, 44]],
  ["n_ctx beside n_positions", { ...own, n_ctx: 55 }, [64, 3, 8, 33]],
  ["null beside a number", { ...own, hidden_size: null }, [64, 3, 8, 33]],
  ["no names", {}, [768, 12, 12, 1024]],
] as const) {
  test(`a GPT-2 by ${what}`, () => {
    assert.equal(sizes(parse({ ...gpt2, ...value }).config), expected);
    const change = { hiddenSize: 48, layers: 5, heads: 6, headDim: 8, maxPositions: 99 };
    const written = write({ ...gpt2, ...value }, { ...change, kvHeads: 6, intermediateSize: 192 });
    assert.equal(sizes(parse(written).config), [48, 5, 6, 99]);
    const names = Object.entries(written).filter(
      ([key]) => key in { ...own, ...general, n_ctx: 0 },
    );
    for (const [key, size] of names) assert.ok([48, 5, 6, 99].includes(size), key);
  });
}

test("the type of the weights is written under the name, or both names, that the file has", () => {
  for (const [value, expected] of [
    [{}, { torch_dtype: "float16" }],
    [{ dtype: "bfloat16" }, { dtype: "float16" }],
    [{ torch_dtype: "bfloat16" }, { torch_dtype: "float16" }],
    [
      { torch_dtype: "bfloat16", dtype: "float32" },
      { torch_dtype: "float16", dtype: "float16" },
    ],
  ] as const) {
    assert.equal(write({ ...llama, ...value }, {}, "float16"), { ...llama, ...expected });
  }
});

test("key-value heads of null are as many as query heads, and a missing number is the family's", () => {
  const heads = { hidden_size: 64, num_attention_heads: 4 };
  for (const model_type of ["llama", "qwen2"]) {
    assert.is(parse({ model_type, ...heads, num_key_value_heads: null }).config.kvHeads, 4);
  }
  assert.is(parse({ model_type: "mistral" }).config.kvHeads, 8);
});

test("a Qwen2 whose layers all come before max_window_layers has no window", () => {
  const qwen = { model_type: "qwen2", use_sliding_window: true, num_hidden_layers: 2 };
  assert.is(parse({ ...qwen, max_window_layers: 2 }).config.layers, 2);
  assert.is(parse(qwen).config.layers, 2);
  assert.is(parse({ ...qwen, sliding_window: null, max_window_layers: 0 }).config.layers, 2);
  const listed = {
    ...qwen,
    max_window_layers: 0,
    layer_types: ["full_attention", "full_attention"],
  };
  assert.is(parse(listed).config.layers, 2);
  assert.throws(() => parse({ ...qwen, max_window_layers: 1 }), /slides over a window/);
});

for (const [what, value, message] of [
  [
    "rotary positions of one kind of layers",
    { ...llama, rope_parameters: { full_attention: { rope_theta: 5e5 } } },
    /"rope_parameters" has settings for layers of the kind "full_attention" alone/,
  ],
  [
    "a text part in another model",
    { ...llama, text_config: { hidden_size: 8 } },
    /"text_config" is set: the model has a part for text/,
  ],
  ["an infinite rope_theta", { ...llama, rope_scaling: { rope_theta: "∞" } }, /"rope_theta" is "/],
] as const) {
  test(`${what}: refused by name`, () => {
    assert.throws(
      () => parse(value),
      (error: unknown) => error instanceof FormatError && message.test(error.message),
    );
  });
}

test.run();
