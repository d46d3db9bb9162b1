// Learns a byte-level BPE vocabulary: count the pre-tokens, then join the most frequent pair of neighbouring
// symbols again and again (Sennrich, Haddow, Birch 2016, algorithm 1). Ids:
//   0 .. 255            the bytes, in GPT-2's order
//   256 ..              one token a merge, in order of the merges
//   the last ones       the special tokens
// Only the words that hold the joined pair are visited: pair counts are kept up to date, candidates lie in a heap,
// and a heap entry whose count is out of date is put back with the right one. Ties go to the smaller (left, right),
// so the result is a function of the text alone, and the same as that of Hugging Face's BpeTrainer.
import { UsageError } from "../core/error.ts";
import { expectNumber, expectText, isIterable, kindOf, wrongKind } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { BpeTokenizer } from "./bpeTokenizer.ts";
import { byteCharacters, sortedByteCharacters } from "./byteLevel.ts";
import { Heap } from "./heap.ts";
import { buildPreTokenizer, gpt2PreTokenizer } from "./preTokenizer.ts";

/** Options of `trainTokenizer`. */
export interface TrainTokenizerOptions {
  /** Bytes, merges and special tokens together; at least 256 and the special tokens. */
  readonly vocabSize: number;
  /** Tokens that never come out of merges; the first one begins and ends documents. Default `<|endoftext|>`. */
  readonly specialTokens?: readonly string[];
  /** A pair that is rarer is not joined; default 2. */
  readonly minFrequency?: number;
}

const TRAIN_OPTIONS: OptionNames<TrainTokenizerOptions> = {
  vocabSize: true,
  specialTokens: true,
  minFrequency: true,
};

interface Candidate {
  readonly pair: number;
  readonly count: number;
}

// Ids stay below it, so a pair is one exact integer.
const PAIR_BASE = 0x1000000;

// Word w is symbols[w] and occurs counts[w] times; `places` lists the words in which a pair was ever made.
class PairTable {
  readonly counts = new Map<number, number>();
  readonly places = new Map<number, number[]>();
  readonly touched = new Set<number>();

  change(symbols: readonly number[], word: number, amount: number): void {
    for (let i = 0; i + 1 < symbols.length; i++) {
      const pair = symbols[i]! * PAIR_BASE + symbols[i + 1]!;
      this.counts.set(pair, (this.counts.get(pair) ?? 0) + amount);
      if (amount < 0) continue;
      this.touched.add(pair);
      const words = this.places.get(pair);
      if (words === undefined) this.places.set(pair, [word]);
      else if (words.at(-1) !== word) words.push(word);
    }
  }
}

function countWords(
  texts: Iterable<string>,
  specialTokens: readonly string[],
): Map<string, number> {
  const split = buildPreTokenizer(gpt2PreTokenizer);
  const counts = new Map<string, number>();
  for (const text of texts) {
    expectText("A text to train a tokenizer on", text);
    let parts = [text];
    for (const token of specialTokens) parts = parts.flatMap((part) => part.split(token));
    for (const part of parts) {
      split(part, (word) => counts.set(word, (counts.get(word) ?? 0) + 1));
    }
  }
  return counts;
}

function joinPair(symbols: readonly number[], pair: number, joined: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < symbols.length; i++) {
    const next = symbols[i + 1];
    if (next !== undefined && symbols[i]! * PAIR_BASE + next === pair) {
      result.push(joined);
      i++;
    } else {
      result.push(symbols[i]!);
    }
  }
  return result;
}

