// What a tokenizer.json holds, before it is decided which tokens begin and end a text. The file is a stranger's and may
// be large: it is read where it lies. Its two great members, vocabulary and merges, become a map and a table at once,
// its small ones become objects, and what nobody asks for is stepped over.
import { FormatError } from "../core/error.ts";
import { JsonReader } from "../core/json-reader.ts";
import { decode } from "../core/json-string.ts";
import { bytesOf } from "../core/realm.ts";
import type { AddedToken, BpeDefinition } from "./bpeDefinition.ts";
import { addMerge } from "./bpeTokenizer.ts";
import { asFields, asId, bare, type Fields, fail, show } from "./jsonFields.ts";
import { MergeTable } from "./merges.ts";
import { utf8Error } from "./utf8.ts";

const FILE = "tokenizer.json";
// No component has nearly as many values.
const MAX_VALUES = 10_000;

/** A JSON text of a stranger whose syntax was checked. */
export class TokenizerFile {
  readonly #bytes: Uint8Array;

  /** @throws FormatError for what is no JSON, or nested deeper than any tokenizer.json */
  constructor(source: string | Uint8Array | object) {
    this.#bytes = utf8Of(source);
    let reader: JsonReader;
    try {
      reader = new JsonReader(this.#bytes, FILE);
    } catch {
      throw utf8Error(this.#bytes, FILE);
    }
    try {
      reader.skipByteOrderMark();
      reader.skip();
      reader.end();
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      fail(`the file is no JSON: ${error.message.replace(`${FILE} is not valid: `, "")}`);
    }
  }

  /** A cursor in front of the value at `position`. */
  at(position: number): JsonReader {
    const reader = new JsonReader(this.#bytes, FILE, position);
    if (position === 0) reader.skipByteOrderMark();
    return reader;
  }

  /** Where the values of some keys of the object at `position` stand; `where` names the object in errors. */
  members<Key extends string>(
    position: number | undefined,
    where: string,
    keys: readonly Key[],
  ): Map<Key, number> {
    const reader = position === undefined ? undefined : this.at(position);
    if (reader?.peek() !== "{") return fail(`${where} must be an object.`);
    const found = new Map<Key, number>();
    reader.object((name) => {
      const key = keys.find((one) => one === name);
      if (key !== undefined) {
        if (found.has(key)) fail(`${where} has the key ${show(key)} twice.`);
        reader.peek();
        found.set(key, reader.position);
      }
      reader.skip();
    });
    return found;
  }

  /** A small value; undefined without a position. `where` names it in errors. */
  small(position: number | undefined, where: string): unknown {
    return position === undefined ? undefined : this.take(this.at(position), where);
  }

  /** The small value that comes next. */
  take(reader: JsonReader, where: string): unknown {
    reader.peek();
    const begin = reader.position;
    if (reader.skip() > MAX_VALUES) fail(`${where} has more than ${MAX_VALUES} values.`);
    try {
      return JSON.parse(decode(this.#bytes, begin, reader.position)) as unknown;
    } catch {
      // Only these are read beside what JSON knows.
      return fail(`${where} holds NaN or an infinity.`);
    }
  }
}

function utf8Of(source: string | Uint8Array | object): Uint8Array {
  const bytes = bytesOf(source);
  if (bytes !== null) return bytes;
  let text: unknown = source;
  try {
    if (typeof source !== "string") text = JSON.stringify(source);
  } catch (error) {
    fail(`the object cannot be written as JSON: ${(error as Error).message}`);
  }
  if (typeof text !== "string") return fail("the file must be an object.");
  if (!text.isWellFormed()) fail("the file holds half a surrogate pair.");
  return new TextEncoder().encode(text);
}

const modelKeys = [
  "byte_fallback",
  "continuing_subword_prefix",
  "dropout",
  "end_of_word_suffix",
  "fuse_unk",
  "ignore_merges",
  "merges",
  "type",
  "unk_token",
  "vocab",
] as const;

// Fields of the model that change what is encoded, with the values that mean "off".
const refusedModelFields: readonly (readonly [(typeof modelKeys)[number], readonly unknown[]])[] = [
  ["dropout", [null, undefined, 0]],
  ["continuing_subword_prefix", [null, undefined, ""]],
  ["end_of_word_suffix", [null, undefined, ""]],
  ["byte_fallback", [null, undefined, false]],
];

/** The `model`: its vocabulary, its merges, and how they are applied. */
export interface BpeParts extends Pick<BpeDefinition, "vocab" | "unkTokenId" | "ignoreMerges"> {
  /** The tokens of `vocab` by id. */
  readonly tokens: (string | undefined)[];
  readonly merges: MergeTable;
}

/** Reads the `model`. @throws FormatError that names what is broken or not supported */
export function readBpe(file: TokenizerFile, position: number | undefined): BpeParts {
  const places = file.members(position, "model", modelKeys);
  const small = (key: (typeof modelKeys)[number]) => file.small(places.get(key), `model.${key}`);
  // Files older than 2020 leave the type of a BPE model out.
  const type = small("type") ?? "BPE";
  if (type !== "BPE")
    fail(
      `the model ${typeof type === "string" ? bare(type) : show(type)} is not supported; expected BPE.`,
    );
  for (const [field, off] of refusedModelFields) {
    const value = small(field);
    if (!off.includes(value)) fail(`model.${field} is ${show(value)}, which is not supported.`);
  }
  const tokens: (string | undefined)[] = [];
  const vocab = readVocab(file, places.get("vocab"), tokens);
  const unk = small("unk_token");
  const unkTokenId = typeof unk === "string" ? vocab.get(unk) : undefined;
  if (unkTokenId !== undefined && small("fuse_unk") === true) {
    fail("model.fuse_unk is true, which is not supported.");
  }
  const ignoreMerges = small("ignore_merges") === true;
  const merges = readMerges(file, places.get("merges"), vocab);
  return { vocab, tokens, merges, unkTokenId, ignoreMerges };
}

function readVocab(
  file: TokenizerFile,
  position: number | undefined,
  tokens: (string | undefined)[],
): Map<string, number> {
  const reader = position === undefined ? undefined : file.at(position);
  if (reader?.peek() !== "{") return fail("model.vocab must be an object.");
  const vocab = new Map<string, number>();
  reader.object((token) => {
    const name = `the token ${show(token)}`;
    const isNumber = /[-0-9]/.test(reader.peek());
    const id = asId(isNumber ? Number(reader.number()) : file.take(reader, name), name);
    const owner = tokens[id];
    if (owner !== undefined) {
      fail(`the tokens ${show(owner)} and ${show(token)} have the same id ${id}.`);
    }
    if (vocab.has(token)) fail(`${name} is in the vocabulary twice.`);
    tokens[id] = token;
    vocab.set(token, id);
  });
  return vocab;
}

function readMerges(
  file: TokenizerFile,
  position: number | undefined,
  vocab: ReadonlyMap<string, number>,
): MergeTable {
  const reader = position === undefined ? undefined : file.at(position);
  if (reader?.peek() !== "[") return fail("model.merges must be a list.");
  const table = new MergeTable();
  let rank = 0;
  reader.array(() => {
    const merge = reader.peek() === '"' ? reader.string() : file.take(reader, `merge ${rank}`);
    const parts: unknown = typeof merge === "string" ? merge.split(" ", 3) : merge;
    const [left, right]: unknown[] = Array.isArray(parts) && parts.length === 2 ? parts : [];
    if (typeof left !== "string" || typeof right !== "string") {
      return fail(`merge ${rank} is ${show(merge)}; expected "a b" or ["a", "b"].`);
    }
    addMerge(table, vocab, left, right, rank++);
  });
  return table;
}

type Placement = "single_word" | "lstrip" | "rstrip";
const placements: readonly Placement[] = ["single_word", "lstrip", "rstrip"];

/** Reads `added_tokens`, which agree with the vocabulary. */
export function readAddedTokens(
  file: TokenizerFile,
  position: number | undefined,
  { vocab, tokens }: BpeParts,
): AddedToken[] {
  const reader = position === undefined ? undefined : file.at(position);
  if (reader === undefined || reader.peek() === "n") return [];
  if (reader.peek() !== "[") return fail("added_tokens must be a list.");
  const added: AddedToken[] = [];
  const ids = new Map<string, number>();
  const contents = new Map<number, string>();
  reader.array(() => {
    const where = `added_tokens[${added.length}]`;
    const entry = file.take(reader, where);
    const token: Fields<"content" | "id" | "normalized" | "special" | Placement> = asFields(
      entry,
      where,
    );
    const { content } = token;
    if (typeof content !== "string" || content === "") return fail(`${where} has no content.`);
    const name = `the added token ${show(content)}`;
    const id = asId(token.id, name);
    const other = contents.get(id) ?? tokens[id] ?? content;
    if (other !== content || (ids.get(content) ?? vocab.get(content) ?? id) !== id) {
      fail(`${name} has the id ${id}, but the vocabulary says otherwise.`);
    }
    for (const option of placements) {
      if (token[option] === true) fail(`${name} sets ${option}, which is not supported.`);
    }
    // A token that is listed twice is one.
    if (ids.has(content)) return;
    ids.set(content, id);
    contents.set(id, content);
    const { special, normalized } = token;
    added.push({ id, content, special: special === true, normalized: normalized === true });
  });
  return added;
}
