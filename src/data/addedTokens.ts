// Finds added tokens such as <|endoftext|> in a text: leftmost first, and the longest of those, as Hugging Face's
// tokenizers do. One pass however many tokens there are and however they overlap: the automaton of Aho and Corasick
// (1975) over the reversed contents, run from right to left, knows at each place the longest token that begins there.
// It runs only where some token can begin, over stretches twice as long as the longest token.
import { FormatError } from "../core/error.ts";
import { IdBuffer } from "./idBuffer.ts";
import { PairIndex } from "./pairIndex.ts";

// Each UTF-16 unit is a state of about twenty bytes at most.
const MAX_UNITS = 1 << 22;
const LEAST_STRETCH = 64;

/** Takes the text between two tokens, and the tokens, in order. */
export interface Parts {
  text(part: string): void;
  token(index: number): void;
}

/** A pattern that finds the next place at which one of the contents can begin. */
function beginnings(contents: readonly string[]): RegExp {
  const units = new Set(contents.map((content) => content.charCodeAt(0)));
  const spelled = [...units].map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`);
  return new RegExp(`[${spelled.join("")}]`, "g");
}

/** The states, the root first, in the order of their depths: sorted by counting. */
function byDepth(depths: Int32Array): Int32Array {
  const places = new Int32Array(depths.length + 1);
  for (const depth of depths) places[depth + 1]!++;
  for (let depth = 1; depth < places.length; depth++) places[depth]! += places[depth - 1]!;
  const order = new Int32Array(depths.length);
  for (const [state, depth] of depths.entries()) order[places[depth]!++] = state;
  return order;
}

/** Finds the strings of a list. */
export class TokenFinder {
  readonly #contents: readonly string[];
  readonly #beginnings: RegExp;
  readonly #stretch: number;
  // State 0 is the root; edge number e leads to state e + 1.
  readonly #edges = new PairIndex();
  readonly #fail: Int32Array;
  // The index of the longest content that a state has just read in full, -1 for none.
  readonly #longest: Int32Array;

  /** @param contents not empty; of equal ones the first is found */
  constructor(contents: readonly string[]) {
    this.#contents = contents;
    this.#beginnings = beginnings(contents);
    let units = 0;
    let most = 0;
    for (const { length } of contents) {
      units += length;
      most = Math.max(most, length);
    }
    if (units > MAX_UNITS) {
      throw new FormatError(
        `tokenizer.json: the added tokens have ${units} characters together; expected at most ${MAX_UNITS}.`,
      );
    }
    this.#stretch = Math.max(LEAST_STRETCH, 2 * most);
    this.#longest = new Int32Array(units + 1).fill(-1);
    for (const [index, content] of contents.entries()) {
      let state = 0;
      for (let i = content.length - 1; i >= 0; i--)
        state = this.#child(state, content.charCodeAt(i));
      if (this.#longest[state] === -1) this.#longest[state] = index;
    }
    this.#fail = new Int32Array(this.#edges.size + 1);
    this.#link();
  }

  #child(state: number, unit: number): number {
    const edge = this.#edges.find(state, unit);
    return (edge < 0 ? this.#edges.add(state, unit) : edge) + 1;
  }

  // States by their depth, for a failure leads to one that is less deep.
  #link(): void {
    const depths = new Int32Array(this.#edges.size + 1);
    for (let state = 1; state < depths.length; state++) {
      depths[state] = depths[this.#edges.pair(state - 1)[0]]! + 1;
    }
    for (const state of byDepth(depths).subarray(1)) {
      const [parent, unit] = this.#edges.pair(state - 1);
      this.#fail[state] = parent === 0 ? 0 : this.#step(this.#fail[parent]!, unit);
      if (this.#longest[state] === -1) this.#longest[state] = this.#longest[this.#fail[state]!]!;
    }
  }

  #step(from: number, unit: number): number {
    for (let state = from; ; state = this.#fail[state]!) {
      const edge = this.#edges.find(state, unit);
      if (edge >= 0) return edge + 1;
      if (state === 0) return 0;
    }
  }

  /** Parts a text at the tokens in it. */
  split(text: string, parts: Parts): void {
    let done = 0;
    let at = 0;
    while (at < text.length) {
      this.#beginnings.lastIndex = at;
      if (!this.#beginnings.test(text)) break;
      at = this.#beginnings.lastIndex - 1;
      const stop = Math.min(text.length, at + this.#stretch);
      const found = this.#scan(text, at, stop);
      // From the last to the first, two numbers each: the place and the token.
      for (let i = found.length - 2; i >= 0; i -= 2) {
        const begin = found[i]!;
        if (begin < done) continue;
        const index = found[i + 1]!;
        if (begin > done) parts.text(text.slice(done, begin));
        parts.token(index);
        done = begin + this.#contents[index]!.length;
      }
      at = Math.max(stop, done);
    }
    if (done < text.length) parts.text(done === 0 ? text : text.slice(done));
  }

  // The longest token at each place from `begin` to `stop`, from right to left.
  #scan(text: string, begin: number, stop: number): Int32Array {
    const found = new IdBuffer(0);
    let state = 0;
    for (let i = Math.min(text.length, stop + this.#stretch) - 1; i >= begin; i--) {
      state = this.#step(state, text.charCodeAt(i));
      const index = this.#longest[state]!;
      if (index < 0 || i >= stop) continue;
      found.push(i);
      found.push(index);
    }
    return found.finish();
  }
}
