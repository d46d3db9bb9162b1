// Records (records.ts) as documents of tokens.
//   {"text": "..."}                          all of the text is trained
//   {"prompt": "...", "completion": "..."}   only the completion is, with the end token
// A document is begin ids, prompt, completion, end ids, as documentTokens.ts says. Without begin ids the very first
// token of a document has nothing before it and is not trained.
import { encodeText, joinIds, missingBegin, missingEnd, textBytes } from "./documentTokens.ts";
import type { TextRecord } from "./recordReader.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The tokens of a document. */
export interface Document {
  readonly tokens: Int32Array;
  /** Tokens before this index are only read, never trained. */
  readonly trainedFrom: number;
  /** Bytes of UTF-8 of the text that the trained tokens spell; special tokens spell none. */
  readonly trainedBytes: number;
}

/** Turns a record into tokens. The prompt and the completion are encoded apart, so no token spans both. */
export function encodeRecord(tokenizer: Tokenizer, record: TextRecord): Document {
  const prompt = encodeText(tokenizer, record.prompt);
  const completion = encodeText(tokenizer, record.completion);
  const begin = missingBegin(tokenizer, prompt.length > 0 ? prompt : completion);
  const end = missingEnd(tokenizer, completion);
  return {
    tokens: joinIds([begin, prompt, completion, end]),
    trainedFrom: begin.length + prompt.length,
    trainedBytes: textBytes(tokenizer, record.completion, completion),
  };
}
