// Records (records.ts) as documents of tokens.
//   {"text": "..."}                          all of the text is trained
//   {"prompt": "...", "completion": "..."}   only the completion is, with the end token
// A document is [begin token] prompt completion [end token], as far as the tokenizer has these tokens. Without a
// begin token the very first token of a document has nothing before it and is not trained.
import type { TextRecord } from "./recordReader.ts";
import type { Tokenizer } from "./tokenizer.ts";

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
