// The merge rule of byte-pair encoding (Sennrich, Haddow, Birch 2016, arXiv:1508.07909): as long as some two
// neighbours form a known pair, join the pair of the lowest rank, the leftmost of equals.
// The symbols are a linked list, the candidates a heap of (rank, position): O(n log n) for n symbols, so that a
// megabyte without a single space is encoded as well as a word. An entry whose pair has changed is skipped.
import { Heap } from "./heap.ts";

const POSITIONS = 0x100000000;
const NO_RANK = -1;

/** Ranked pairs of token ids and the ids they are joined to. */
export class MergeTable {
  readonly #vocabSize: number;
  readonly #entries = new Map<number, number>();
  readonly #ranks: number[] = [];
  readonly #merged: number[] = [];

  /** @param vocabSize all ids are below it */
  constructor(vocabSize: number) {
    this.#vocabSize = vocabSize;
  }

  /** Adds the pair (left, right), joined to `merged`; false if it is there already. A rank is below 2^21. */
  add(left: number, right: number, rank: number, merged: number): boolean {
    const key = left * this.#vocabSize + right;
    if (this.#entries.has(key)) return false;
    this.#entries.set(key, this.#ranks.length);
    this.#ranks.push(rank);
    this.#merged.push(merged);
    return true;
  }

  /** Joins the symbols `ids` [n] by the rule above; returns the ids that remain. */
  apply(ids: readonly number[]): number[] {
    const n = ids.length;
    if (n < 2) return [...ids];
    const symbols = Int32Array.from(ids);
    const next = new Int32Array(n);
    const previous = new Int32Array(n);
    // The table entry of the pair that begins at a position, and -1 if there is none.
    const entryAt = new Int32Array(n).fill(-1);
    const heap = new Heap<number>((a, b) => a < b);
    const look = (left: number): void => {
      const right = next[left]!;
      entryAt[left] = -1;
      if (right >= n) return;
      const entry = this.#entries.get(symbols[left]! * this.#vocabSize + symbols[right]!);
      if (entry === undefined) return;
      entryAt[left] = entry;
      heap.push(this.#ranks[entry]! * POSITIONS + left);
    };
    for (let i = 0; i < n; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
    }
    for (let i = 0; i + 1 < n; i++) look(i);
    for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
      const rank = Math.floor(top / POSITIONS);
      const left = top - rank * POSITIONS;
      const entry = entryAt[left]!;
      if ((entry < 0 ? NO_RANK : this.#ranks[entry]!) !== rank) continue;
      const right = next[left]!;
      symbols[left] = this.#merged[entry]!;
      entryAt[right] = -1;
      next[left] = next[right]!;
      if (next[left]! < n) previous[next[left]!] = left;
      look(left);
      if (previous[left]! >= 0) look(previous[left]!);
    }
    const result: number[] = [];
    for (let i = 0; i < n; i = next[i]!) result.push(symbols[i]!);
    return result;
  }
}
