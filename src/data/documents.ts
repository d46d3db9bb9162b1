// Training texts as they are read: JSON lines to records, records to documents of tokens.
//   {"text": "..."}                          all of the text is trained
//   {"prompt": "...", "completion": "..."}   only the completion is, with the end token
// A document is [begin token] prompt completion [end token], as far as the tokenizer has these tokens. Without a
// begin token the very first token of a document has nothing before it and is not trained.
import { FormatError } from "../core/error.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { asText } from "./utf8.ts";

/** One line of a JSONL file; the prompt of a plain text is empty. */
export interface TextRecord {
  readonly prompt: string;
  readonly completion: string;
}

/** The tokens of a document. */
export interface Document {
  readonly tokens: Int32Array;
  /** Tokens before this index are only read, never trained. */
  readonly trainedFrom: number;
  /** Bytes of UTF-8 that the trained tokens spell (the end token spells none). */
  readonly trainedBytes: number;
}

/** The number of bytes of a text in UTF-8. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

const expected = 'expected {"text": "..."} or {"prompt": "...", "completion": "..."}';

function readRecord(line: string, where: string): TextRecord {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new FormatError(`${where} is no JSON: ${(error as Error).message}; ${expected}.`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const kind = Array.isArray(value) ? "a list" : value === null ? "null" : `a ${typeof value}`;
    throw new FormatError(`${where} is ${kind}; ${expected}.`);
  }
  const { text, prompt, completion } = value as {
    [Key in "text" | "prompt" | "completion"]?: unknown;
  };
  const isText = typeof text === "string" && prompt === undefined && completion === undefined;
  const isPair = typeof prompt === "string" && typeof completion === "string" && text === undefined;
  if (!isText && !isPair) {
    const fields = Object.entries(value).map(([key, field]) => {
      const kind = Array.isArray(field) ? "list" : field === null ? "null" : typeof field;
      return `${JSON.stringify(key)} (${kind})`;
    });
    throw new FormatError(`${where} has the fields ${fields.join(", ") || "none"}; ${expected}.`);
  }
  const record = isText ? { prompt: "", completion: text } : { prompt, completion };
  if (record.completion === "") {
    throw new FormatError(
      `${where} has an empty ${isText ? "text" : "completion"}; remove the line.`,
    );
  }
  return record as TextRecord;
}

/**
 * Reads JSON lines. Blank lines are skipped, fields other than those above ignored.
 * @param name what is read, for the errors
 * @throws FormatError with the number of the line (from 1) and what is wrong with it
 */
export function parseJsonl(source: string | Uint8Array, name: string): TextRecord[] {
  const records: TextRecord[] = [];
  for (const [i, line] of asText(source, name).split("\n").entries()) {
    if (line.trim() !== "") records.push(readRecord(line, `Line ${i + 1} of ${name}`));
  }
  if (records.length === 0) throw new FormatError(`${name} is empty; ${expected} in every line.`);
  return records;
}

/** Turns a record into tokens. The prompt and the completion are encoded apart, so no token spans both. */
export function encodeRecord(tokenizer: Tokenizer, record: TextRecord): Document {
  const { bosTokenId, eosTokenId } = tokenizer;
  const begin = bosTokenId === undefined ? [] : [bosTokenId];
  const prompt = record.prompt === "" ? [] : Array.from(tokenizer.encode(record.prompt));
  const completion = Array.from(tokenizer.encode(record.completion));
  const end = eosTokenId === undefined ? [] : [eosTokenId];
  return {
    tokens: Int32Array.from([...begin, ...prompt, ...completion, ...end]),
    trainedFrom: begin.length + prompt.length,
    trainedBytes: byteLength(record.completion),
  };
}
