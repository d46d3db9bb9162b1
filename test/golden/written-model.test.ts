// The small Llama and GPT-2 of test/fixtures, put together from the ops of the float64 reference: their logits and
// first losses are PyTorch's. So the start values are drawn here as they were there, and the ops fit together.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { geluTanh, silu } from "../../src/reference/activation.ts";
import { type Arr, array, row } from "../../src/reference/array.ts";
import { attention } from "../../src/reference/attention.ts";
import { crossEntropy } from "../../src/reference/crossEntropy.ts";
import { add, mul } from "../../src/reference/elementwise.ts";
import { embedding } from "../../src/reference/embedding.ts";
import { linear } from "../../src/reference/linear.ts";
import { layerNorm, rmsNorm } from "../../src/reference/norm.ts";
import { rope } from "../../src/reference/rope.ts";
import { reshape, slice, transpose } from "../../src/reference/shape.ts";
import {
  type ModelCase,
  type ModelFixture,
  type ModelRun,
  readFixture,
} from "../fixtures/fixture.ts";
import { writtenStart } from "./written-model.ts";

/** What both models need: tensors by name, their linear layers, the tokens and what a query may see. */
function setUp(fixture: ModelFixture, model: ModelCase, run: ModelRun) {
  const { batch, length, config } = fixture;
  const { weights, lora } = writtenStart(model);
  const scale = fixture.lora.loraAlpha / fixture.lora.r;
  const has = (name: string): boolean => weights.has(name);
  const tensor = (name: string): Arr => {
    const found = weights.get(name) ?? lora.get(name);
    if (found === undefined) throw new Error(`The plan of ${model.name} has no ${name}.`);
    return array(found.shape, found.data);
  };
  const apply = (x: Arr, module: string): Arr => {
    const weight = tensor(`${module}.weight`);
    const options = {
      bias: has(`${module}.bias`) ? tensor(`${module}.bias`) : undefined,
      lowRank:
        run.trained === "lora"
          ? { A: tensor(`${module}.lora_A.weight`), B: tensor(`${module}.lora_B.weight`), scale }
          : undefined,
    };
    return linear(x, config.modelType === "gpt2" ? transpose(weight) : weight, options);
  };
  const starts = array([batch, length], run.packed ? fixture.starts.flat() : undefined);
  const positions = array(
    [batch, length],
    starts.data.map((start, i) => (i % length) - start),
  );
  const ids = array([batch, length], model.inputs.flat());
  const heads = (x: Arr, count: number): Arr => reshape(x, [batch, length, count, config.headDim]);
  const mixed = (q: Arr, k: Arr, v: Arr): Arr =>
    reshape(attention(q, k, v, { starts }), [batch, length, config.heads * config.headDim]);
  return { config, tensor, has, apply, positions, ids, heads, mixed };
}

function llamaLogits(fixture: ModelFixture, model: ModelCase, run: ModelRun): Arr {
  const { config, tensor, has, apply, positions, ids, heads, mixed } = setUp(fixture, model, run);
  const norm = (x: Arr, name: string): Arr => rmsNorm(x, tensor(`${name}.weight`), config.normEps);
  const turned = (x: Arr): Arr => rope(x, positions, { theta: config.ropeTheta! });
  const table = tensor("model.embed_tokens.weight");
  let h = embedding(table, ids);
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `model.layers.${layer}`;
    const n = norm(h, `${at}.input_layernorm`);
    const q = turned(heads(apply(n, `${at}.self_attn.q_proj`), config.heads));
    const k = turned(heads(apply(n, `${at}.self_attn.k_proj`), config.kvHeads));
    const v = heads(apply(n, `${at}.self_attn.v_proj`), config.kvHeads);
    h = add(h, apply(mixed(q, k, v), `${at}.self_attn.o_proj`));
    const m = norm(h, `${at}.post_attention_layernorm`);
    const inner = mul(silu(apply(m, `${at}.mlp.gate_proj`)), apply(m, `${at}.mlp.up_proj`));
    h = add(h, apply(inner, `${at}.mlp.down_proj`));
  }
  return linear(norm(h, "model.norm"), has("lm_head.weight") ? tensor("lm_head.weight") : table);
}

function gpt2Logits(fixture: ModelFixture, model: ModelCase, run: ModelRun): Arr {
  const { config, tensor, apply, positions, ids, heads, mixed } = setUp(fixture, model, run);
  const norm = (x: Arr, name: string): Arr =>
    layerNorm(x, tensor(`${name}.weight`), tensor(`${name}.bias`), config.normEps);
  const table = tensor("transformer.wte.weight");
  let h = add(embedding(table, ids), embedding(tensor("transformer.wpe.weight"), positions));
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `transformer.h.${layer}`;
    const fused = apply(norm(h, `${at}.ln_1`), `${at}.attn.c_attn`);
    const width = config.hiddenSize;
    const [q, k, v] = [0, 1, 2].map((part) =>
      heads(slice(fused, { axis: -1, start: part * width, end: (part + 1) * width }), config.heads),
    );
    h = add(h, apply(mixed(q!, k!, v!), `${at}.attn.c_proj`));
    const inner = geluTanh(apply(norm(h, `${at}.ln_2`), `${at}.mlp.c_fc`));
    h = add(h, apply(inner, `${at}.mlp.c_proj`));
  }
  return linear(norm(h, "transformer.ln_f"), table);
}

/**
 * Float64 on both sides, so the rounding is about 1e-14. What the fixture rounds to 12 digits is 5e-13 off, and a
 * start value whose normal number falls on the other side of a float32 boundary would be 6e-8 off in one weight
 * of thousands: 1e-9 of the whole.
 */
const TOLERANCE = 1e-9;

function isClose(actual: number, expected: number, what: string): void {
  const allowed = TOLERANCE * (1 + Math.abs(expected));
  assert.ok(Math.abs(actual - expected) <= allowed, `${what}: ${actual}, PyTorch ${expected}`);
}

for (const [name, logitsOf] of [
  ["llama", llamaLogits],
  ["gpt2", gpt2Logits],
] as const) {
  const fixture = readFixture(name);
  const { batch, length, config } = fixture;
  for (const model of fixture.models) {
    for (const run of model.runs) {
      test(`${name}, ${model.name}, ${run.name}: logits and loss equal PyTorch's`, () => {
        const logits = logitsOf(fixture, model, run);
        for (const { at, data } of run.logits.rows) {
          const found = row(logits, at[0] * length + at[1]);
          for (const [i, value] of data.entries()) isClose(found[i]!, value, `logits ${at}, ${i}`);
        }
        isClose(Math.hypot(...logits.data), run.logits.norm, "norm of the logits");
        const flat = reshape(logits, [batch * length, config.vocabSize]);
        const loss = crossEntropy(flat, array([batch * length], model.targets.flat()));
        isClose(loss.data[0]!, run.losses.float64[0]!, "loss");
      });
    }
  }
}

test.run();
