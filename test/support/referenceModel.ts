// A Transformer of the front end, computed in float64 from the ops of the reference: the truth that float32 models are
// compared with. Adapters are folded into the weights, which in float64 changes nothing that float32 could see.

import type { Adapter } from "../../src/adapters/adapter.ts";
import type { AdapterLayer } from "../../src/adapters/layer.ts";
import { LoraLayer } from "../../src/adapters/lora.ts";
import type { TokenBatch } from "../../src/nn/batch.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import type { StateDict } from "../../src/nn/module.ts";
import { geluTanh, silu } from "../../src/reference/activation.ts";
import { type Arr, array } from "../../src/reference/array.ts";
import { attention } from "../../src/reference/attention.ts";
import { add, mul } from "../../src/reference/elementwise.ts";
import { embedding } from "../../src/reference/embedding.ts";
import { linear } from "../../src/reference/linear.ts";
import { loraMerge } from "../../src/reference/lora.ts";
import { layerNorm, rmsNorm } from "../../src/reference/norm.ts";
import { rope } from "../../src/reference/rope.ts";
import { reshape, slice } from "../../src/reference/shape.ts";

/** Copies of a model's weights in float64, by name. */
export type Weights = ReadonlyMap<string, Arr>;

/** Weight and bias of a layer with an adapter, by the method's page. */
export type ReferenceMerge = (
  layer: AdapterLayer,
  weight: Arr,
  bias: Arr | undefined,
  adapter: Adapter<object>,
) => { readonly W: Arr; readonly b: Arr | undefined };

const mergeLora: ReferenceMerge = (layer, W, b) => {
  if (!(layer instanceof LoraLayer)) throw new Error("no LoRA");
  const A = array(layer.a.shape, layer.a.toArray());
  const B = array(layer.b.shape, layer.b.toArray());
  // The engine's s is a float32 number, whichever way it goes.
  return { W: loraMerge({ W, A, B, s: Math.fround(layer.scale) }), b };
};

/** The weights of an unmerged model, with these adapters folded in. */
export function weightsOf(
  state: StateDict,
  adapters: readonly Adapter<object>[] = [],
  merge: ReferenceMerge = mergeLora,
): Weights {
  const weights = new Map(
    [...state].map(([name, { shape, data }]): [string, Arr] => [name, array(shape, data)]),
  );
  for (const adapter of adapters) {
    for (const [path, layer] of adapter.layers) {
      const own = weights.get(`${path}.weight`) ?? weights.get(tied(weights))!;
      const { W, b } = merge(layer, own, weights.get(`${path}.bias`), adapter);
      weights.set(`${path}.weight`, W);
      if (b !== undefined) weights.set(`${path}.bias`, b);
    }
  }
  return weights;
}

function tied(weights: Weights): string {
  return weights.has("transformer.wte.weight")
    ? "transformer.wte.weight"
    : "model.embed_tokens.weight";
}

/** Logits [B, T, V] of a batch. Models of the two styles in models.ts. */
export function referenceLogits(config: ModelConfig, weights: Weights, batch: TokenBatch): Arr {
  const { batchSize: b, blockSize: t } = batch;
  const tensor = (name: string): Arr => {
    const found = weights.get(name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  };
  const apply = (x: Arr, module: string): Arr =>
    linear(x, tensor(`${module}.weight`), { bias: weights.get(`${module}.bias`) });
  const norm = (x: Arr, name: string): Arr =>
    config.norm === "rms"
      ? rmsNorm(x, tensor(`${name}.weight`), config.normEps)
      : layerNorm(x, tensor(`${name}.weight`), tensor(`${name}.bias`), config.normEps);
  const ids = array([b, t], batch.inputs);
  const starts = array([b, t], batch.starts);
  const positions = array([b, t], batch.positions);
  const heads = (x: Arr, count: number): Arr => reshape(x, [b, t, count, config.headDim]);
  const width = config.heads * config.headDim;
  const mixed = (q: Arr, k: Arr, v: Arr): Arr =>
    reshape(attention(q, k, v, { starts }), [b, t, width]);
  const head = weights.get("lm_head.weight") ?? tensor(tied(weights));

  if (config.modelType === "gpt2") {
    let h = add(
      embedding(tensor("transformer.wte.weight"), ids),
      embedding(tensor("transformer.wpe.weight"), positions),
    );
    for (let layer = 0; layer < config.layers; layer++) {
      const at = `transformer.h.${layer}`;
      const fused = apply(norm(h, `${at}.ln_1`), `${at}.attn.c_attn`);
      const [q, k, v] = [0, 1, 2].map((part) =>
        heads(
          slice(fused, { axis: -1, start: part * width, end: (part + 1) * width }),
          config.heads,
        ),
      );
      h = add(h, apply(mixed(q!, k!, v!), `${at}.attn.c_proj`));
      h = add(
        h,
        apply(geluTanh(apply(norm(h, `${at}.ln_2`), `${at}.mlp.c_fc`)), `${at}.mlp.c_proj`),
      );
    }
    return linear(norm(h, "transformer.ln_f"), head);
  }
  const turned = (x: Arr): Arr => rope(x, positions, { theta: config.ropeTheta });
  let h = embedding(tensor("model.embed_tokens.weight"), ids);
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
  return linear(norm(h, "model.norm"), head);
}

/** ‖actual − truth‖ in the 2-norm. */
export function distance(actual: ArrayLike<number>, truth: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < truth.length; i++) {
    const difference = actual[i]! - truth[i]!;
    sum += difference * difference;
  }
  return Math.sqrt(sum);
}
