// A dataset: training rows in an endless seeded order, and held-out rows in a fixed one.
// Batch i is a pure function of (seed, i): row g = i B + j of the stream belongs to epoch g div R (R rows an epoch), and
// an epoch's order and shift come from generator (seed, epoch) alone. So a run resumes at any batch exactly, and a
// batch may hold the end of one epoch and the beginning of the next.

import { UsageError } from "../core/error.ts";
import { expectObject, kindOf } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { Generator } from "../core/random.ts";
import { optionName } from "../core/wording.ts";
import { type Batch, makeBatch, type Row } from "./batch.ts";
import type { RowSource } from "./packing.ts";

/** Options that all datasets share. */
export interface DatasetOptions {
  /** Rows in a batch. */
  readonly batchSize: number;
  /** Tokens in a row. */
  readonly blockSize: number;
  /** Seed of the order; default 0. It does not decide what is held out. */
  readonly seed?: number;
  /** The part that is held out, from 0 up to but not including 1; default 0.1. */
  readonly validation?: number;
}

/** Sizes of a dataset. */
export interface DatasetSummary {
  readonly documents: number;
  readonly validationDocuments: number;
  /** All tokens, prompts and held-out ones included. */
  readonly tokens: number;
  /** Trained targets in the training part and in the held-out part. */
  readonly trainTokens: number;
  readonly validationTokens: number;
  /** Bytes of UTF-8 that these targets spell; nats times tokens / (bytes times ln 2) is bits per byte. */
  readonly trainBytes: number;
  readonly validationBytes: number;
  /** Documents longer than a row, which are cut; texts meant to be cut are not counted. */
  readonly cutDocuments: number;
  /** Rows of an epoch, and batches of an epoch (rows / batchSize, often a fraction). */
  readonly rowsPerEpoch: number;
  readonly batchesPerEpoch: number;
}

/** What a dataset is made of; `loadText`-like functions make it, see textDataset.ts and jsonlDataset.ts. */
export interface DatasetParts {
  readonly train: RowSource;
  readonly validation: RowSource;
  readonly sizes: Omit<DatasetSummary, "rowsPerEpoch" | "batchesPerEpoch">;
}

/** Which batches to give: how many (default: without end), and the index of the first (default 0). */
export interface BatchRange {
  readonly steps?: number;
  readonly from?: number;
}

// Generator streams of the data; other users of the same seed take streams below.
const FIRST_STREAM = 0x10000;

/** Throws a UsageError unless the value is a whole number of at least `least`. */
export function checkCount(name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new UsageError(
    `${name} is ${kindOf(value)}; expected a whole number of at least ${least}.`,
  );
}

const DATASET_OPTIONS: OptionNames<DatasetOptions> = {
  batchSize: true,
  blockSize: true,
  seed: true,
  validation: true,
};

const BATCH_RANGE: OptionNames<BatchRange> = { steps: true, from: true };

/** Checks the options that all datasets share and returns the held-out part. */
export function checkOptions(options: DatasetOptions): number {
  expectOptions(options, DATASET_OPTIONS, "a dataset");
  checkCount(optionName("batchSize"), options.batchSize, 1);
  checkCount(optionName("blockSize"), options.blockSize, 1);
  checkCount(optionName("seed"), options.seed ?? 0, 0);
  const { validation = 0.1 } = options;
  if (typeof validation === "number" && validation >= 0 && validation < 1) return validation;
  throw new UsageError(
    `${optionName("validation")} is ${kindOf(validation)}; expected the part of the text to hold out, from 0 to below 1.`,
  );
}

/** All rows of a source in batches; the last one may have fewer rows. */
export function* batchesOf(
  source: RowSource,
  batchSize: number,
  blockSize: number,
): IterableIterator<Batch> {
  for (let i = 0; i < source.count; i += batchSize) {
    const length = Math.min(batchSize, source.count - i);
    yield makeBatch(
      Array.from({ length }, (_, j) => source.row(i + j, 0)),
      blockSize,
    );
  }
}

/** Rows of tokens for training and for validation. */
export class Dataset {
  readonly batchSize: number;
  readonly blockSize: number;
  readonly seed: number;
  readonly summary: DatasetSummary;
  readonly #train: RowSource;
  readonly #validation: RowSource;
  // The plan of the epoch asked for last: successive batches mostly want the same one.
  #plan: { readonly epoch: number; readonly shift: number; readonly order: Int32Array } | undefined;

  constructor(parts: DatasetParts, options: DatasetOptions) {
    expectObject("What a dataset is made of", parts, "rows; textDataset() and others make them");
    checkOptions(options);
    this.batchSize = options.batchSize;
    this.blockSize = options.blockSize;
    this.seed = options.seed ?? 0;
    this.#train = parts.train;
    this.#validation = parts.validation;
    const rowsPerEpoch = parts.train.count;
    this.summary = {
      ...parts.sizes,
      rowsPerEpoch,
      batchesPerEpoch: rowsPerEpoch / this.batchSize,
    };
  }

  /** Batch `index` of the endless order, [batchSize, blockSize]; it depends on the seed and `index` alone. */
  batchAt(index: number): Batch {
    checkCount("The index of a batch", index, 0);
    const rows: Row[] = [];
    for (let j = 0; j < this.batchSize; j++) {
      const row = index * this.batchSize + j;
      const { shift, order } = this.#planOf(Math.floor(row / this.#train.count));
      rows.push(this.#train.row(order[row % this.#train.count]!, shift));
    }
    return makeBatch(rows, this.blockSize);
  }

  /** Batches in order: so many from the first one, or a range. */
  *batches(range: number | BatchRange = {}): IterableIterator<Batch> {
    if (typeof range !== "number") expectOptions(range, BATCH_RANGE, "batches");
    const { steps = Number.POSITIVE_INFINITY, from = 0 } =
      typeof range === "number" ? { steps: range } : range;
    if (steps !== Number.POSITIVE_INFINITY) checkCount("steps", steps, 0);
    checkCount("from", from, 0);
    for (let i = 0; i < steps; i++) yield this.batchAt(from + i);
  }

  /** The held-out rows, each trained target exactly once; the last batch may have fewer rows. */
  *validationBatches(): IterableIterator<Batch> {
    yield* batchesOf(this.#validation, this.batchSize, this.blockSize);
  }

  #planOf(epoch: number): { readonly shift: number; readonly order: Int32Array } {
    if (this.#plan?.epoch === epoch) return this.#plan;
    const generator = new Generator(this.seed, FIRST_STREAM + epoch);
    const shift = generator.integer(this.#train.slack + 1);
    const order = Int32Array.from({ length: this.#train.count }, (_, i) => i);
    generator.shuffle(order);
    this.#plan = { epoch, shift, order };
    return this.#plan;
  }
}
