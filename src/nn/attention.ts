// Causal self-attention with grouped heads (Vaswani et al. 2017; Ainslie et al. 2023).
//   q = x·Wqᵀ [B, T, H, d]   k, v = x·Wkᵀ, x·Wvᵀ [B, T, G, d]   y = attention(rope(q), rope(k), v)·Woᵀ
// The projections are separate (q_proj, k_proj, v_proj, o_proj) or fused (c_attn, c_proj: GPT-2).

import { expectFunction, expectObject } from "../core/kind.ts";
import { attention, writeCache } from "../tensor/attention.ts";
import { expectTensor } from "../tensor/check.ts";
import { allOrNothing } from "../tensor/record.ts";
import { ropeKnown } from "../tensor/rope.ts";
import { composite } from "../tensor/scope.ts";
import { concat, slice } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LayerCache } from "./cache.ts";
import { checkConfig, type ModelConfig } from "./config.ts";
import type { Context } from "./context.ts";
import type { Initializer } from "./init.ts";
import { Linear, type LinearLike } from "./linear.ts";
import { Module } from "./module.ts";

function expectContext(context: Context): void {
  expectObject("The context of attention", context);
  expectTensor("The context of attention", context.positions);
  expectFunction("The offset of attention's context", context.offset);
  if (context.rotary !== null) expectTensor("The context of attention", context.rotary);
}

function expectCache(cache: LayerCache | null): void {
  if (cache === null) return;
  expectObject("The cache of attention", cache);
  expectTensor("The cache of attention", cache.keys);
  expectTensor("The cache of attention", cache.values);
}

/**
 * The attention of one layer: projections, rotary positions if the model has them, and the output projection.
 */
export class SelfAttention extends Module {
  override readonly kind = "attention";
  readonly hiddenSize: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly #config: ModelConfig;
  readonly #fused: boolean;

  constructor(config: ModelConfig, init: Initializer) {
    super();
    checkConfig(config);
    expectFunction("The initializer", init);
    this.hiddenSize = config.hiddenSize;
    this.kvHeads = config.kvHeads;
    this.headDim = config.headDim;
    this.#config = config;
    this.#fused = config.modelType === "gpt2";
    const { hiddenSize: d, attentionBias } = config;
    const inner = config.heads * config.headDim;
    const kv = config.kvHeads * config.headDim;
    const qkv = { bias: attentionBias.qkv };
    const out = { bias: attentionBias.out };
    allOrNothing(() => {
      if (this.#fused) {
        const stored = { storedTransposed: true };
        this.addModule("c_attn", new Linear(d, inner + 2 * kv, { ...qkv, ...stored }, init));
        this.addModule("c_proj", new Linear(inner, d, { ...out, ...stored }, init));
      } else {
        this.addModule("q_proj", new Linear(d, inner, qkv, init));
        this.addModule("k_proj", new Linear(d, kv, qkv, init));
        this.addModule("v_proj", new Linear(d, kv, qkv, init));
        this.addModule("o_proj", new Linear(inner, d, out, init));
      }
    });
  }

  #project(name: string, x: Tensor): Tensor {
    return (this.child(name) as LinearLike).forward(x);
  }

  #queriesKeysValues(x: Tensor): readonly [Tensor, Tensor, Tensor] {
    if (!this.#fused) {
      return [this.#project("q_proj", x), this.#project("k_proj", x), this.#project("v_proj", x)];
    }
    const all = this.#project("c_attn", x);
    const inner = this.#config.heads * this.#config.headDim;
    const kv = this.#config.kvHeads * this.#config.headDim;
    return [
      slice(all, 2, 0, inner),
      slice(all, 2, inner, inner + kv),
      slice(all, 2, inner + kv, inner + 2 * kv),
    ];
  }

  /** x [B, T, D] to [B, T, D]. */
  forward(x: Tensor, context: Context, cache: LayerCache | null): Tensor {
    expectTensor("SelfAttention", x);
    expectContext(context);
    expectCache(cache);
    return composite(x, () => this.#compute(x, context, cache));
  }

  #compute(x: Tensor, context: Context, cache: LayerCache | null): Tensor {
    const { heads, kvHeads, headDim, ropeStyle } = this.#config;
    const { batchSize: b, blockSize: t, rotary, positions, offset, prefix } = context;
    const [q0, k0, v0] = this.#queriesKeysValues(x);
    let q = q0.reshape([b, t, heads, headDim]);
    let k = k0.reshape([b, t, kvHeads, headDim]);
    let v = v0.reshape([b, t, kvHeads, headDim]);
    if (rotary !== null) {
      q = ropeKnown(q, rotary, positions, ropeStyle);
      k = ropeKnown(k, rotary, positions, ropeStyle);
    }
    if (prefix !== undefined) {
      k = concat([prefix.keys, k], 1);
      v = concat([prefix.values, v], 1);
    }
    const starts = context.starts === undefined ? {} : { starts: context.starts };
    let mixed: Tensor;
    if (cache === null) {
      mixed = attention(q, k, v, starts);
    } else {
      writeCache(cache.keys, k, offset);
      writeCache(cache.values, v, offset);
      const first = (): number => offset() + (prefix?.keys.shape[1] ?? 0);
      mixed = attention(q, cache.keys, cache.values, { ...starts, offset: first });
    }
    return this.#project(this.#fused ? "c_proj" : "o_proj", mixed.reshape([b, t, heads * headDim]));
  }
}
