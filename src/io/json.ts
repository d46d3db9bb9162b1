// A strict JSON reader and writer for files of strangers. Against `JSON.parse` it refuses duplicate keys,
// lone surrogates and deep nesting, keeps objects as Maps (so that `__proto__` is a plain key) and keeps
// numbers as they were written (`1e3` is no integer, `1.0` is written back as `1.0`).
// `JsonReader` is the cursor beneath; a reader that knows its grammar drives it directly.
import { FormatError } from "../core/error.ts";

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

/** An object of JSON, its keys in order. */
export type JsonObject = Map<string, JsonValue>;
/** Any value of JSON; numbers keep their digits. */
export type JsonValue = null | boolean | string | JsonNumber | JsonValue[] | JsonObject;

const MAX_DEPTH = 64;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/** A name as it may stand in an error message: quoted, escaped, cut to a bearable length. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}...` : text);
}

/** Decodes UTF-8 strictly: a byte that is not UTF-8 is a FormatError, a byte-order mark is kept. */
export function decodeUtf8(bytes: Uint8Array, file: string): string {
  // Browsers refuse to decode a view of shared memory: copy it.
  const own = bytes.buffer instanceof ArrayBuffer ? bytes : new Uint8Array(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(own);
  } catch {
    throw new FormatError(
      `${file} is not valid UTF-8 text; the file is damaged or not of this kind.`,
    );
  }
}

/** A cursor over JSON text. Every method first skips white space. */
export class JsonReader {
  readonly text: string;
  readonly file: string;
  position = 0;

  constructor(text: string, file: string) {
    this.text = text;
    this.file = file;
  }

  /** Throws a FormatError that names the file and the place. */
  fail(problem: string): never {
    throw new FormatError(`${this.file} is not valid: ${problem}, at character ${this.position}.`);
  }

  /** The next character that is not white space, or "" at the end. */
  peek(): string {
    const { text } = this;
    let code = text.charCodeAt(this.position);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
      code = text.charCodeAt(++this.position);
    }
    return text.charAt(this.position);
  }

  /** Steps over `char` if it comes next. */
  take(char: string): boolean {
    if (this.peek() !== char) return false;
    this.position++;
    return true;
  }

  /** Steps over `char`, which must come next. */
  expect(char: string): void {
    if (this.take(char)) return;
    const found = this.peek();
    this.fail(`expected ${quote(char)} but found ${found === "" ? "the end" : quote(found)}`);
  }

  /** Requires that nothing but white space is left. */
  end(): void {
    if (this.peek() !== "") this.fail("there is text after the end of the JSON value");
  }

  string(): string {
    this.expect('"');
    const { text } = this;
    const begin = this.position;
    let start = begin;
    let result = "";
    for (;;) {
      const code = text.charCodeAt(this.position);
      if (code === 0x22) break;
      // NaN, beyond the end, compares false.
      if (!(code >= 0x20)) {
        this.fail(this.position < text.length ? "control character in a string" : "open string");
      }
      this.position++;
      if (code !== 0x5c) continue;
      result += text.slice(start, this.position - 1) + this.#escape();
      start = this.position;
    }
    result += text.slice(start, this.position++);
    if (!result.isWellFormed()) this.fail("a string with half a surrogate pair");
    return result;
  }

  #escape(): string {
    const letter = this.text.charAt(this.position++);
    if (letter !== "u") {
      return Object.hasOwn(ESCAPES, letter) ? ESCAPES[letter]! : this.fail("unknown escape");
    }
    const digits = this.text.slice(this.position, this.position + 4);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail("broken \\u escape");
    this.position += 4;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  /** The spelling of the number that comes next. */
  number(): string {
    this.peek();
    NUMBER.lastIndex = this.position;
    const match = NUMBER.exec(this.text);
    if (match === null) return this.fail("expected a number");
    this.position += match[0].length;
    return match[0];
  }

  /** Walks through an object; `visit` must read the value of the key it is given. */
  object(visit: (key: string) => void): void {
    this.expect("{");
    if (this.take("}")) return;
    do {
      const key = this.string();
      this.expect(":");
      visit(key);
    } while (this.take(","));
    this.expect("}");
  }

  /** Walks through an array; `visit` must read one element. */
  array(visit: () => void): void {
    this.expect("[");
    if (this.take("]")) return;
    do visit();
    while (this.take(","));
    this.expect("]");
  }

  /** Any JSON value. */
  value(depth = 0): JsonValue {
    if (depth > MAX_DEPTH) this.fail(`nesting deeper than ${MAX_DEPTH}`);
    const first = this.peek();
    if (first === '"') return this.string();
    if (first === "{") {
      const object: JsonObject = new Map();
      this.object((key) => {
        if (object.has(key)) this.fail(`the key ${quote(key)} appears twice`);
        object.set(key, this.value(depth + 1));
      });
      return object;
    }
    if (first === "[") {
      const array: JsonValue[] = [];
      this.array(() => array.push(this.value(depth + 1)));
      return array;
    }
    for (const [word, value] of [
      ["null", null],
      ["true", true],
      ["false", false],
    ] as const) {
      if (!this.text.startsWith(word, this.position)) continue;
      this.position += word.length;
      return value;
    }
    return new JsonNumber(this.number());
  }
}

/** Parses a whole JSON text. */
export function parseJson(text: string, file: string): JsonValue {
  const reader = new JsonReader(text, file);
  const value = reader.value();
  reader.end();
  return value;
}

/** Parses UTF-8 bytes that must hold one JSON object. */
export function parseJsonObject(bytes: Uint8Array, file: string): JsonObject {
  const value = parseJson(decodeUtf8(bytes, file), file);
  if (value instanceof Map) return value;
  throw new FormatError(`${file} must hold a JSON object, { ... }, but holds something else.`);
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
