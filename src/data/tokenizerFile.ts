// A tokenizer.json where it lies. The file is a stranger's and may be large: its syntax is checked once, its small
// members become objects when they are asked for, and what nobody asks for is stepped over.
import { FormatError } from "../core/error.ts";
import { foreignKind } from "../core/foreign.ts";
import { JsonReader } from "../core/json-reader.ts";
import { decode } from "../core/json-string.ts";
import { bytesOf } from "../core/realm.ts";
import { fail, show } from "./jsonFields.ts";
import { utf8Error } from "./utf8.ts";

const FILE = "tokenizer.json";
// No component has nearly as many values.
const MAX_VALUES = 10_000;

/** Where a value begins, and how many values it consists of, itself included. */
export interface Place {
  readonly position: number;
  readonly values: number;
}

const FILE_KEYS = [
  "added_tokens",
  "decoder",
  "model",
  "normalizer",
  "post_processor",
  "pre_tokenizer",
] as const;
const MODEL_KEYS = [
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

/** The members of the file, and of its model, that are read. */
export type FileKey = (typeof FILE_KEYS)[number];
export type ModelKey = (typeof MODEL_KEYS)[number];

/** A JSON text of a stranger whose syntax was checked. */
export class TokenizerFile {
  /** Where the members of the file are, and those of its model if that is an object. */
  readonly places: Map<FileKey, Place> = new Map();
  readonly modelPlaces: Map<ModelKey, Place> = new Map();
  readonly #bytes: Uint8Array;

  /** @throws FormatError for what is no object of JSON, or nested deeper than any tokenizer.json */
  constructor(source: string | Uint8Array | object) {
    this.#bytes = utf8Of(source);
    const kind = foreignKind(this.#bytes);
    if (kind !== null) throw new FormatError(`${FILE} ${kind}`);
    let reader: JsonReader;
    try {
      reader = new JsonReader(this.#bytes, FILE);
    } catch {
      throw utf8Error(this.#bytes, FILE);
    }
    const twice: string[] = [];
    let isObject: boolean;
    try {
      reader.skipByteOrderMark();
      isObject = reader.peek() === "{";
      if (isObject) this.#walk(reader, twice);
      else reader.skip();
      reader.end();
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      fail(`the file is no JSON: ${error.message.replace(`${FILE} is not valid: `, "")}`);
    }
    if (!isObject) fail("the file must be an object.");
    if (twice.length > 0) fail(`the file has the key ${show(twice[0])} twice.`);
  }

  // Once through the file: all values are stepped over, the places of some are kept.
  #walk(reader: JsonReader, twice: string[]): void {
    reader.object((name) => {
      const isModel = name === "model" && reader.peek() === "{";
      note(reader, name, FILE_KEYS, this.places, twice, () => {
        if (!isModel) return reader.skip(1);
        reader.object((inner) => {
          note(reader, inner, MODEL_KEYS, this.modelPlaces, twice, () => reader.skip(2));
        }, MODEL_KEYS);
        return 1;
      });
    }, FILE_KEYS);
  }

  /** A cursor in front of a value. */
  at({ position }: Pick<Place, "position">): JsonReader {
    return new JsonReader(this.#bytes, FILE, position);
  }

  /** A small value; undefined without a place. `where` names it in errors. */
  small(place: Place | undefined, where: string): unknown {
    return place === undefined ? undefined : this.take(this.at(place), where);
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

function note<Key extends string>(
  reader: JsonReader,
  name: string,
  keys: readonly Key[],
  places: Map<Key, Place>,
  twice: string[],
  skip: () => number,
): void {
  reader.peek();
  const { position } = reader;
  const values = skip();
  const key = keys.find((one) => one === name);
  if (key === undefined) return;
  if (places.has(key)) twice.push(key);
  places.set(key, { position, values });
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
