// All of a text in rows, in order and each target once, to be evaluated: nothing is held out.
import { FormatError } from "../core/error.ts";
import { DocumentList } from "./documentList.ts";
import { encodeRecord } from "./documents.ts";
import { encodeText, textBytes } from "./documentTokens.ts";
import { cutWhole, packRows, type RowSource } from "./packing.ts";
import { readRecords, type TextForm } from "./records.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { asText } from "./utf8.ts";

/** Rows, and the bytes of UTF-8 of the text that their targets spell. */
export interface WholeText {
  readonly rows: RowSource;
  readonly bytes: number;
}

/** What a text is, and how long rows are. */
export interface WholeTextOptions {
  readonly form: TextForm;
  readonly blockSize: number;
  /** How errors call it. */
  readonly name: string;
}

/** The rows of a text. @throws FormatError for a plain one without two tokens, a broken record, or invalid UTF-8 */
export function wholeText(
  tokenizer: Tokenizer,
  source: string | Uint8Array,
  { form, blockSize, name }: WholeTextOptions,
): WholeText {
  if (form !== "plain") {
    const records = readRecords(source, form, name);
    const documents = new DocumentList(records.length);
    let bytes = 0;
    for (const record of records) {
      const document = encodeRecord(tokenizer, record);
      bytes += document.trainedBytes;
      documents.add(document);
    }
    return { rows: packRows(documents, blockSize), bytes };
  }
  const text = asText(source, name);
  const tokens = encodeText(tokenizer, text);
  if (tokens.length < 2) {
    const found = tokens.length === 1 ? "1 token" : "no token";
    throw new FormatError(`${name} is too short to evaluate: ${found} found, at least 2 expected.`);
  }
  return { rows: cutWhole(tokens, blockSize), bytes: textBytes(tokenizer, text, tokens) };
}
