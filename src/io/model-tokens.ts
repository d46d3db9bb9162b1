// The tokenizer of a model directory, and which of its tokens begin and end a text. Six files have a say; docs/tokens.md
// has the rule as a table.
//   tokenizer.json           what its post-processor puts before and after a text
//   tokenizer_config.json    the names of the begin and end tokens, before those of special_tokens_map.json
//   generation_config.json   their ids, before those of config.json; generation ends at all of both
// A token that only one side has is left out with a remark, and spoils nothing else.
import { LowrankError, UsageError } from "../core/error.ts";
import { quote } from "../core/json-reader.ts";
import {
  findToken,
  makeTokenizer,
  readTokenizerParts,
  type TokenizerParts,
} from "../data/readTokenizerJson.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { ModelConfig } from "../nn/config.ts";
import { readTokens } from "./config-fields.ts";
import { Fields } from "./fields.ts";
import { type JsonObject, parseJsonObject } from "./json.ts";

/** What a model knows of tokens. */
export interface ModelTokens {
  /** The tokenizer, or the error that using it shall throw: token ids work without one. */
  readonly tokenizer: Tokenizer | LowrankError;
  /** Ids at which generation ends. */
  readonly stopTokens: readonly number[];
  /** The token that begins a text of which there is nothing yet. */
  readonly startToken: number | null;
  readonly warnings: readonly string[];
}

/** The tokens that a model's own files name, all of them in its vocabulary. */
interface ModelSide {
  readonly begin: number | null;
  readonly ends: readonly number[];
}

/** Says what is left out. */
class Checker {
  readonly warnings: string[] = [];
  readonly #vocabSize: number;

  constructor(vocabSize: number) {
    this.#vocabSize = vocabSize;
  }

  has(id: number): boolean {
    return id >= 0 && id < this.#vocabSize;
  }

  /** Those of the ids that the model has. */
  keep(ids: readonly number[], where: string): number[] {
    const beyond = ids.filter((id) => !this.has(id));
    if (beyond.length > 0) {
      const shown = beyond.slice(0, 5).join(", ");
      this.warnings.push(
        `${where} names the token ${shown}${beyond.length > 5 ? ", ..." : ""}, but the model has the ids 0 to ` +
          `${this.#vocabSize - 1}. It is left out.`,
      );
    }
    return ids.filter((id) => this.has(id));
  }
}

/** Reads all that a model's files say about tokens. @throws FormatError for a broken generation_config.json */
export function readModelTokens(
  config: ModelConfig,
  fields: JsonObject | null,
  companions: ReadonlyMap<string, Uint8Array>,
): ModelTokens {
  const checker = new Checker(config.vocabSize);
  const { warnings } = checker;
  const side = modelSide(config, fields, companions, checker);
  // Generation ends at the defaults of the family as well, which no file names.
  const ends = [...side.ends, ...config.eosTokenId.filter((id) => checker.has(id))];
  let tokenizer: Tokenizer | LowrankError;
  try {
    tokenizer = readTokenizer(config.vocabSize, { ...side, ends }, companions, checker);
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error;
    tokenizer = error;
    if (companions.has("tokenizer.json")) {
      warnings.push(`${error.message} The model takes token ids alone.`);
    }
  }
  const known = tokenizer instanceof LowrankError ? undefined : tokenizer;
  return {
    tokenizer,
    stopTokens: [...new Set([...(known?.stopTokenIds ?? []), ...ends])],
    startToken: known?.bosTokenId ?? side.begin,
    warnings,
  };
}

