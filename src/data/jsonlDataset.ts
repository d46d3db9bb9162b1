// JSON lines as many documents, packed into rows in which they do not see each other. Held out are documents chosen by
// a generator of its own, whatever the seed of the run, so that runs with different seeds are judged by the same ones.
import { FormatError } from "../core/error.ts";
import { Generator } from "../core/random.ts";
import { trainedTargets } from "./batch.ts";
import { checkOptions, Dataset, type DatasetOptions } from "./dataset.ts";
import { DocumentList } from "./documentList.ts";
import { encodeRecord } from "./documents.ts";
import { packRows } from "./packing.ts";
import { type Records, readRecords } from "./records.ts";
import type { Tokenizer } from "./tokenizer.ts";

const SPLIT_SEED = 0;

/** What a part of the documents adds up to. */
function sizes(
  documents: DocumentList,
  numbers: Int32Array,
): { readonly tokens: number; readonly targets: number; readonly bytes: number } {
  let tokens = 0;
  let targets = 0;
  let bytes = 0;
  for (const number of numbers) {
    const { tokens: ids, trainedFrom } = documents.document(number);
    tokens += ids.length;
    targets += trainedTargets({ tokens: ids, from: 0, length: ids.length - 1, trainedFrom });
    bytes += documents.bytes(number);
  }
  return { tokens, targets, bytes };
}

/** The numbers of the documents to train on and of those that are held out, each in their order. */
function choose(count: number, validation: number, name: string): [Int32Array, Int32Array] {
  const held = validation === 0 ? 0 : Math.max(1, Math.floor(count * validation + 0.5));
  if (held >= count) {
    throw new FormatError(
      `${name} has ${count} documents, of which ${held} would be held out; expected at least one ` +
        "to train on. Add documents, or hold out a smaller part.",
    );
  }
  const order = Int32Array.from({ length: count }, (_, i) => i);
  new Generator(SPLIT_SEED).shuffle(order);
  return [order.slice(0, count - held).sort(), order.slice(count - held).sort()];
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
  const [train, held] = choose(records.length, validation, name);
  const documents = new DocumentList();
  for (const record of records) documents.add(encodeRecord(tokenizer, record));
  const trainRows = packRows(documents.part(train), blockSize);
  const trained = sizes(documents, train);
  if (trainRows.count === 0) {
    throw new FormatError(
      `${name} holds no token that could be trained: found ${trained.tokens} ` +
        "tokens, but each needs one before it in the same document.",
    );
  }
  const validated = sizes(documents, held);
  let cutDocuments = 0;
  for (let i = 0; i < documents.count; i++) if (documents.size(i) - 1 > blockSize) cutDocuments++;
  return new Dataset(
    {
      train: trainRows,
      validation: packRows(documents.part(held), blockSize),
      sizes: {
        documents: documents.count,
        validationDocuments: held.length,
        tokens: trained.tokens + validated.tokens,
        trainTokens: trained.targets,
        validationTokens: validated.targets,
        trainBytes: trained.bytes,
        validationBytes: validated.bytes,
        cutDocuments,
      },
    },
    options,
  );
}
