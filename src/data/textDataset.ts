// Plain text as one long document: cut into contiguous blocks, each target predicted from its own block. The tail end
// of the text is held out, from the beginning of a line (or of a word) on; the two parts are encoded apart, so that
// the bytes of the held-out part are known exactly. Rows begin anywhere in the text, so nothing is put before it.

import { FormatError } from "../core/error.ts";
import { optionName } from "../core/wording.ts";
import { checkOptions, Dataset, type DatasetOptions } from "./dataset.ts";
import { encodeText, textBytes } from "./documentTokens.ts";
import { cutBlocks, cutWhole } from "./packing.ts";
import { expectTokenizer, type Tokenizer } from "./tokenizer.ts";
import { asText } from "./utf8.ts";

// How far back from the exact place a line may begin for the text to be parted there: characters, and part of all.
const LINE_SEARCH = 2000;
const SEARCHED_PART = 0.02;

// The index at which the held-out part begins: after the last line end before the exact place, else the last space.
function splitPoint(text: string, validation: number): number {
  const exact = Math.floor(text.length * (1 - validation));
  if (validation === 0) return text.length;
  const earliest = exact - Math.min(LINE_SEARCH, text.length * SEARCHED_PART);
  const line = text.lastIndexOf("\n", exact - 1);
  if (line >= earliest) return line + 1;
  const space = text.lastIndexOf(" ", exact - 1);
  // The space goes with the word after it, as byte-level tokens have it.
  if (space > earliest) return space;
  const unit = text.charCodeAt(exact);
  return unit >= 0xdc00 && unit <= 0xdfff ? exact - 1 : exact;
}

/**
 * Makes a dataset of one plain text (a string, or bytes of UTF-8). A special token that stands in the text is taken
 * as that token if the tokenizer does so.
 *
 * @param name what the text is, for errors
 * @throws FormatError if the text is empty, not UTF-8, or too short for one block
 */
export function textDataset(
  tokenizer: Tokenizer,
  source: string | Uint8Array | ArrayBuffer,
  options: DatasetOptions,
  name = "The text",
): Dataset {
  const validation = checkOptions(options);
  expectTokenizer(tokenizer);
  const { blockSize } = options;
  const text = asText(source, name);
  if (text.trim() === "")
    throw new FormatError(`${name} is empty; expected some text to train on.`);
  const cut = splitPoint(text, validation);
  const trainText = text.slice(0, cut);
  const heldText = text.slice(cut);
  const train = encodeText(tokenizer, trainText);
  const held = encodeText(tokenizer, heldText);
  if (train.length < blockSize + 1) {
    throw new FormatError(
      `${name} is too short: ${train.length} tokens are left to train on (${held.length} are held out), ` +
        `but a block of ${blockSize} needs ${blockSize + 1}. Take a longer text, a smaller ${optionName("blockSize")} ` +
        "or a smaller held-out part.",
    );
  }
  return new Dataset(
    {
      train: cutBlocks([train], blockSize),
      // The last training token is the context of the first held-out one, so that every held-out token is a target.
      validation: cutWhole(held, blockSize, train[train.length - 1]!),
      sizes: {
        documents: 1,
        validationDocuments: held.length > 0 ? 1 : 0,
        tokens: train.length + held.length,
        trainTokens: train.length - 1,
        validationTokens: held.length,
        trainBytes: textBytes(tokenizer, trainText, train),
        validationBytes: textBytes(tokenizer, heldText, held),
        cutDocuments: 0,
      },
    },
    options,
  );
}
