// LoRA on linear layers (Hu et al. 2021, arXiv:2106.09685): y = x·Wᵀ + s·drop(x)·Aᵀ·Bᵀ, ΔW = s·B·A,
// A [r, K], B [N, r], s = alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA (Kalajdzievski 2023).

import { UsageError } from "../core/error.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import type { LinearLike } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { Transformer } from "../nn/transformer.ts";
import { expectTensor } from "../tensor/check.ts";
import type { LowRankBranch } from "../tensor/linear.ts";
import { matmul } from "../tensor/matmul.ts";
import type { PackOptions } from "../tensor/pack.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Adapter } from "./adapter.ts";
import { type InjectOptions, injectAdapter } from "./inject.ts";
import type { AdapterLayer, Merged } from "./layer.ts";
import type { AdapterMethod, Init, Site } from "./method.ts";
import {
  boolean,
  finite,
  type OptionTable,
  probability,
  resolveOptions,
  whole,
  wrong,
} from "./option.ts";
import { Steps } from "./pattern.ts";
import { FirstMatch, type KeyedNumbers, keyedNumbers } from "./patternMap.ts";
import { capped, existing } from "./target.ts";
import {
  checkTargets,
  fanInFanOutRow,
  type TargetConfig,
  type TargetOptions,
  targetRows,
} from "./targeting.ts";

/** The options of a LoRA adapter; all have PEFT's defaults. `prepack` is about this run, and not saved. */
export interface LoraOptions extends TargetOptions, PackOptions {
  /** Rank of the update; default 8. */
  readonly r?: number;
  /** The update is scaled by `loraAlpha / r`; default 8. */
  readonly loraAlpha?: number;
  /** Probability with which an element of the input of A is dropped in training, in [0, 1); default 0. */
  readonly loraDropout?: number;
  /** Ranks of single modules, by a pattern for the end of their path; the first match counts. */
  readonly rankPattern?: Readonly<Record<string, number>> | ReadonlyMap<string, number>;
  /** Alphas of single modules, in the same way. */
  readonly alphaPattern?: Readonly<Record<string, number>> | ReadonlyMap<string, number>;
  /** Scale by `loraAlpha / sqrt(r)` instead; default false. */
  readonly useRslora?: boolean;
  /** A fresh adapter: true = A uniform and B zero, "gaussian" = A normal / r and B zero, false = both random. */
  readonly initLoraWeights?: boolean | "gaussian";
  /** Biases to train as well; only "none" is supported. */
  readonly bias?: "none";
  /** Kept for PEFT, which stores here that the base's weights lie as [in, out] (GPT-2); default false. */
  readonly fanInFanOut?: boolean;
}

/** Complete and checked options. */
export interface LoraConfig extends TargetConfig {
  readonly r: number;
  readonly loraAlpha: number;
  readonly loraDropout: number;
  readonly useRslora: boolean;
  readonly rankPattern: KeyedNumbers;
  readonly alphaPattern: KeyedNumbers;
  readonly initLoraWeights: boolean | "gaussian";
  readonly bias: "none";
  readonly fanInFanOut: boolean;
}

/** No weight matrix of a Transformer has a rank above this. */
export const MAX_RANK = 65_536;

const rank = whole(1, MAX_RANK);

/** Ways to start that leave the base as it is. */
const HARMLESS_STARTS = ["gaussian", "eva", "orthogonal", "mica"];

/** Ways that change it, by the beginning of their names. */
const CHANGING_STARTS: readonly (readonly [string, string])[] = [
  ["pissa", "PiSSA"],
  ["olora", "OLoRA"],
  ["corda", "CorDA"],
  ["loftq", "LoftQ"],
  ["lora_ga", "LoRA-GA"],
];

/**
 * How a stored adapter started. Some ways take a part out of the base weights, and the adapter is only right on what is
 * left of them; PEFT writes true for one that was converted to the whole base when it was saved.
 */
function startOf(value: unknown): unknown {
  if (typeof value !== "string" || value === "gaussian") return value;
  if (HARMLESS_STARTS.includes(value.toLowerCase())) return true;
  const known = CHANGING_STARTS.find(([start]) => value.toLowerCase().startsWith(start));
  const what =
    known === undefined
      ? "it is not known, and may change the base weights as well"
      : `${known[1]} changes the base weights as well`;
  throw new UsageError(
    `"init_lora_weights" is ${JSON.stringify(value)}: ${what}, which is not supported. Save the adapter with ` +
      "PEFT's path_initial_model_for_weight_conversion, or merge it into its base with PEFT and load the merged model.",
  );
}