function modelSide(
  config: ModelConfig,
  fields: JsonObject | null,
  companions: ReadonlyMap<string, Uint8Array>,
  checker: Checker,
): ModelSide {
  const file = "generation_config.json";
  const bytes = companions.get(file);
  const generation =
    bytes === undefined
      ? { bosTokenId: null, eosTokenId: [] }
      : readTokens(new Fields(parseJsonObject(bytes, file), file), null, []);
  const named = (key: string) => fields === null || fields.has(key);
  const begins: number[] = [];
  for (const [where, id] of [
    [file, generation.bosTokenId],
    ["config.json", named("bos_token_id") ? config.bosTokenId : null],
  ] as const) {
    if (id !== null) begins.push(...checker.keep([id], `${where}: "bos_token_id"`));
  }
  const own = named("eos_token_id") ? config.eosTokenId : [];
  const ends = [
    ...checker.keep(generation.eosTokenId, `${file}: "eos_token_id"`),
    ...checker.keep(own, 'config.json: "eos_token_id"'),
  ];
  return { begin: begins[0] ?? null, ends };
}

function readTokenizer(
  modelVocabSize: number,
  model: ModelSide,
  companions: ReadonlyMap<string, Uint8Array>,
  checker: Checker,
): Tokenizer {
  const bytes = companions.get("tokenizer.json");
  if (bytes === undefined) {
    throw new UsageError(
      "This model came without a tokenizer.json, so it knows token ids but no text. Put the tokenizer.json " +
        "of the model beside its config.json, or work with token ids.",
    );
  }
  const parts = readTokenizerParts(bytes);
  const names = readNames(companions);
  const begin = tokenOf(parts, names, "bos_token", checker);
  const end = tokenOf(parts, names, "eos_token", checker);
  const bosTokenId = begin === undefined ? (model.begin ?? undefined) : (begin ?? undefined);
  const eosTokenId = end === undefined ? model.ends[0] : (end ?? undefined);
  const where = "The post-processor of tokenizer.json";
  const { prefixIds = silentBegin(names, begin) } = parts;
  const use = {
    ...parts,
    prefixIds: prefixIds === undefined ? undefined : checker.keep(prefixIds, where),
    suffixIds: checker.keep(parts.suffixIds ?? [], where),
  };
  const tokenizer = makeTokenizer(use, {
    bosTokenId,
    eosTokenId,
    stopTokenIds: model.ends,
    modelVocabSize,
    named: [begin, end].filter((id) => typeof id === "number"),
  });
  if (tokenizer.vocabSize > modelVocabSize) {
    checker.warnings.push(
      `tokenizer.json has token ids up to ${tokenizer.vocabSize - 1}, but the model has ${modelVocabSize} ` +
        "tokens. A text that holds one of the tokens beyond is refused.",
    );
  }
  return tokenizer;
}

/** What is put before a text where tokenizer.json has no post-processor. */
function silentBegin(
  names: readonly Fields[],
  begin: number | null | undefined,
): readonly number[] | undefined {
  // Without files about the tokenizer all documents begin with the model's begin token.
  if (names.length === 0) return undefined;
  const adds = names.some((fields) => fields.boolean("add_bos_token", false));
  return adds && typeof begin === "number" ? [begin] : [];
}

/** The files that name tokens, the one that is asked first in front. */
function readNames(companions: ReadonlyMap<string, Uint8Array>): Fields[] {
  return ["tokenizer_config.json", "special_tokens_map.json"].flatMap((file) => {
    const bytes = companions.get(file);
    return bytes === undefined ? [] : [new Fields(parseJsonObject(bytes, file), file)];
  });
}

/** The id of a named token; null where the files say that there is none, undefined where they do not say. */
function tokenOf(
  parts: TokenizerParts,
  names: readonly Fields[],
  key: "bos_token" | "eos_token",
  checker: Checker,
): number | null | undefined {
  const fields = names.find(({ object }) => object.has(key));
  if (fields === undefined) return undefined;
  const value = fields.get(key);
  if (value === null) return null;
  const name = value instanceof Map ? fields.nested(key).string("content") : fields.string(key);
  const id = findToken(parts, name);
  if (id === undefined) {
    checker.warnings.push(
      `${fields.file}: ${quote(key)} is ${quote(name)}, which tokenizer.json does not have. It is left out.`,
    );
    return null;
  }
  return checker.keep([id], `${fields.file}: ${quote(key)}`)[0] ?? null;
}
