// What a decoder-only Transformer is made of, in one plain object that knows no file format. GPT-2 (layer
// norm, learned positions, plain MLP) and Llama (RMS norm, rotary positions, gated MLP, grouped-query heads)
// are two settings of it. Letters used beside the sizes: V vocabulary, D hidden, L layers, H heads,
// G key-value heads, d head width, F width of the MLP, T positions.

import { UsageError } from "../core/error.ts";
import { expectObject, kindOf } from "../core/kind.ts";

/** Activations of the MLP: `gelu` is the erf form, `geluTanh` the tanh approximation of GPT-2. */
export type Activation = "gelu" | "geluTanh" | "silu" | "relu";

/** The sizes and options of a decoder-only Transformer. */
export interface ModelConfig {
  /** The family whose parameter names the model uses: `gpt2`, or `llama`, `mistral`, `qwen2`. */
  readonly modelType: string;
  /** V: tokens in the vocabulary. */
  readonly vocabSize: number;
  /** D: width of the residual stream. */
  readonly hiddenSize: number;
  /** L: blocks. */
  readonly layers: number;
  /** H: query heads. */
  readonly heads: number;
  /** G: key and value heads; divides `heads`. */
  readonly kvHeads: number;
  /** d: width of one head; even with rotary positions. */
  readonly headDim: number;
  /** F: width inside the MLP. */
  readonly intermediateSize: number;
  /** T: the longest sequence the model can see. */
  readonly maxPositions: number;
  /**
   * Set where attention slides over a window of so many tokens, which is not built: `maxPositions` is the window then,
   * within which it is plain attention.
   */
  readonly window?: number;
  /** Layer norm (with weight and bias) or RMS norm (weight only). */
  readonly norm: "layer" | "rms";
  /** Added under the square root of the norm. */
  readonly normEps: number;
  readonly activation: Activation;
  /** True: `down(act(gate(x)) * up(x))`; false: `down(act(up(x)))`. */
  readonly gated: boolean;
  /** A learned table `[T, D]`, or rotary embedding of queries and keys. */
  readonly positions: "learned" | "rope";
  /** Base of the rotary frequencies; without meaning for learned positions. */
  readonly ropeTheta: number;
  /** Pairs (i, i + d/2) as in Hugging Face files, or (2i, 2i + 1) as in llama2.c. */
  readonly ropeStyle: "half" | "interleaved";
  /** Which projections of the attention have a bias. */
  readonly attentionBias: { readonly qkv: boolean; readonly out: boolean };
  /** Whether the projections of the MLP have a bias. */
  readonly mlpBias: boolean;
  /** The output head is the token embedding. */
  readonly tieWordEmbeddings: boolean;
  /** The token that begins a text, if the model has one. */
  readonly bosTokenId: number | null;
  /** The tokens that end a text; may be empty. */
  readonly eosTokenId: readonly number[];
}

const WORDS: Readonly<
  Record<"norm" | "activation" | "positions" | "ropeStyle", readonly string[]>
> = {
  norm: ["layer", "rms"],
  activation: ["gelu", "geluTanh", "silu", "relu"],
  positions: ["learned", "rope"],
  ropeStyle: ["half", "interleaved"],
};

const SIZES = [
  "vocabSize",
  "hiddenSize",
  "layers",
  "heads",
  "kvHeads",
  "headDim",
  "intermediateSize",
  "maxPositions",
] as const;

/** Throws for settings of which no model can be built. */
export function checkConfig(config: ModelConfig): void {
  const wrong = (what: string): never => {
    throw new UsageError(`This model cannot be built: ${what}.`);
  };
  expectObject("The config of a model", config, "an object, a ModelConfig");
  const { heads, kvHeads, headDim, positions, modelType, attentionBias } = config;
  for (const key of SIZES) {
    if (!Number.isInteger(config[key]) || config[key] < 1) {
      wrong(`${key} is ${kindOf(config[key])}, expected a whole number of at least 1`);
    }
  }
  if (heads % kvHeads !== 0) wrong(`${heads} heads cannot share ${kvHeads} key/value heads evenly`);
  for (const [key, words] of Object.entries(WORDS) as [keyof typeof WORDS, readonly string[]][]) {
    if (words.includes(config[key])) continue;
    wrong(`${key} is ${kindOf(config[key])}, expected one of ${words.join(", ")}`);
  }
  if (typeof attentionBias !== "object" || attentionBias === null) {
    wrong(`attentionBias is ${kindOf(attentionBias)}, expected { qkv, out }`);
  }
  if (config.bosTokenId !== null && typeof config.bosTokenId !== "number") {
    wrong(`bosTokenId is ${kindOf(config.bosTokenId)}, expected a token id or null`);
  }
  if (!Array.isArray(config.eosTokenId)) {
    wrong(`eosTokenId is ${kindOf(config.eosTokenId)}, expected an array of token ids`);
  }
  if (positions === "rope" && headDim % 2 !== 0) {
    wrong(`rotary positions need an even head size, but headDim is ${headDim}`);
  }
  if (modelType === "gpt2" && config.gated) wrong("a GPT-2 has no gated MLP");
}
