// The merge rule of byte-pair encoding (Sennrich, Haddow, Birch 2016, arXiv:1508.07909): as long as some two
// neighbours form a known pair, join the pair of the lowest rank, the leftmost of equals.
// The symbols are a linked list, the candidates a heap of (rank, position): O(n log n) for n symbols, so that a
// megabyte without a single space is encoded as well as a word. An entry whose pair has changed is skipped.
//
// No merge crosses the border of two tokens, so what stands behind a border is encoded by itself. A long sequence is
// therefore joined in windows: of each, the tokens that begin before its last quarter stand, and the next window begins
// where they end. How far the rule looks ahead is bounded for a vocabulary (Berglund, van der Merwe 2023,
// arXiv:2309.08715), and a quarter of a window is far more than that for those that were learnt from text.
import { FormatError } from "../core/error.ts";
import { quote } from "../core/json-reader.ts";
import { IdBuffer } from "./idBuffer.ts";
import { NumberHeap } from "./numberHeap.ts";
import { PairIndex } from "./pairIndex.ts";

const WINDOW = 1 << 16;
const STANDS = WINDOW - (WINDOW >> 2);
// The most symbols that a source writes at once, beyond the end of a window.
const SLACK = 4;
const POSITIONS = WINDOW + SLACK;

/**
 * Writes the next symbols into `symbols`, from `at` on, until they are `full` or more, or there are no further ones;
 * returns where they end. At most four may stand beyond `full`.
 */
export type SymbolSource = (symbols: Int32Array, at: number, full: number) => number;

/** Ranked pairs of token ids and the ids they are joined to. */
export class MergeTable {
  readonly #pairs: PairIndex;
  #ranks: Int32Array;
  #merged: Int32Array;
  readonly #heap = new NumberHeap();
  // Work space of `join`, as long as the longest sequence so far.
  #symbols = new Int32Array(0);
  #next = new Int32Array(0);
  #previous = new Int32Array(0);
  // The table entry of the pair that begins at a position, and -1 if there is none.
  #entryAt = new Int32Array(0);

  /** @param expected how many pairs there will be, as far as is known */
  constructor(expected = 16) {
    this.#pairs = new PairIndex(expected);
    this.#ranks = new Int32Array(Math.max(expected, 16));
    this.#merged = new Int32Array(Math.max(expected, 16));
  }

  /** How many pairs there are. */
  get size(): number {
    return this.#pairs.size;
  }

  /** Adds the pair (left, right), joined to `merged`; false if it is there already. Ranks are below 2^31. */
  add(left: number, right: number, rank: number, merged: number): boolean {
    const index = this.#pairs.add(left, right);
    if (index < 0) return false;
    if (index === this.#ranks.length) {
      this.#ranks = grown(this.#ranks, 2 * index);
      this.#merged = grown(this.#merged, 2 * index);
    }
    this.#ranks[index] = rank;
    this.#merged[index] = merged;
    return true;
  }

  /** The two ids of the pair that was added as number `index`. */
  pair(index: number): readonly [number, number] {
    return this.#pairs.pair(index);
  }

  /** Joins the symbols `ids` [n] by the rule above; returns the ids that remain. */
  apply(ids: ArrayLike<number>): number[] {
    const out = new IdBuffer(ids.length);
    let from = 0;
    this.joinAll((symbols, at, full) => {
      let end = at;
      while (end < full && from < ids.length) symbols[end++] = ids[from++]!;
      return end;
    }, out);
    return Array.from(out.finish());
  }

  /** Joins all symbols of a source and adds the ids that remain to `out`. */
  joinAll(source: SymbolSource, out: IdBuffer): void {
    this.#reserve(POSITIONS);
    const window = new Int32Array(POSITIONS);
    let count = 0;
    for (;;) {
      const end = source(window, count, WINDOW);
      const isLast = end < WINDOW;
      const begin = this.join(window, end, isLast ? end : STANDS, out);
      if (isLast) return;
      window.copyWithin(0, begin, end);
      count = end - begin;
    }
  }

  /**
   * Joins the first `n` symbols, at most as many as a window has, and adds the ids that begin before `until` to `out`.
   * Returns where the next one begins.
   */
  join(symbols: Int32Array, n: number, until: number, out: IdBuffer): number {
    if (n > this.#symbols.length) this.#reserve(Math.min(2 * n, POSITIONS));
    const joined = this.#symbols;
    const next = this.#next;
    const previous = this.#previous;
    const entryAt = this.#entryAt;
    for (let i = 0; i < n; i++) {
      joined[i] = symbols[i]!;
      next[i] = i + 1;
      previous[i] = i - 1;
    }
    for (let i = 0; i < n; i++) this.#look(i, n);
    for (let top = this.#heap.pop(); top >= 0; top = this.#heap.pop()) {
      const rank = Math.floor(top / POSITIONS);
      const left = top - rank * POSITIONS;
      const entry = entryAt[left]!;
      if (entry < 0 || this.#ranks[entry] !== rank) continue;
      const right = next[left]!;
      joined[left] = this.#merged[entry]!;
      entryAt[right] = -1;
      next[left] = next[right]!;
      if (next[left]! < n) previous[next[left]!] = left;
      this.#look(left, n);
      if (previous[left]! >= 0) this.#look(previous[left]!, n);
    }
    let at = 0;
    while (at < until) {
      out.push(joined[at]!);
      at = next[at]!;
    }
    return at;
  }

  #look(left: number, n: number): void {
    const right = this.#next[left]!;
    this.#entryAt[left] = -1;
    if (right >= n) return;
    const entry = this.#pairs.find(this.#symbols[left]!, this.#symbols[right]!);
    if (entry < 0) return;
    this.#entryAt[left] = entry;
    this.#heap.push(this.#ranks[entry]! * POSITIONS + left);
  }

  #reserve(n: number): void {
    if (n <= this.#symbols.length) return;
    this.#symbols = new Int32Array(n);
    this.#next = new Int32Array(n);
    this.#previous = new Int32Array(n);
    this.#entryAt = new Int32Array(n);
  }
}

function grown(from: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(length);
  to.set(from);
  return to;
}

/** The error about a merge of which the vocabulary lacks the left (0) or right (1) token, or what they join to (2). */
export function failMerge(rank: number, left: string, right: string, missing: 0 | 1 | 2): never {
  throw new FormatError(
    `Merge ${rank} (${quote(left)} + ${quote(right)}) names the token ` +
      `${quote([left, right, left + right][missing]!)}, which is not in the vocabulary.`,
  );
}
