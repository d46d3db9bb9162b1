// Text to train on: a file, a string or bytes, records, or the text that comes with the package.

import { FormatError, UsageError } from "../core/error.ts";
import { readFile } from "../core/files.ts";
import { expectObject, wrongKind } from "../core/kind.ts";
import { type PathLike, placeOf } from "../core/location.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { withoutSecrets } from "../core/secrets.ts";
import { optionName } from "../core/wording.ts";
import type { Dataset, DatasetOptions } from "../data/dataset.ts";
import { documentsDataset } from "../data/jsonlDataset.ts";
import { formOf, readRecords, recordsOf } from "../data/records.ts";
import { textDataset } from "../data/textDataset.ts";
import { expectTokenizer, type Tokenizer } from "../data/tokenizer.ts";
import { quote } from "./json.ts";
import { BUNDLED_TEXT, openPackaged } from "./packaged.ts";
import { fetchFile } from "./web.ts";

/** A text to train on, or a prompt and what shall follow it, of which only the latter is trained. */
export type TrainingRecord =
  | { readonly text: string }
  | { readonly prompt: string; readonly completion: string };

/** Which text, and how it is cut into batches. One of `path`, `text` and `records`; else the bundled text. */
export interface LoadTextOptions extends Partial<DatasetOptions> {
  /** A file of plain text, of JSON lines (`.jsonl`, `.ndjson`) or of an array of records (`.json`); a path or a URL. */
  readonly path?: PathLike;
  /** Plain text, or bytes of UTF-8, instead of a file. */
  readonly text?: string | Uint8Array | ArrayBuffer;
  /** Records instead of a file: what the lines of a `.jsonl` file say. */
  readonly records?: readonly TrainingRecord[];
  /** Rows in a batch; default 8. */
  readonly batchSize?: number;
  /** Tokens in a row; default 128, or all that the model takes if that is less. */
  readonly blockSize?: number;
}

const OPTIONS: OptionNames<LoadTextOptions> = {
  path: true,
  text: true,
  records: true,
  batchSize: true,
  blockSize: true,
  seed: true,
  validation: true,
};

/** The rows that are taken when nothing is said; the command takes the same. */
export const TEXT_ROWS = { batchSize: 8, blockSize: 128 } as const;

/** What is needed of a model to make its data. */
export interface TextModel {
  readonly tokenizer: Tokenizer;
  readonly config: { readonly maxPositions: number; readonly window?: number };
}

/**
 * Makes a dataset for a model; without `path`, `text` and `records` of the bundled text, a part of the King James Bible.
 * @throws FormatError for text that is empty, too short, not UTF-8 or has a broken line or record, LowrankError for a
 *   file that cannot be read, UsageError for a block longer than the model's positions
 * @example
 * const data = await loadText(model, { path: "notes.txt", seed: 1 });
 */
export async function loadText(model: TextModel, options: LoadTextOptions = {}): Promise<Dataset> {
  expectObject("The model", model, "a model with a tokenizer, such as loadModel() gives");
  const { tokenizer, config } = model;
  expectTokenizer(tokenizer);
  expectObject("The model's config", config);
  expectOptions(options, OPTIONS, "loadText");
  const { path, text, records, ...rest } = options;
  const given = Object.entries({ path, text, records }).filter(([, value]) => value !== undefined);
  if (given.length > 1) {
    const names = given.map(([name]) => name).join(" and ");
    throw new UsageError(`Both ${names} are given; expected one of path, text and records.`);
  }
  const { maxPositions, window } = config;
  const { batchSize = TEXT_ROWS.batchSize } = rest;
  const { blockSize = Math.min(TEXT_ROWS.blockSize, maxPositions) } = rest;
  if (typeof blockSize === "number" && blockSize > maxPositions) {
    const limit =
      window === undefined
        ? `but the model has ${maxPositions} positions`
        : `past the window of ${window} tokens, which is as far as this model is supported`;
    throw new UsageError(
      `${optionName("blockSize")} is ${blockSize}, ${limit}. Use a smaller one.`,
    );
  }
  const rows = { ...rest, batchSize, blockSize };
  if (text !== undefined) return textDataset(tokenizer, text, rows);
  if (records !== undefined) {
    if (!Array.isArray(records)) throw wrongKind("records", records, "an array of records");
    return documentsDataset(tokenizer, recordsOf(records, "records"), rows, "records");
  }
  if (path === undefined) {
    const { directory, file } = BUNDLED_TEXT;
    const advice = 'Pass the text itself: loadText(model, { text: "…" }).';
    const source = await openPackaged(directory, file, advice);
    const bytes = (await source.read(file)) ?? new Uint8Array(0);
    return textDataset(tokenizer, bytes, rows, `${directory}/${file}`);
  }
  const { name, bytes } = await readTextFile(path);
  const form = formOf(name);
  if (form === "plain") return textDataset(tokenizer, bytes, rows, quote(name));
  return documentsDataset(tokenizer, readRecords(bytes, form, quote(name)), rows, quote(name));
}

/** The file that a location names, and how it is called: its path, or its address without user and query. */
export async function readTextFile(
  location: PathLike,
): Promise<{ readonly name: string; readonly bytes: Uint8Array }> {
  const place = placeOf(location, "The path of the text");
  if ("path" in place) return { name: place.path, bytes: readFile(place.path) };
  const name = withoutSecrets(place.web.href);
  const answer = await fetchFile(place.web);
  if ("bytes" in answer) return { name, bytes: answer.bytes };
  throw new FormatError(`There is no text at ${name}: ${answer.missing}.`);
}
