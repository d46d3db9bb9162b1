// A tokenizer.json where it lies. The file is a stranger's and may be large: its syntax is checked once, its small
// members become objects when they are asked for, and what nobody asks for is stepped over.
import { FormatError } from "../core/error.ts";
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

/** The place of the whole file. */
export const WHOLE: Place = { position: 0, values: 0 };

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

  /** A cursor in front of a value. */
  at({ position }: Pick<Place, "position">): JsonReader {
    const reader = new JsonReader(this.#bytes, FILE, position);
    if (position === 0) reader.skipByteOrderMark();
    return reader;
  }

  /** Where the values of some keys of an object stand; `where` names the object in errors. */
  members<Key extends string>(
    place: Place | undefined,
    where: string,
    keys: readonly Key[],
  ): Map<Key, Place> {
    const reader = place === undefined ? undefined : this.at(place);
    if (reader?.peek() !== "{") return fail(`${where} must be an object.`);
    const found = new Map<Key, Place>();
    reader.object((name) => {
      const key = keys.find((one) => one === name);
      reader.peek();
      const { position } = reader;
      const values = reader.skip();
      if (key === undefined) return;
      if (found.has(key)) fail(`${where} has the key ${show(key)} twice.`);
      found.set(key, { position, values });
    }, keys);
    return found;
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
