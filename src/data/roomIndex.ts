// Which numbers from 0 to a limit are in a set, and the next one at or above a number: bits in words, and above them a
// bit for each word that is not empty, and so on. A search takes a few steps whatever the limit.

/** A set of whole numbers from 0 to `limit`. */
export class RoomIndex {
  // levels[0] has a bit a number; a bit of the next level says that a word of the one below has one.
  readonly #levels: Int32Array[] = [];

  constructor(limit: number) {
    let bits = limit + 1;
    do {
      bits = (bits + 31) >>> 5;
      this.#levels.push(new Int32Array(bits));
    } while (bits > 1);
  }

  add(value: number): void {
    let at = value;
    for (const words of this.#levels) {
      words[at >>> 5]! |= 1 << (at & 31);
      at >>>= 5;
    }
  }

  remove(value: number): void {
    let at = value;
    for (const words of this.#levels) {
      words[at >>> 5]! &= ~(1 << (at & 31));
      if (words[at >>> 5] !== 0) return;
      at >>>= 5;
    }
  }

  /** The smallest number in the set that is at least `value`; -1 if there is none. */
  next(value: number): number {
    let at = value;
    for (let level = 0; level < this.#levels.length; level++) {
      const words = this.#levels[level]!;
      const rest = at >>> 5 < words.length ? words[at >>> 5]! & (-1 << (at & 31)) : 0;
      if (rest !== 0) {
        at = (at & ~31) + lowestBit(rest);
        for (let below = level - 1; below >= 0; below--) {
          at = 32 * at + lowestBit(this.#levels[below]![at]!);
        }
        return at;
      }
      at = (at >>> 5) + 1;
    }
    return -1;
  }
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}