const options: OptionTable<LoraConfig> = {
  r: {
    key: "r",
    fallback: 8,
    help: "rank of the update",
    check: rank,
    flag: { name: "r", kind: "number" },
    trains: true,
  },
  loraAlpha: {
    key: "lora_alpha",
    fallback: 8,
    help: "the update is scaled by alpha / r",
    check: finite,
    flag: { name: "alpha", kind: "number" },
    trains: true,
  },
  loraDropout: {
    key: "lora_dropout",
    fallback: 0,
    help: "dropout on the adapter's input while training",
    check: probability,
    flag: { name: "dropout", kind: "number" },
    trains: true,
    float: true,
  },
  useRslora: {
    key: "use_rslora",
    fallback: false,
    help: "scale by alpha / sqrt(r) instead (rank-stabilised LoRA)",
    check: boolean,
    flag: { name: "rslora", kind: "switch" },
    trains: true,
  },
  rankPattern: {
    key: "rank_pattern",
    fallback: new Map(),
    help: "ranks of single modules, by a pattern for the end of their path",
    check: (value, option) => keyedNumbers(value, option, rank),
    trains: true,
  },
  alphaPattern: {
    key: "alpha_pattern",
    fallback: new Map(),
    help: "alphas of single modules, in the same way",
    check: (value, option) => keyedNumbers(value, option, finite),
    trains: true,
  },
  ...targetRows,
  initLoraWeights: {
    key: "init_lora_weights",
    fallback: true,
    help: "initial values: true, false or gaussian",
    check: (value, option) =>
      value === "gaussian" || typeof value === "boolean"
        ? value
        : wrong(option, value, 'true, false or "gaussian"'),
    stored: startOf,
  },
  bias: {
    key: "bias",
    fallback: "none",
    help: "biases to train as well",
    check: (value, option) =>
      value === "none" ? value : wrong(option, value, '"none"; training biases is not supported'),
    // PEFT says so also where the model has no biases; those in a file are refused.
    stored: (value) => (value === "all" || value === "lora_only" ? "none" : value),
    storedRemark: (value) =>
      value === "all" || value === "lora_only"
        ? `"bias" is "${value}"; trained biases are not supported, and an adapter that holds some is refused.`
        : null,
  },
  fanInFanOut: fanInFanOutRow,
};

/** Rank, alpha and scale s of one module. */
export interface LoraScale {
  readonly r: number;
  readonly alpha: number;
  readonly scale: number;
}

/** The ranks and scales that a config gives. */
export class LoraScales {
  readonly #config: LoraConfig;
  readonly #ranks: FirstMatch;
  readonly #alphas: FirstMatch;

  constructor(config: LoraConfig) {
    const steps = new Steps();
    this.#config = config;
    this.#ranks = new FirstMatch(config.rankPattern, "rankPattern", steps);
    this.#alphas = new FirstMatch(config.alphaPattern, "alphaPattern", steps);
  }

  /** Those of the module at a path. */
  of(path: string): LoraScale {
    const { r: rank, loraAlpha, useRslora } = this.#config;
    const r = this.#ranks.of(path) ?? rank;
    const alpha = this.#alphas.of(path) ?? loraAlpha;
    return { r, alpha, scale: alpha / (useRslora ? Math.sqrt(r) : r) };
  }

  /** Remarks on keys that match none of the adapted modules, and on ranks that say more than a weight can hold. */
  remarks(sites: readonly Site[]): string[] {
    const paths = sites.map(({ path }) => path);
    const scales = paths.map((path) => this.of(path));
    const remarks: string[] = [];
    for (const [option, match] of [
      ["rankPattern", this.#ranks],
      ["alphaPattern", this.#alphas],
    ] as const) {
      const unused = match.unused(paths);
      for (const key of capped(unused, remarks, `keys of ${option} match no adapted module`)) {
        remarks.push(
          `${option} ${JSON.stringify(key)} matches no adapted module; ${existing(sites, key)}.`,
        );
      }
    }
    const wide = sites.filter(({ module }, i) => {
      const { inFeatures, outFeatures } = module as LinearLike;
      return (scales[i]?.r ?? 0) > Math.min(inFeatures, outFeatures);
    });
    return wide.length === 0 ? remarks : [...remarks, wideRemark(wide)];
  }
}

/** A product of B [N, r] and A [r, K] has no more independent rows than the smaller of N and K. */
function wideRemark([first, ...others]: readonly Site[]): string {
  if (first === undefined) return "";
  const { inFeatures, outFeatures } = first.module as LinearLike;
  const more = others.length > 0 ? ` and ${others.length} more` : "";
  return (
    `The rank for ${first.path} [${outFeatures}, ${inFeatures}]${more} is above the smaller side of the weight: it takes ` +
    "memory and time, and cannot express more than that side."
  );
}

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
    return { weight: weight.add(this.delta()), bias };
  }
}

const zero: Init = { kind: "constant", value: 0 };
const spread = (width: number): Init => ({ kind: "uniform", bound: 1 / Math.sqrt(width) });

/** The method. */
export const lora: AdapterMethod<LoraConfig, LoraScales> = {
  name: "LoRA",
  peftType: "LORA",
  options,
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

/** Checks options and fills in the defaults. */
export function resolveLoraConfig(given: LoraOptions = {}): LoraConfig {
  const config = resolveOptions(options, given, lora.name);
  checkTargets(config);
  return config;
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
