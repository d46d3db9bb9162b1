// A Transformer with what its files said beside the weights: its tokenizer, its config.json as it was, and the
// other files, which are kept and written back.
import { escapeControls } from "../core/controls.ts";
import { FormatError, LowrankError, UsageError } from "../core/error.ts";
import { type ReadTokenizerOptions, readTokenizerJson } from "../data/readTokenizerJson.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { ModelConfig } from "../nn/config.ts";
import type { Initializer } from "../nn/init.ts";
import { Transformer } from "../nn/transformer.ts";
import { type JsonObject, parseJsonObject } from "./json.ts";

/** Files beside config and weights that are kept and written back. */
export const COMPANIONS: readonly string[] = [
  ...["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"],
  ...["vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja"],
  "generation_config.json",
];

/** Where a model came from, kept for writing it back. */
export interface ModelOrigin {
  readonly name: string;
  /** The object of config.json, if there was one. */
  readonly fields: JsonObject | null;
  /** The files beside config and weights. */
  readonly companions: ReadonlyMap<string, Uint8Array>;
  readonly warnings: readonly string[];
}

/** A Transformer that was read from files, with its tokenizer. */
export class PretrainedModel extends Transformer {
  /** How the model is called in saved adapters; empty when nothing says so. */
  readonly name: string;
  /** config.json as it was read, if there was one. */
  readonly fields: JsonObject | null;
  /** The files beside config and weights, by name. */
  readonly companions: ReadonlyMap<string, Uint8Array>;
  /** Remarks on what was ignored. */
  readonly warnings: readonly string[];
  readonly #tokenizer: Tokenizer | LowrankError;

  constructor(config: ModelConfig, init: Initializer, origin: Partial<ModelOrigin> = {}) {
    super(config, init);
    this.name = origin.name ?? "";
    this.fields = origin.fields ?? null;
    this.companions = origin.companions ?? new Map();
    this.#tokenizer = readTokenizer(this.companions, config.vocabSize);
    const unusable = this.#tokenizer instanceof FormatError;
    const remark = unusable ? [`${this.#tokenizer.message} The model takes token ids alone.`] : [];
    this.warnings = [...(origin.warnings ?? []), ...remark].map(escapeControls);
  }

  /**
   * Text to token ids and back.
   * @throws UsageError when the model came without tokenizer.json, FormatError when it cannot be applied
   */
  get tokenizer(): Tokenizer {
    if (this.#tokenizer instanceof LowrankError) throw this.#tokenizer;
    return this.#tokenizer;
  }
}

/** The tokenizer, or the error that using it shall throw: token ids work without one. */
function readTokenizer(
  companions: ReadonlyMap<string, Uint8Array>,
  vocabSize: number,
): Tokenizer | LowrankError {
  const bytes = companions.get("tokenizer.json");
  if (bytes === undefined) {
    return new UsageError(
      "This model came without a tokenizer.json, so it knows token ids but no text. Put the tokenizer.json " +
        "of the model beside its config.json, or work with token ids.",
    );
  }
  try {
    const tokenizer = readTokenizerJson(bytes, documentTokens(companions));
    if (tokenizer.vocabSize <= vocabSize) return tokenizer;
    return new FormatError(
      `tokenizer.json has token ids up to ${tokenizer.vocabSize - 1}, but the model has ${vocabSize} ` +
        "tokens. Use the tokenizer.json that belongs to the model.",
    );
  } catch (error) {
    if (error instanceof LowrankError) return error;
    throw error;
  }
}

/** The tokens that begin and end a document, where tokenizer_config.json names them. */
function documentTokens(companions: ReadonlyMap<string, Uint8Array>): ReadTokenizerOptions {
  const file = "tokenizer_config.json";
  const bytes = companions.get(file);
  if (bytes === undefined) return {};
  const fields = parseJsonObject(bytes, file);
  const content = (key: string): string | null | undefined => {
    const value = fields.get(key);
    const text = value instanceof Map ? value.get("content") : value;
    return typeof text === "string" || text === null ? text : undefined;
  };
  const bosToken = content("bos_token");
  const eosToken = content("eos_token");
  return {
    ...(bosToken === undefined ? {} : { bosToken }),
    ...(eosToken === undefined ? {} : { eosToken }),
  };
}
