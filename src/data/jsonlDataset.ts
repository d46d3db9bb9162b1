// JSON lines as many documents, packed into rows in which they do not see each other. Held out are documents chosen by
// a generator of its own, whatever the seed of the run, so that runs with different seeds are judged by the same ones.
import { FormatError } from "../core/error.ts";
import { Generator } from "../core/random.ts";
import { trainedTargets } from "./batch.ts";
import { checkOptions, Dataset, type DatasetOptions } from "./dataset.ts";
import { type Document, encodeRecord } from "./documents.ts";
import { packDocuments, packedRows } from "./packing.ts";
import { type Records, readRecords } from "./records.ts";
import type { Tokenizer } from "./tokenizer.ts";

const SPLIT_SEED = 0;

function sum(documents: readonly Document[], of: (document: Document) => number): number {
  return documents.reduce((total, document) => total + of(document), 0);
}

function targets({ tokens, trainedFrom }: Document): number {
  return trainedTargets({ tokens, from: 0, length: tokens.length - 1, trainedFrom });
}

function chooseHeldOut(count: number, validation: number, name: string): Set<number> {
  const held = validation === 0 ? 0 : Math.max(1, Math.floor(count * validation + 0.5));
  if (held >= count) {
    throw new FormatError(
      `${name} has ${count} documents, of which ${held} would be held out; expected at least one ` +
        "to train on. Add documents, or hold out a smaller part.",
    );
  }
  const order = Int32Array.from({ length: count }, (_, i) => i);
  new Generator(SPLIT_SEED).shuffle(order);
  return new Set(order.subarray(count - held));
}

/**
 * Makes a dataset of JSON lines, `{"text"}` or `{"prompt", "completion"}`; of the latter only the completion and the
 * end token are trained.
 *
 * @param name what is read, for errors
 * @throws FormatError for a broken line (with its number), for invalid UTF-8, or if nothing can be trained
 */
export function jsonlDataset(
  tokenizer: Tokenizer,
  source: string | Uint8Array | ArrayBuffer,
  options: DatasetOptions,
  name = "the JSONL text",
): Dataset {
  checkOptions(options);
  return documentsDataset(tokenizer, readRecords(source, "lines", name), options, name);
}

/** The same of records in any form. */
export function documentsDataset(
  tokenizer: Tokenizer,
  records: Records,
  options: DatasetOptions,
  name: string,
): Dataset {
  const validation = checkOptions(options);
  const { blockSize } = options;
  const held = chooseHeldOut(records.length, validation, name);
  const documents = Array.from(records, (record) => encodeRecord(tokenizer, record));
  const trainDocuments = documents.filter((_, i) => !held.has(i));
  const validationDocuments = documents.filter((_, i) => held.has(i));
  const rows = packDocuments(trainDocuments, blockSize);
  if (rows.length === 0) {
    throw new FormatError(
      `${name} holds no token that could be trained: found ${sum(trainDocuments, (d) => d.tokens.length)} ` +
        "tokens, but each needs one before it in the same document.",
    );
  }
  return new Dataset(
    {
      train: packedRows(rows),
      validation: packDocuments(validationDocuments, blockSize),
      sizes: {
        documents: documents.length,
        validationDocuments: held.size,
        tokens: sum(documents, (document) => document.tokens.length),
        trainTokens: sum(trainDocuments, targets),
        validationTokens: sum(validationDocuments, targets),
        trainBytes: sum(trainDocuments, (document) => document.trainedBytes),
        validationBytes: sum(validationDocuments, (document) => document.trainedBytes),
        cutDocuments: documents.filter(({ tokens }) => tokens.length - 1 > blockSize).length,
      },
    },
    options,
  );
}
