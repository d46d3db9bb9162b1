// JSON of strangers as a tree, and back. Against `JSON.parse` duplicate keys are refused, objects are Maps (so that
// `__proto__` is a plain key) and numbers stay as they were written (`1e3` is no integer, `1.0` is written back as
// `1.0`). Of a file only what a config needs becomes a tree: a member that is larger stays the text that it was, which
// is written back as it stands, and read when a key asks for it.

import { FormatError } from "../core/error.ts";
import { foreignKind } from "../core/foreign.ts";
import { JsonReader, quote } from "../core/json-reader.ts";
import { decode } from "../core/json-string.ts";

export { quote } from "../core/json-reader.ts";

/** A number together with its spelling in the file. */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  get value(): number {
    return Number(this.text);
  }
}

/** Most values in a tree, and most members of a file's object. No config comes near. */
const MAX_VALUES = 100_000;
/** Members of a file are trees up to so many bytes together; those beyond stay texts. */
const TREE_BYTES = 1 << 20;

/** A large value of a file, which was checked and not read. */
export class JsonText {
  readonly #reader: JsonReader;
  readonly #begin: number;
  readonly #end: number;

  /** @param begin where the value begins in the bytes of `reader`, which end behind it */
  constructor(reader: JsonReader, begin: number, end: number) {
    this.#reader = reader;
    this.#begin = begin;
    this.#end = end;
  }

  /** The value as it stands in the file, or its beginning. */
  text(length: number = Number.POSITIVE_INFINITY): string {
    return decode(this.#reader.bytes, this.#begin, Math.min(this.#end, this.#begin + length));
  }

  /** A cursor in front of the value. */
  reader(): JsonReader {
    const { bytes, file } = this.#reader;
    return new JsonReader(bytes, file, this.#begin);
  }

  /** The value as a tree; a FormatError for one of more than a hundred thousand values. */
  value(): JsonTree {
    return readTree(this.reader());
  }
}

/** An object of JSON, its keys in order. */
export type JsonObject = Map<string, JsonValue>;
/** A value that was read. */
export type JsonTree = null | boolean | string | JsonNumber | JsonValue[] | JsonObject;
/** Any value of JSON; numbers keep their digits. */
export type JsonValue = JsonTree | JsonText;

/** Reads the value that comes next as a tree. */
function readTree(reader: JsonReader): JsonTree {
  let values = 0;
  const read = (depth: number): JsonTree => {
    reader.expectDepth(depth);
    if (++values > MAX_VALUES)
      reader.fail(`more than ${MAX_VALUES} values where a few are expected`);
    const first = reader.peek();
    if (first === '"') return reader.string();
    if (first === "{") {
      const object: JsonObject = new Map();
      reader.object((key) => {
        if (object.has(key)) reader.fail(`the key ${quote(key)} appears twice`);
        object.set(key, read(depth + 1));
      });
      return object;
    }
    if (first === "[") {
      const array: JsonValue[] = [];
      reader.array(() => array.push(read(depth + 1)));
      return array;
    }
    const word = reader.word();
    if (word === "null") return null;
    if (word === "true" || word === "false") return word === "true";
    return new JsonNumber(word === "" ? reader.number() : word);
  };
  return read(0);
}

/** Parses a whole JSON text into a tree. */
export function parseJson(text: string, file: string): JsonTree {
  const reader = new JsonReader(new TextEncoder().encode(text), file);
  if (!text.isWellFormed()) reader.fail("a string with half a surrogate pair");
  reader.skipByteOrderMark();
  const value = readTree(reader);
  reader.end();
  return value;
}

/**
 * Parses UTF-8 bytes that must hold one JSON object; its large members stay `JsonText`.
 * @param texts keys whose values stay so, however small
 */
export function parseJsonObject(
  bytes: Uint8Array,
  file: string,
  texts: readonly string[] = [],
): JsonObject {
  const kind = foreignKind(bytes);
  if (kind !== null) throw new FormatError(`${file} ${kind}`);
  const reader = new JsonReader(bytes, file);
  reader.skipByteOrderMark();
  if (reader.peek() !== "{") {
    if (reader.peek() === "") reader.fail("there is nothing in it");
    throw new FormatError(`${file} must hold a JSON object, { ... }, but holds something else.`);
  }
  const object: JsonObject = new Map();
  let values = MAX_VALUES;
  let room = TREE_BYTES;
  reader.object((key) => {
    if (object.has(key)) reader.fail(`the key ${quote(key)} appears twice`);
    if (object.size === MAX_VALUES) reader.fail(`more than ${MAX_VALUES} keys`);
    reader.peek();
    const begin = reader.position;
    const count = reader.skip(1);
    const end = reader.position;
    const fits = count <= values && end - begin <= room && !texts.includes(key);
    const text = new JsonText(reader, begin, end);
    object.set(key, fits ? text.value() : text);
    if (!fits) return;
    values -= count;
    room -= end - begin;
  });
  reader.end();
  return object;
}

/** The same members in the order of their keys; members of members stay as they are. */
export function sortKeys(object: ReadonlyMap<string, JsonValue>): JsonObject {
  return new Map([...object].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Writes JSON as Python's `json.dumps(value, indent=2)` does: two spaces, everything outside ASCII
 * escaped, numbers as they were spelled.
 */
export function formatJson(value: JsonValue, indent = ""): string {
  const inner = `${indent}  `;
  if (value instanceof JsonNumber) return value.text;
  if (value instanceof JsonText) return value.text();
  if (typeof value === "string") {
    return JSON.stringify(value).replace(
      /[\u007f-\uffff]/g,
      (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
  }
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return `[\n${value.map((item) => inner + formatJson(item, inner)).join(",\n")}\n${indent}]`;
  }
  if (value instanceof Map) {
    if (value.size === 0) return "{}";
    const lines = [...value].map(
      ([key, item]) => `${inner}${formatJson(key)}: ${formatJson(item, inner)}`,
    );
    return `{\n${lines.join(",\n")}\n${indent}}`;
  }
  return String(value);
}
