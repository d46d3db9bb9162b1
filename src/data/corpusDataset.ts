// A corpus of long documents, for pretraining: each is [begin token] text [end token], they are laid end to end and cut
// into full rows in which they do not see each other. Which documents are held out is the caller's choice.

import { FormatError } from "../core/error.ts";
import { expectObject, expectText, wrongKind } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { optionName } from "../core/wording.ts";
import { checkOptions, Dataset, type DatasetOptions } from "./dataset.ts";
import { type Document, encodeRecord } from "./documents.ts";
import { cutBlocks, listInputs, packRows } from "./packing.ts";
import { expectTokenizer, type Tokenizer } from "./tokenizer.ts";

/** Texts to train on and texts to hold out. */
export interface Corpus {
  readonly train: readonly string[];
  readonly validation: readonly string[];
}

type CorpusOptions = Omit<DatasetOptions, "validation">;

const OPTIONS: OptionNames<CorpusOptions> = { batchSize: true, blockSize: true, seed: true };

function sizes(documents: readonly Document[]): { tokens: number; targets: number; bytes: number } {
  let tokens = 0;
  let targets = 0;
  let bytes = 0;
  for (const document of documents) {
    tokens += document.tokens.length;
    targets += Math.max(0, document.tokens.length - 1);
    bytes += document.trainedBytes;
  }
  return { tokens, targets, bytes };
}

/**
 * Makes a dataset of whole texts.
 * @throws FormatError if the texts to train on are too short for one row
 */
export function corpusDataset(
  tokenizer: Tokenizer,
  corpus: Corpus,
  options: CorpusOptions,
): Dataset {
  expectOptions(options, OPTIONS, "corpusDataset");
  checkOptions(options);
  expectTokenizer(tokenizer);
  expectObject("The corpus", corpus, "an object { train, validation } of texts");
  for (const part of ["train", "validation"] as const) {
    const texts: unknown = corpus[part];
    if (!Array.isArray(texts)) throw wrongKind(part, texts, "an array of texts");
    for (const text of texts) expectText("A text of the corpus", text);
  }
  const { blockSize } = options;
  const encode = (text: string) => encodeRecord(tokenizer, { prompt: "", completion: text });
  const train = corpus.train.map(encode);
  const validation = corpus.validation.map(encode);
  const trainSizes = sizes(train);
  const validationSizes = sizes(validation);
  if (trainSizes.targets < blockSize) {
    throw new FormatError(
      `The corpus is too short: its ${train.length} texts have ${trainSizes.targets} tokens to predict, ` +
        `but a row of ${blockSize} needs ${blockSize}. Take longer texts or a smaller ${optionName("blockSize")}.`,
    );
  }
  const whole = validation.map(({ tokens }) => ({ tokens, trainedFrom: 0 }));
  return new Dataset(
    {
      train: cutBlocks(
        train.map((document) => document.tokens),
        blockSize,
      ),
      validation: packRows(listInputs(whole), blockSize),
      sizes: {
        documents: train.length + validation.length,
        validationDocuments: validation.length,
        tokens: trainSizes.tokens + validationSizes.tokens,
        trainTokens: trainSizes.targets,
        validationTokens: validationSizes.targets,
        trainBytes: trainSizes.bytes,
        validationBytes: validationSizes.bytes,
        cutDocuments: 0,
      },
    },
    options,
  );
}
