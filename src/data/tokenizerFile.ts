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
