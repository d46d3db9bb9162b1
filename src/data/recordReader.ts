// A cursor over records in JSON, as programs of all kinds write them. Of a record only the wanted columns are built.
// Half a surrogate pair, which a column cut to a length may end with, is U+FFFD.
import { FormatError } from "../core/error.ts";
import { JsonReader } from "../core/json-reader.ts";

/** A training text: a prompt, empty for a plain text, and what is trained. */
export interface TextRecord {
  readonly prompt: string;
  readonly completion: string;
}

/** What a record looks like. */
export const RECORD_SHAPE = '{"text": "..."} or {"prompt": "...", "completion": "..."}';
const expected = `expected ${RECORD_SHAPE}`;

// Most columns that an error lists.
const LISTED = 12;

const COLUMNS = ["text", "prompt", "completion"] as const;
type Column = (typeof COLUMNS)[number];

export class RecordReader extends JsonReader {
  readonly #begin: number;
  /** How errors call what is being read. */
  where: string;

  /**
   * @param bytes UTF-8 that was checked; what is read ends with it
   * @param begin where it begins
   */
  constructor(bytes: Uint8Array, begin: number, where: string) {
    super(bytes, where, begin);
    this.#begin = begin;
    this.where = where;
  }

  override fail(problem: string): never {
    const before = this.bytes.subarray(this.#begin, this.position);
    let characters = 0;
    for (const byte of before) if ((byte & 0xc0) !== 0x80) characters++;
    throw new FormatError(
      `${this.where} is no JSON: ${problem}, at character ${characters}; ${expected}.`,
    );
  }

  protected override halfPair(): void {}

  protected override get longestString(): number {
    return this.bytes.length;
  }

  /** What comes next, in words. */
  kind(): string {
    const first = this.peek();
    if (first === '"') return "string";
    if (first === "[") return "list";
    if (first === "{") return "object";
    if (first === "t" || first === "f") return "boolean";
    return first === "n" ? "null" : "number";
  }

  /**
   * Reads the record that comes next. Columns that are null count as missing, those that nobody wants are skipped.
   * @throws FormatError that says what is there instead
   */
  record(): TextRecord {
    this.peek();
    const begin = this.position;
    const kind = this.kind();
    if (kind !== "object") {
      this.skip();
      const found = kind === "null" ? kind : `a ${kind}`;
      throw new FormatError(`${this.where} is ${found}; ${expected}.`);
    }
    const columns: { [K in Column]?: string } = {};
    let isFit = true;
    this.object((key) => {
      const isColumn = key === "text" || key === "prompt" || key === "completion";
      const type = isColumn ? this.kind() : "";
      if (isColumn && type === "string") {
        columns[key] = this.string();
        return;
      }
      if (isColumn && type !== "null") isFit = false;
      this.skip(1);
    }, COLUMNS);
    const { text, prompt, completion } = columns;
    if (isFit && text !== undefined && prompt === undefined && completion === undefined) {
      return this.#filled({ prompt: "", completion: text }, "text");
    }
    if (isFit && text === undefined && prompt !== undefined && completion !== undefined) {
      return this.#filled({ prompt, completion }, "completion");
    }
    this.position = begin;
    throw new FormatError(`${this.where} has the fields ${this.#fields()}; ${expected}.`);
  }

  #filled(record: TextRecord, column: Column): TextRecord {
    if (record.completion !== "") return record;
    throw new FormatError(`${this.where} has an empty ${column}; remove it.`);
  }

  /** The names and kinds of the columns. */
  #fields(): string {
    const fields: string[] = [];
    let more = 0;
    this.object((key) => {
      if (fields.length < LISTED)
        fields.push(`${JSON.stringify(key.slice(0, 80))} (${this.kind()})`);
      else more++;
      this.skip(1);
    });
    if (more > 0) fields.push(`and ${more} more`);
    return fields.join(", ") || "none";
  }
}
