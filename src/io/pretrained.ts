// A Transformer with what its files said beside the weights: its tokenizer, its config.json as it was, and the
// other files, which are kept and written back.
import { escapeControls } from "../core/controls.ts";
import { LowrankError } from "../core/error.ts";
import { expectMap, expectText, expectTexts } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { ModelConfig } from "../nn/config.ts";
import type { Initializer } from "../nn/init.ts";
import { Transformer } from "../nn/transformer.ts";
import type { JsonObject } from "./json.ts";
import { type ModelTokens, readModelTokens } from "./model-tokens.ts";

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

const ORIGIN: OptionNames<ModelOrigin> = {
  name: true,
  fields: true,
  companions: true,
  warnings: true,
};

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
  readonly #tokens: ModelTokens;

  constructor(config: ModelConfig, init: Initializer, origin: Partial<ModelOrigin> = {}) {
    super(config, init);
    expectOptions(origin, ORIGIN, "PretrainedModel");
    expectText("name", origin.name ?? "");
    expectMap("fields", origin.fields ?? new Map(), "a Map, as a config.json is read");
    expectMap("companions", origin.companions ?? new Map(), "a Map from file names to bytes");
    expectTexts("warnings", origin.warnings ?? []);
    this.name = origin.name ?? "";
    this.fields = origin.fields ?? null;
    this.companions = origin.companions ?? new Map();
    this.#tokens = readModelTokens(config, this.fields, this.companions);
    this.warnings = [...(origin.warnings ?? []), ...this.#tokens.warnings].map(escapeControls);
  }

  /**
   * Text to token ids and back.
   * @throws UsageError when the model came without tokenizer.json, FormatError when it cannot be applied
   */
  get tokenizer(): Tokenizer {
    const { tokenizer } = this.#tokens;
    if (tokenizer instanceof LowrankError) throw tokenizer;
    return tokenizer;
  }

  /** Every end token that the model's files or its tokenizer name. */
  override get stopTokens(): readonly number[] {
    return this.#tokens.stopTokens;
  }

  override get startToken(): number | null {
    return this.#tokens.startToken;
  }
}
