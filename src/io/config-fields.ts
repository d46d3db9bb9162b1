// What the config.json files of all families have in common: ranges, activations and special tokens.
import { FormatError } from "../core/error.ts";
import type { Activation } from "../nn/config.ts";
import type { Fields } from "./fields.ts";
import { JsonNumber } from "./json.ts";

// Far above every known model: a larger number is damage, and must not become an allocation.
export const SIZE: { readonly min: number; readonly max: number } = { min: 1, max: 16_777_216 };
export const LAYERS: { readonly min: number; readonly max: number } = { min: 1, max: 1024 };

/**
 * Settings with several names. The first that is there counts: in transformers the general name, an alias of GPT-2's
 * own, is applied last. `n_ctx` is the oldest name, which newer versions do not read.
 */
export const HOMES: ReadonlyMap<string, readonly string[]> = new Map([
  ["n_embd", ["hidden_size", "n_embd"]],
  ["n_layer", ["num_hidden_layers", "n_layer"]],
  ["n_head", ["num_attention_heads", "n_head"]],
  ["n_positions", ["max_position_embeddings", "n_positions", "n_ctx"]],
]);

/** The name under which a setting stands in this file. */
export function homeOf(fields: Fields, key: string): string {
  return HOMES.get(key)?.find((name) => fields.get(name) !== null) ?? key;
}

// Later names for the same function are only read.
const ACTIVATIONS: ReadonlyMap<string, Activation> = new Map([
  ["gelu_new", "geluTanh"],
  ["gelu", "gelu"],
  ["relu", "relu"],
  ["silu", "silu"],
  ["gelu_pytorch_tanh", "geluTanh"],
  ["swish", "silu"],
]);

export function readActivation(fields: Fields, key: string, fallback: string): Activation {
  const choices = [...ACTIVATIONS.keys()];
  return ACTIVATIONS.get(fields.string(key, { choices, fallback }))!;
}

export function nameOfActivation(activation: Activation): string {
  for (const [name, value] of ACTIVATIONS) if (value === activation) return name;
  throw new FormatError(`There is no name for the activation ${JSON.stringify(activation)}.`);
}

/**
 * The tokens that begin and end a text; null, as -1 in some files, means that there is none. Ids beyond the vocabulary
 * are kept here: whoever uses them leaves them out.
 * @param bos, eos what a missing member stands for
 */
export function readTokens(
  fields: Fields,
  bos: number | null,
  eos: readonly number[],
): { bosTokenId: number | null; eosTokenId: readonly number[] } {
  const read = (key: string): number | null => {
    const token = fields.integer(key, { fallback: null });
    return token === -1 ? null : token;
  };
  const bosTokenId = fields.object.has("bos_token_id") ? read("bos_token_id") : bos;
  if (!fields.object.has("eos_token_id")) return { bosTokenId, eosTokenId: eos };
  const value = fields.get("eos_token_id");
  if (!Array.isArray(value)) {
    const end = read("eos_token_id");
    return { bosTokenId, eosTokenId: end === null ? [] : [end] };
  }
  const eosTokenId = value.map((item) => (item instanceof JsonNumber ? item.value : Number.NaN));
  if (!eosTokenId.every((id) => Number.isSafeInteger(id))) {
    fields.wrong("eos_token_id", "a token or a list of tokens");
  }
  return { bosTokenId, eosTokenId: eosTokenId.filter((id) => id !== -1) };
}
