// JSON lines as many documents, packed into rows in which they do not see each other. Held out are documents chosen by
// a generator of its own, whatever the seed of the run, so that runs with different seeds are judged by the same ones.
import { FormatError } from "../core/error.ts";
import { Generator } from "../core/random.ts";
import { trainedTargets } from "./batch.ts";
import { checkOptions, Dataset, type DatasetOptions } from "./dataset.ts";
import { DocumentList } from "./documentList.ts";
import { type Document, encodeRecord } from "./documents.ts";
import { packRows } from "./packing.ts";
import { type Records, readRecords } from "./records.ts";
import { expectTokenizer, type Tokenizer } from "./tokenizer.ts";

const SPLIT_SEED = 0;

/** What a part of the documents adds up to. */
class Sizes {
  tokens = 0;
  targets = 0;
  bytes = 0;

  add({ tokens, trainedFrom, trainedBytes }: Document): void {
    this.tokens += tokens.length;
    this.targets += trainedTargets({ tokens, from: 0, length: tokens.length - 1, trainedFrom });
    this.bytes += trainedBytes;
  }
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
  expectTokenizer(tokenizer);
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
  const documents = new DocumentList(records.length);
  const trained = new Sizes();
  const validated = new Sizes();
  let cutDocuments = 0;
  let nextHeld = 0;
  for (const record of records) {
    const document = encodeRecord(tokenizer, record);
    const isHeld = held[nextHeld] === documents.count;
    if (isHeld) nextHeld++;
    (isHeld ? validated : trained).add(document);
    if (document.tokens.length - 1 > blockSize) cutDocuments++;
    documents.add(document);
  }
  const trainRows = packRows(documents.part(train), blockSize);
  if (trainRows.count === 0) {
    throw new FormatError(
      `${name} holds no token that could be trained: found ${trained.tokens} ` +
        "tokens, but each needs one before it in the same document.",
    );
  }
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
