// The fields of a config.json of the Llama family (transformers, `models/{llama,mistral,qwen2}/
// configuration_*.py`). The families share names and mathematics; they differ in defaults, in their biases
// (Llama: on demand; Qwen2: queries, keys and values; Mistral: none) and in attention over a window, which
// is not built: Mistral is read up to its window, within which it is plain attention.
import { FormatError } from "../core/error.ts";
import type { ModelConfig } from "../nn/config.ts";
import { LAYERS, nameOfActivation, readActivation, readTokens, SIZE } from "./config-fields.ts";
import type { Fields } from "./fields.ts";
import type { JsonValue } from "./json.ts";

type LlamaType = "llama" | "mistral" | "qwen2";

interface Family {
  readonly architecture: string;
  readonly vocabSize: number;
  readonly intermediateSize: number;
  /** null: as many as query heads. */
  readonly kvHeads: number | null;
  readonly maxPositions: number;
  readonly window: number | null;
  readonly bos: number | null;
  readonly eos: number | null;
}

const FAMILIES: Readonly<Record<LlamaType, Family>> = {
  llama: {
    architecture: "LlamaForCausalLM",
    vocabSize: 32000,
    intermediateSize: 11008,
    kvHeads: null,
    maxPositions: 2048,
    window: null,
    bos: 1,
    eos: 2,
  },
  mistral: {
    architecture: "MistralForCausalLM",
    vocabSize: 32000,
    intermediateSize: 14336,
    kvHeads: 8,
    maxPositions: 131072,
    window: 4096,
    bos: 1,
    eos: 2,
  },
  qwen2: {
    architecture: "Qwen2ForCausalLM",
    vocabSize: 151936,
    intermediateSize: 22016,
    kvHeads: 32,
    maxPositions: 32768,
    window: null,
    bos: null,
    eos: null,
  },
};

/** The model types of this family. */
export const llamaTypes: readonly string[] = Object.keys(FAMILIES);

export function isLlama(modelType: string): modelType is LlamaType {
  return Object.hasOwn(FAMILIES, modelType);
}

export function readLlama(fields: Fields, modelType: LlamaType, warnings: string[]): ModelConfig {
  refuse(fields, modelType);
  const family = FAMILIES[modelType];
  const hiddenSize = fields.integer("hidden_size", { ...SIZE, fallback: 4096 });
  const heads = fields.integer("num_attention_heads", { ...SIZE, fallback: 32 });
  const kvHeads = fields.integer("num_key_value_heads", {
    ...SIZE,
    // null says as many as query heads; where nothing is said, the family has a number of its own.
    fallback: fields.object.has("num_key_value_heads") ? heads : (family.kvHeads ?? heads),
  });
  if (heads % kvHeads !== 0) fields.wrong("num_key_value_heads", `a divisor of the ${heads} heads`);
  if (!fields.isSet("head_dim") && hiddenSize % heads !== 0) {
    fields.wrong("num_attention_heads", `a divisor of hidden_size, ${hiddenSize}`);
  }
  const headDim = fields.integer("head_dim", { ...SIZE, fallback: hiddenSize / heads });
  if (headDim % 2 !== 0) {
    throw new FormatError(
      `${fields.file}: heads of width ${headDim} cannot be rotated in pairs; it must be even.`,
    );
  }
  const outBias = modelType === "llama" && fields.boolean("attention_bias", false);
  return {
    modelType,
    vocabSize: fields.integer("vocab_size", { ...SIZE, fallback: family.vocabSize }),
    hiddenSize,
    layers: fields.integer("num_hidden_layers", { ...LAYERS, fallback: 32 }),
    heads,
    kvHeads,
    headDim,
    intermediateSize: fields.integer("intermediate_size", {
      ...SIZE,
      fallback: family.intermediateSize,
    }),
    ...readPositions(fields, family, modelType, warnings),
    norm: "rms",
    normEps: fields.number("rms_norm_eps", { min: 0, max: 1, fallback: 1e-6 }),
    activation: readActivation(fields, "hidden_act", "silu"),
    gated: true,
    positions: "rope",
    ropeTheta: readTheta(fields, warnings),
    ropeStyle: "half",
    attentionBias: { qkv: outBias || modelType === "qwen2", out: outBias },
    mlpBias: modelType === "llama" && fields.boolean("mlp_bias", false),
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", false),
    ...readTokens(fields, family.bos, family.eos === null ? [] : [family.eos]),
  };
}

function refuse(fields: Fields, modelType: LlamaType): void {
  const unsupported = (what: string): never => {
    throw new FormatError(`${fields.file}: ${what}, which is not supported.`);
  };
  if (slides(fields, modelType)) unsupported("attention slides over a window");
  if (fields.integer("pretraining_tp", { min: 1, fallback: 1 }) > 1) {
    unsupported("pretraining_tp above 1 splits the sums");
  }
  const types = fields.get("layer_types");
  if (Array.isArray(types) && types.some((type) => type !== "full_attention")) {
    unsupported("layer_types holds attention other than full_attention");
  }
}

