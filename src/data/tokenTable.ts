// The vocabulary of a tokenizer.json where it lies: of a token the table keeps the place of its bytes in the file and its
// id, some thirty bytes, and no string. It is a hash table with open addressing; the hash has a seed that the file's
// author cannot know.
import { decode, unescapeInto } from "../core/json-string.ts";
import { PairIndex, slotsFor } from "./pairIndex.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Bytes of UTF-8 from `begin` to `end`. */
export interface Piece {
  bytes: Uint8Array;
  begin: number;
  end: number;
}

const FIRST_TOKENS = 16;
const EMPTY: Piece = { bytes: new Uint8Array(0), begin: 0, end: 0 };

/** Tokens by their bytes and by their ids. */
export class TokenTable implements Vocabulary {
  idLimit = 0;
  longest = 0;
  readonly #file: Uint8Array;
  // The bytes of tokens that the file spells with escapes: places from the file's length on.
  #extra = new Uint8Array(1 << 8);
  #extraLength = 0;
  // Token number n has id ids.first(n), and its bytes lie from begins[n] to ends[n].
  readonly #ids: PairIndex;
  #begins: Int32Array;
  #ends: Int32Array;
  // The number of a token plus one; 0 where there is none. At most half full.
  #slots: Int32Array;
  readonly #seed = Math.imul(Date.now(), 0x9e3779b1);

  /**
   * @param file the bytes in which tokens lie
   * @param expected how many tokens there will be, as far as is known
   */
  constructor(file: Uint8Array, expected: number) {
    const tokens = Math.max(expected, FIRST_TOKENS);
    this.#file = file;
    this.#ids = new PairIndex(tokens);
    this.#begins = new Int32Array(tokens);
    this.#ends = new Int32Array(tokens);
    this.#slots = new Int32Array(slotsFor(tokens));
  }

  /** How many tokens there are. */
  get size(): number {
    return this.#ids.size;
  }

  /**
   * Adds the token that the file spells from `begin` to `end`, without the quotes; undefined if it was added, else the
   * token that has the same bytes or the same id.
   */
  add(begin: number, end: number, escaped: boolean, id: number): string | undefined {
    const place = escaped ? this.#unescape(begin, end) : begin;
    const length = escaped ? this.#extraLength + this.#file.length - place : end - begin;
    if (this.size === this.#begins.length) this.#grow();
    const piece = this.#piece(place, place + length);
    const slot = this.#slot(piece, EMPTY);
    const known = this.#slots[slot]! - 1;
    if (known >= 0) return this.text(known);
    const number = this.#ids.add(id, 0);
    if (number < 0) return this.token(id);
    this.#begins[number] = place;
    this.#ends[number] = place + length;
    this.#slots[slot] = number + 1;
    this.idLimit = Math.max(this.idLimit, id + 1);
    this.longest = Math.max(this.longest, length);
    return undefined;
  }

  /** The id of the token whose bytes are those of two pieces, one behind the other; -1 if there is none. */
  findJoined(left: Piece, right: Piece = EMPTY): number {
    const number = this.#slots[this.#slot(left, right)]! - 1;
    return number < 0 ? -1 : this.id(number);
  }

  find(token: string): number | undefined {
    // Half a surrogate pair, which no file can spell, would be taken for U+FFFD.
    if (!token.isWellFormed()) return undefined;
    const bytes = new TextEncoder().encode(token);
    const id = this.findJoined({ bytes, begin: 0, end: bytes.length });
    return id < 0 ? undefined : id;
  }

  token(id: number): string | undefined {
    const number = this.#ids.find(id, 0);
    return number < 0 ? undefined : this.text(number);
  }

  /** Tokens and ids as a map, in the order of the file. */
  toMap(): Map<string, number> {
    const map = new Map<string, number>();
    for (let n = 0; n < this.size; n++) map.set(this.text(n), this.id(n));
    return map;
  }

  /** The bytes of the token that was added as number `index`. */
  piece(index: number): Piece {
    return this.#piece(this.#begins[index]!, this.#ends[index]!);
  }

  /** The id of the token that was added as number `index`. */
  id(index: number): number {
    return this.#ids.first(index);
  }

  /** The token that was added as number `index`. */
  text(index: number): string {
    const { bytes, begin, end } = this.piece(index);
    return decode(bytes, begin, end);
  }

  #piece(begin: number, end: number): Piece {
    const { length } = this.#file;
    if (begin < length) return { bytes: this.#file, begin, end };
    return { bytes: this.#extra, begin: begin - length, end: end - length };
  }

  // Puts what an escaped token spells behind the extra bytes and returns its place.
  #unescape(begin: number, end: number): number {
    if (this.#extraLength + end - begin > this.#extra.length) {
      const longer = new Uint8Array(2 * (this.#extraLength + end - begin));
      longer.set(this.#extra);
      this.#extra = longer;
    }
    const place = this.#file.length + this.#extraLength;
    this.#extraLength = unescapeInto(this.#file, begin, end, this.#extra, this.#extraLength);
    return place;
  }

  #slot(left: Piece, right: Piece): number {
    const mask = this.#slots.length - 1;
    let hash = hashOf(hashOf(this.#seed, left), right);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    let slot = (hash ^ (hash >>> 16)) & mask;
    for (;;) {
      const number = this.#slots[slot]! - 1;
      if (number < 0 || this.#matches(number, left, right)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #matches(number: number, left: Piece, right: Piece): boolean {
    const begin = this.#begins[number]!;
    const leftLength = left.end - left.begin;
    const rightLength = right.end - right.begin;
    if (this.#ends[number]! - begin !== leftLength + rightLength) return false;
    const inFile = begin < this.#file.length;
    const bytes = inFile ? this.#file : this.#extra;
    const at = inFile ? begin : begin - this.#file.length;
    for (let i = 0; i < leftLength; i++) {
      if (bytes[at + i] !== left.bytes[left.begin + i]) return false;
    }
    for (let i = 0; i < rightLength; i++) {
      if (bytes[at + leftLength + i] !== right.bytes[right.begin + i]) return false;
    }
    return true;
  }

  #grow(): void {
    const longer = (from: Int32Array): Int32Array<ArrayBuffer> => {
      const to = new Int32Array(2 * from.length);
      to.set(from);
      return to;
    };
    this.#begins = longer(this.#begins);
    this.#ends = longer(this.#ends);
    this.#slots = new Int32Array(slotsFor(this.#begins.length));
    for (let n = 0; n < this.size; n++) {
      const piece = this.#piece(this.#begins[n]!, this.#ends[n]!);
      this.#slots[this.#slot(piece, EMPTY)] = n + 1;
    }
  }
}

// FNV-1a, from any state.
function hashOf(state: number, { bytes, begin, end }: Piece): number {
  let hash = state;
  for (let i = begin; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash;
}
