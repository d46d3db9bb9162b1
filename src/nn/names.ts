// Names of the parts of a Transformer in Hugging Face checkpoints, by family.

export interface FamilyNames {
  /** Prefix of everything but the head. */
  readonly body: string;
  readonly tokens: string;
  /** The table of learned positions. */
  readonly positions: string;
  readonly layers: string;
  readonly attentionNorm: string;
  readonly attention: string;
  readonly mlpNorm: string;
  readonly mlp: string;
  readonly finalNorm: string;
}

const GPT2: FamilyNames = {
  body: "transformer",
  tokens: "wte",
  positions: "wpe",
  layers: "h",
  attentionNorm: "ln_1",
  attention: "attn",
  mlpNorm: "ln_2",
  mlp: "mlp",
  finalNorm: "ln_f",
};

const LLAMA: FamilyNames = {
  body: "model",
  tokens: "embed_tokens",
  positions: "embed_positions",
  layers: "layers",
  attentionNorm: "input_layernorm",
  attention: "self_attn",
  mlpNorm: "post_attention_layernorm",
  mlp: "mlp",
  finalNorm: "norm",
};

/** The names of `modelType`; every family but GPT-2 uses Llama's. */
export function familyNames(modelType: string): FamilyNames {
  return modelType === "gpt2" ? GPT2 : LLAMA;
}
