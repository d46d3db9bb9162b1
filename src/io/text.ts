// Text to train on: a file, a string or bytes, or the text that comes with the package.
import { FormatError, UsageError } from "../core/error.ts";
import { readFile } from "../core/files.ts";
import { type PathLike, placeOf } from "../core/location.ts";
import { withoutSecrets } from "../core/secrets.ts";
import type { Dataset, DatasetOptions } from "../data/dataset.ts";
import { documentsDataset } from "../data/jsonlDataset.ts";
import { formOf, readRecords } from "../data/records.ts";
import { textDataset } from "../data/textDataset.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { quote } from "./json.ts";
import { BUNDLED_TEXT, openPackaged } from "./packaged.ts";
import { fetchFile } from "./web.ts";

/** Which text, and how it is cut into batches. */
export interface LoadTextOptions extends DatasetOptions {
  /** A file of plain text, of JSON lines (`.jsonl`, `.ndjson`) or of an array of records (`.json`); a path or a URL. */
  readonly path?: PathLike;
  /** Plain text, or bytes of UTF-8, instead of a file. */
  readonly text?: string | Uint8Array | ArrayBuffer;
}

/** What is needed of a model to make its data. */
export interface TextModel {
  readonly tokenizer: Tokenizer;
  readonly config: { readonly maxPositions: number; readonly window?: number };
}

/**
 * Makes a dataset for a model; without `path` and `text` of the bundled text, a part of the King James Bible.
 * @throws FormatError for text that is empty, too short, not UTF-8 or has a broken line of JSON, LowrankError for a
 *   file that cannot be read, UsageError for a block longer than the model's positions
 * @example
 * const data = await loadText(model, { path: "notes.txt", batchSize: 8, blockSize: 128, seed: 1 });
 */
export async function loadText(
  model: TextModel,
  { path, text, ...options }: LoadTextOptions,
): Promise<Dataset> {
  if (path !== undefined && text !== undefined) {
    throw new UsageError("Both path and text are given; expected one of them.");
  }
  const { maxPositions, window } = model.config;
  if (options.blockSize > maxPositions) {
    const limit =
      window === undefined
        ? `but the model has ${maxPositions} positions`
        : `past the window of ${window} tokens, which is as far as this model is supported`;
    throw new UsageError(`blockSize is ${options.blockSize}, ${limit}. Use a smaller blockSize.`);
  }
  if (text !== undefined) return textDataset(model.tokenizer, text, options);
  if (path === undefined) {
    const { directory, file } = BUNDLED_TEXT;
    const advice = 'Pass the text itself: loadText(model, { text: "…", batchSize, blockSize }).';
    const source = await openPackaged(directory, file, advice);
    const bytes = (await source.read(file)) ?? new Uint8Array(0);
    return textDataset(model.tokenizer, bytes, options, `${directory}/${file}`);
  }
  const { name, bytes } = await readTextFile(path);
  const form = formOf(name);
  if (form === "plain") return textDataset(model.tokenizer, bytes, options, quote(name));
  const records = readRecords(bytes, form, quote(name));
  return documentsDataset(model.tokenizer, records, options, quote(name));
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
