// LoRA on linear layers (Hu et al. 2021, arXiv:2106.09685): y = x·Wᵀ + s·drop(x)·Aᵀ·Bᵀ, ΔW = s·B·A,
// A [r, K], B [N, r], s = alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA (Kalajdzievski 2023).

import { expectOptions, type OptionNames } from "../core/options.ts";
import type { LinearLike } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { Transformer } from "../nn/transformer.ts";
import { expectTensor } from "../tensor/check.ts";
import type { LowRankBranch } from "../tensor/linear.ts";
import { matmul } from "../tensor/matmul.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Adapter } from "./adapter.ts";
import { type InjectOptions, injectAdapter } from "./inject.ts";
import type { AdapterLayer, Merged } from "./layer.ts";
import { type LoraConfig, type LoraOptions, loraTable } from "./loraConfig.ts";
import { type LoraScale, LoraScales } from "./loraScale.ts";
import type { AdapterMethod, Init } from "./method.ts";
import { checkTargets } from "./targeting.ts";

/** Scale and dropout of LoRA on one linear layer. */
export interface LoraShape {
  /** s. */
  readonly scale: number;
  readonly dropout: number;
}

const LORA_SHAPE: OptionNames<LoraShape> = { scale: true, dropout: true };

/** LoRA's two factors on one linear layer. */
export class LoraLayer implements AdapterLayer {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly r: number;
  readonly scale: number;
  readonly dropout: number;

  /** @param a A [r, K]; @param b B [N, r] */
  constructor(a: Tensor, b: Tensor, shape: LoraShape) {
    expectTensor("LoraLayer", a);
    expectTensor("LoraLayer", b);
    expectOptions(shape, LORA_SHAPE, "LoraLayer");
    const { scale, dropout } = shape;
    this.a = a;
    this.b = b;
    this.r = a.shape[0] ?? 0;
    this.scale = scale;
    this.dropout = dropout;
  }

  branch(training: boolean): LowRankBranch {
    return { a: this.a, b: this.b, scale: this.scale, dropout: training ? this.dropout : 0 };
  }

  /** ΔW [N, K]. */
  delta(): Tensor {
    return matmul(this.b, this.a).mul(this.scale);
  }

  merged(weight: Tensor, bias: Tensor | null): Merged {
    expectTensor("LoraLayer", weight);
    return { weight: weight.add(this.delta()), bias };
  }
}

const zero: Init = { kind: "constant", value: 0 };
const spread = (width: number): Init => ({ kind: "uniform", bound: 1 / Math.sqrt(width) });

/** The method. */
export const lora: AdapterMethod<LoraConfig, LoraScales> = {
  name: "LoRA",
  peftType: "LORA",
  options: loraTable,
  keys: ["lora_A.weight", "lora_B.weight"],
  foreignKeys: {
    refused: {
      use_dora: "DoRA scales each row of the weight",
      lora_bias: "it adds a bias to B",
      modules_to_save: "it replaces whole modules",
      trainable_token_indices: "it replaces rows of the embedding",
      target_parameters: "it adapts bare parameters",
      layer_replication: "it changes the layers of the model",
      alora_invocation_tokens: "aLoRA acts on a part of the tokens",
      velora_config: "VeLoRA changes the backward pass",
      monteclora_config: "MonteCLoRA samples its weights",
      use_bdlora: "BD-LoRA is block-diagonal",
      arrow_config: "Arrow routes between adapters",
      kasa_config: "KaSA changes the base weights",
      use_qalora: "QA-LoRA pools its inputs",
    },
    ignored: [
      ...["loftq_config", "eva_config", "corda_config", "lora_ga_config", "runtime_config"],
      ...["megatron_config", "megatron_core", "qalora_group_size"],
    ],
    defaults: {
      layer_replication: null,
      loftq_config: {},
      megatron_config: null,
      megatron_core: "megatron.core",
      modules_to_save: null,
      use_dora: false,
    },
  },
  foreignTensors: {
    ".bias": "is a bias that was trained, which is not supported",
    lora_magnitude_vector: "belongs to DoRA, but use_dora is not set",
    lora_embedding_A: "adapts an embedding, which is not supported",
    lora_embedding_B: "adapts an embedding, which is not supported",
  },
  check: checkTargets,
  sites: ["linear", "head"],
  defaultTargets: {
    gpt2: ["c_attn"],
    llama: ["q_proj", "v_proj"],
    mistral: ["q_proj", "v_proj"],
    qwen2: ["q_proj", "v_proj"],
  },

  shared: (_, config) => new LoraScales(config),

  /**
   * `initLoraWeights` as in PEFT: true = A uniform in ±1/sqrt(K) and B zero, "gaussian" = A normal of standard deviation
   * 1/r and B zero, false = B too is uniform, in ±1/sqrt(r).
   */
  make({ path, module }, config, tensor, scales) {
    const { inFeatures: k, outFeatures: n } = module as LinearLike;
    const { r, scale } = scales.of(path);
    const { initLoraWeights: init, loraDropout: dropout } = config;
    const a = tensor(
      "lora_A.weight",
      [r, k],
      init === "gaussian" ? { kind: "normal", std: 1 / r } : spread(k),
    );
    const b = tensor("lora_B.weight", [n, r], init === false ? spread(r) : zero);
    return new LoraLayer(a, b, { scale, dropout });
  },

  remarks: (config, sites) => new LoraScales(config).remarks(sites),

  describe(config, shapes) {
    const known = new LoraScales(config);
    const modules = new Map([...shapes.keys()].map((path) => [path, known.of(path)]));
    const each = (key: keyof LoraScale) => [...new Set([...modules.values()].map((m) => m[key]))];
    const { r, loraAlpha: alpha, loraDropout: dropout, useRslora: rslora } = config;
    const scales = each("scale");
    const shown = listed(scales.map((scale) => Number(scale.toPrecision(4))));
    return {
      method: rslora ? "LoRA, rank-stabilised" : "LoRA",
      label: "Rank",
      details:
        `r ${listed(each("r")) || r}, alpha ${alpha}, scale ${shown}` +
        (dropout === 0 ? "" : `, dropout ${dropout}`),
      data: { r, alpha, dropout, rslora, scales },
      modules: new Map([...modules].map(([path, scale]) => [path, { ...scale }])),
    };
  },
};

/** At most 20 numbers. */
function listed(items: readonly number[]): string {
  const shown = items.slice(0, 20).join(", ");
  return items.length > 20 ? `${shown} and ${items.length - 20} more` : shown;
}

/**
 * Freezes the model, adds a LoRA adapter (Hu et al. 2021, arXiv:2106.09685) and makes it the active one,
 * beside those that are merged: its tensors train, those of others do not.
 * @throws UsageError for options that make no sense, a name that is taken, or targets that match nothing (the message
 *   lists the names that exist); MemoryError. Nothing has changed then.
 * @example
 * const adapter = injectLora(model, { r: 8, loraAlpha: 16, targetModules: ["q_proj", "v_proj"] });
 */
export function injectLora<M extends Module = Transformer>(
  model: M,
  options: LoraOptions = {},
  inject: InjectOptions = {},
): Adapter<LoraConfig, M> {
  return injectAdapter(model, lora, options, inject);
}