function checkOptions(vocabSize: number, specialTokens: readonly string[]): void {
  if (!Array.isArray(specialTokens) || !specialTokens.every((t) => typeof t === "string")) {
    throw wrongKind("specialTokens", specialTokens, "an array of texts");
  }
  const smallest = 256 + specialTokens.length;
  if (!Number.isInteger(vocabSize) || vocabSize < smallest || vocabSize > PAIR_BASE) {
    throw new UsageError(
      `vocabSize is ${kindOf(vocabSize)}; expected a whole number from ${smallest} (256 bytes and ` +
        `${specialTokens.length} special tokens) to ${PAIR_BASE}.`,
    );
  }
  if (specialTokens.includes("") || new Set(specialTokens).size !== specialTokens.length) {
    throw new UsageError(
      `specialTokens are ${JSON.stringify(specialTokens)}; expected different, non-empty strings.`,
    );
  }
}

/**
 * Trains a byte-level BPE tokenizer with GPT-2's pre-tokenization on one or more texts. Merges never cross from one
 * text to the next. A text too small for `vocabSize` gives a smaller vocabulary.
 *
 * @throws UsageError for a vocabSize below 256 plus the special tokens
 */
export function trainTokenizer(
  texts: string | Iterable<string>,
  options: TrainTokenizerOptions,
): BpeTokenizer {
  expectOptions(options, TRAIN_OPTIONS, "trainTokenizer");
  const { vocabSize, specialTokens = ["<|endoftext|>"], minFrequency = 2 } = options;
  checkOptions(vocabSize, specialTokens);
  expectNumber("minFrequency", minFrequency);
  if (typeof texts !== "string" && !isIterable(texts)) {
    throw wrongKind("What a tokenizer is trained on", texts, "a text or several");
  }
  const wordCounts = countWords(typeof texts === "string" ? [texts] : texts, specialTokens);

  const tokens = [...sortedByteCharacters];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const byteIds = byteCharacters.map((character) => ids.get(character)!);
  const encoder = new TextEncoder();
  const words: number[][] = [];
  const counts: number[] = [];
  const pairs = new PairTable();
  for (const [word, count] of wordCounts) {
    const symbols = Array.from(encoder.encode(word), (byte) => byteIds[byte]!);
    pairs.change(symbols, words.length, count);
    words.push(symbols);
    counts.push(count);
  }

  const heap = new Heap<Candidate>(
    (a, b) => a.count > b.count || (a.count === b.count && a.pair < b.pair),
  );
  const pushTouched = (): void => {
    for (const pair of pairs.touched) heap.push({ pair, count: pairs.counts.get(pair)! });
    pairs.touched.clear();
  };
  pushTouched();
  const merges: [string, string][] = [];
  while (tokens.length + specialTokens.length < vocabSize) {
    const top = heap.pop();
    if (top === undefined) break;
    const { pair } = top;
    const count = pairs.counts.get(pair)!;
    if (count !== top.count) {
      if (count > 0 && count < top.count) heap.push({ pair, count });
      continue;
    }
    if (count < minFrequency) break;
    const left = tokens[Math.floor(pair / PAIR_BASE)]!;
    const right = tokens[pair % PAIR_BASE]!;
    merges.push([left, right]);
    // Two ways may lead to one token ("ab" + "c", "a" + "bc"); it has one id.
    let joined = ids.get(left + right);
    if (joined === undefined) {
      joined = tokens.length;
      tokens.push(left + right);
      ids.set(left + right, joined);
    }
    const places = pairs.places.get(pair)!;
    pairs.places.delete(pair);
    for (const word of new Set(places)) {
      const before = words[word]!;
      const after = joinPair(before, pair, joined);
      if (after.length === before.length) continue;
      pairs.change(before, word, -counts[word]!);
      pairs.change(after, word, counts[word]!);
      words[word] = after;
    }
    pushTouched();
  }

  const first = tokens.length;
  const addedTokens = specialTokens.map((content, i) => ({
    id: first + i,
    content,
    special: true,
    normalized: false,
  }));
  const documentToken = addedTokens[0]?.id;
  return new BpeTokenizer({
    vocab: ids,
    merges,
    addedTokens,
    preTokenizer: gpt2PreTokenizer,
    bosTokenId: documentToken,
    eosTokenId: documentToken,
  });
}
