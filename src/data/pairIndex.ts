// Pairs of whole numbers, numbered in the order in which they are added: a hash table with open addressing in typed
// arrays, 16 to 24 bytes a pair, where a Map would take over a hundred. The hash has a seed that a file's author cannot
// know, so that no file makes all of its pairs collide; nothing that is computed depends on it.

const FIRST_PAIRS = 16;

/** How many slots a table of so many entries has: a power of two, at least two each. */
export function slotsFor(entries: number): number {
  let slots = 2;
  while (slots < 2 * entries) slots *= 2;
  return slots;
}

/** The numbers 0, 1, ... of the pairs that were added. */
export class PairIndex {
  size = 0;
  readonly #seed = Math.imul(Date.now(), 0x9e3779b1);
  #first: Int32Array;
  #second: Int32Array;
  // The number of a pair plus one; 0 where there is none. At most half full.
  #slots: Int32Array;

  /** @param expected how many pairs there will be, as far as is known */
  constructor(expected = 0) {
    const pairs = Math.max(expected, FIRST_PAIRS);
    this.#first = new Int32Array(pairs);
    this.#second = new Int32Array(pairs);
    this.#slots = new Int32Array(slotsFor(pairs));
  }

  /** The number of a pair, -1 if it was not added. */
  find(first: number, second: number): number {
    return this.#slots[this.#slot(first, second)]! - 1;
  }

  /** Adds a pair and returns its number; -1 if it is there already. */
  add(first: number, second: number): number {
    if (this.size === this.#first.length) this.#grow();
    const slot = this.#slot(first, second);
    if (this.#slots[slot] !== 0) return -1;
    this.#first[this.size] = first;
    this.#second[this.size] = second;
    this.#slots[slot] = ++this.size;
    return this.size - 1;
  }

  /** The first number of pair `index`. */
  first(index: number): number {
    return this.#first[index]!;
  }

  /** The two numbers of pair `index`. */
  pair(index: number): readonly [number, number] {
    return [this.#first[index]!, this.#second[index]!];
  }

  #slot(first: number, second: number): number {
    const mask = this.#slots.length - 1;
    let hash = Math.imul(first ^ this.#seed, 0x9e3779b1);
    hash = Math.imul((hash ^ (hash >>> 15)) + second, 0x85ebca6b);
    let slot = (hash ^ (hash >>> 13)) & mask;
    for (;;) {
      const index = this.#slots[slot]! - 1;
      if (index < 0) return slot;
      if (this.#first[index] === first && this.#second[index] === second) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #grow(): void {
    const longer = (from: Int32Array): Int32Array<ArrayBuffer> => {
      const to = new Int32Array(2 * from.length);
      to.set(from);
      return to;
    };
    this.#first = longer(this.#first);
    this.#second = longer(this.#second);
    this.#slots = new Int32Array(slotsFor(this.#first.length));
    for (let i = 0; i < this.size; i++) {
      this.#slots[this.#slot(this.#first[i]!, this.#second[i]!)] = i + 1;
    }
  }
}