/** In a Qwen2 the layers from max_window_layers on slide, if there are such layers and a window. */
function slides(fields: Fields, modelType: LlamaType): boolean {
  if (!fields.boolean("use_sliding_window", false)) return false;
  if (modelType !== "qwen2") return true;
  // Where the layers are listed, the list counts.
  if (Array.isArray(fields.get("layer_types"))) return false;
  const hasWindow = !fields.object.has("sliding_window") || fields.get("sliding_window") !== null;
  const first = fields.integer("max_window_layers", { min: 0, fallback: 28 });
  return hasWindow && first < fields.integer("num_hidden_layers", { ...LAYERS, fallback: 32 });
}

/** Attention over a window of w tokens is plain attention for the first w positions. */
function readPositions(
  fields: Fields,
  family: Family,
  modelType: string,
  warnings: string[],
): Pick<ModelConfig, "maxPositions" | "window"> {
  const fallback = family.maxPositions;
  const positions = fields.integer("max_position_embeddings", { ...SIZE, fallback });
  if (modelType !== "mistral") return { maxPositions: positions };
  const missing = fields.object.has("sliding_window") ? null : family.window;
  const window = fields.integer("sliding_window", { ...SIZE, fallback: missing });
  if (window === null || window >= positions) return { maxPositions: positions };
  warnings.push(
    `${fields.file}: attention slides over a window of ${window} tokens, which is not supported; the model ` +
      `takes at most ${window} positions instead of ${positions}.`,
  );
  return { maxPositions: window, window };
}

/** Where settings of rotary positions may stand together; the first that holds anything counts, as in transformers. */
export const ROPE_PLACES: readonly string[] = ["rope_scaling", "rope_parameters"];

/** rope_theta, from the place of its kind that counts, else from the top level; what is not built is refused. */
function readTheta(fields: Fields, warnings: string[]): number {
  for (const key of ROPE_PLACES) {
    const rope = fields.nested(key);
    for (const [name, value] of rope.object) {
      if (!(value instanceof Map)) continue;
      throw new FormatError(
        `${fields.file}: ${JSON.stringify(key)} has settings for layers of the kind ${JSON.stringify(name.slice(0, 80))} ` +
          "alone, which is not supported; only settings for all layers are.",
      );
    }
    const older = rope.string("type", { fallback: "default" });
    const type = rope.string("rope_type", { fallback: older });
    const part = rope.number("partial_rotary_factor", { fallback: 1 });
    if (type === "default" && part === 1) continue;
    throw new FormatError(
      `${fields.file}: ${JSON.stringify(key)} asks for rotary positions of the type ${JSON.stringify(type)}` +
        `${part === 1 ? "" : " on a part of each head"}; only "default" on whole heads is supported.`,
    );
  }
  if (fields.number("partial_rotary_factor", { fallback: 1 }) !== 1) {
    fields.wrong("partial_rotary_factor", "1: rotating a part of each head is not supported");
  }
  const rule = { min: 1, max: 1e12 };
  const top = fields.number("rope_theta", { ...rule, fallback: 10000 });
  const [counts, ...others] = ROPE_PLACES.filter((key) => fields.isSet(key));
  const theta =
    counts === undefined
      ? top
      : fields.nested(counts).number("rope_theta", { ...rule, fallback: top });
  for (const key of others) {
    const other = fields.nested(key).number("rope_theta", { ...rule, fallback: theta });
    if (other === theta) continue;
    warnings.push(
      `${fields.file}: ${JSON.stringify(key)} has the rope_theta ${other}, but ${JSON.stringify(counts)} comes before ` +
        `it: ${theta} is used.`,
    );
  }
  return theta;
}

/** The fields that describe `config`; null for a model outside the family. */
export function describeLlama(config: ModelConfig): Map<string, JsonValue | number> | null {
  const { attentionBias, mlpBias, modelType } = config;
  const isFamily =
    isLlama(modelType) &&
    config.norm === "rms" &&
    config.positions === "rope" &&
    config.ropeStyle === "half" &&
    config.gated;
  if (!isFamily) return null;
  const bias = modelType === "llama" ? attentionBias.out : false;
  if (attentionBias.out !== bias || attentionBias.qkv !== (bias || modelType === "qwen2"))
    return null;
  if (mlpBias && modelType !== "llama") return null;
  const values = new Map<string, JsonValue | number>([
    ["architectures", [FAMILIES[modelType].architecture]],
    ["max_position_embeddings", config.maxPositions],
    ["hidden_size", config.hiddenSize],
    ["num_hidden_layers", config.layers],
    ["num_attention_heads", config.heads],
    ["num_key_value_heads", config.kvHeads],
    ["head_dim", config.headDim],
    ["intermediate_size", config.intermediateSize],
    ["hidden_act", nameOfActivation(config.activation)],
    ["rms_norm_eps", config.normEps],
    ["rope_theta", config.ropeTheta],
  ]);
  if (modelType === "llama") values.set("attention_bias", bias).set("mlp_bias", mlpBias);
  if (modelType === "mistral") values.set("sliding_window", config.window ?? null);
  if (modelType === "qwen2") values.set("use_sliding_window", false);
  return values;
}
