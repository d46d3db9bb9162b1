// Files of records. Which form a file has is told by its name alone:
//   .jsonl, .ndjson   a record in each line
//   .json             an array of records
//   any other         plain text
import { FormatError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { RECORD_SHAPE, RecordReader, type TextRecord } from "./recordReader.ts";
import { asUtf8 } from "./utf8.ts";

/** How a file holds its text. */
export type TextForm = "plain" | "lines" | "array";

/** The form of the file of this name. */
export function formOf(name: string): TextForm {
  if (/\.(?:jsonl|ndjson)$/i.test(name)) return "lines";
  return /\.json$/i.test(name) ? "array" : "plain";
}

/** Records that can be gone through again and again. */
export interface Records extends Iterable<TextRecord> {
  readonly length: number;
}

// Most fields that an error lists.
const LISTED = 12;

const LINE_END = 0x0a;
const expected = `expected ${RECORD_SHAPE}`;

/**
 * The records of a file. All of them are checked at once and none is kept: each is read when its turn comes.
 * @param name what is read, for the errors
 * @throws FormatError with the number of the line or the record (from 1) and what is wrong with it
 */
export function readRecords(
  source: string | Uint8Array | ArrayBuffer,
  form: Exclude<TextForm, "plain">,
  name: string,
): Records {
  const bytes = asUtf8(source, name);
  const walk = form === "lines" ? eachLine : eachElement;
  let length = 0;
  for (const _ of walk(bytes, name)) length++;
  if (length === 0) {
    const place = form === "lines" ? "line" : "element";
    throw new FormatError(`${name} is empty; ${expected} in every ${place}.`);
  }
  return { length, [Symbol.iterator]: () => walk(bytes, name) };
}

/**
 * Records that the caller gives as objects. Fields that are null or undefined count as missing.
 * @throws FormatError with the number of the record (from 0) and what is wrong with it
 */
export function recordsOf(values: readonly unknown[], name: string): Records {
  if (values.length === 0) throw new FormatError(`${name} is empty; ${expected} in it.`);
  return values.map((value, i) => recordOf(value, `${name}[${i}]`));
}

function recordOf(value: unknown, where: string): TextRecord {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError(`${where} is ${kindOf(value)}; ${expected}.`);
  }
  const { text, prompt, completion } = value as { readonly [key: string]: unknown };
  const isMissing = (field: unknown): boolean => field === undefined || field === null;
  const isText = typeof text === "string" && isMissing(prompt) && isMissing(completion);
  const isPair = isMissing(text) && typeof prompt === "string" && typeof completion === "string";
  if (!isText && !isPair) {
    const fields = Object.keys(value).slice(0, LISTED);
    throw new FormatError(
      `${where} has the fields ${fields.map((key) => kindOf(key)).join(", ") || "none"}; ${expected}.`,
    );
  }
  const record = isText ? { prompt: "", completion: text } : { prompt, completion };
  if (record.completion !== "") return record as TextRecord;
  throw new FormatError(`${where} has an empty ${isText ? "text" : "completion"}; remove it.`);
}

/** Lines that hold nothing but white space are skipped. */
function* eachLine(bytes: Uint8Array, name: string): Generator<TextRecord> {
  let line = 0;
  for (let begin = 0; begin < bytes.length; ) {
    const found = bytes.indexOf(LINE_END, begin);
    const end = found < 0 ? bytes.length : found;
    line++;
    const reader = new RecordReader(bytes.subarray(0, end), begin, `Line ${line} of ${name}`);
    begin = end + 1;
    if (reader.peek() === "") continue;
    const record = reader.record();
    reader.end();
    yield record;
  }
}

function* eachElement(bytes: Uint8Array, name: string): Generator<TextRecord> {
  const reader = new RecordReader(bytes, 0, name);
  const kind = reader.peek() === "" ? "nothing" : reader.kind();
  if (kind !== "list") {
    if (kind !== "nothing") reader.skip();
    throw noArray(name, kind);
  }
  reader.expect("[");
  if (!reader.take("]")) {
    let number = 0;
    do {
      reader.where = `Record ${++number} of ${name}`;
      yield reader.record();
    } while (reader.take(","));
    reader.where = name;
    reader.expect("]");
  }
  reader.end();
}

function noArray(name: string, kind: string): FormatError {
  const found = kind === "nothing" || kind === "null" ? kind : `a JSON ${kind}`;
  const lines = kind === "object" ? "If every line is a record, call it .jsonl. " : "";
  return new FormatError(
    `${name} holds ${found}, but a .json file must hold an array of records; ${expected} in every element. ` +
      `${lines}To take it as plain text, call it .txt.`,
  );
}
