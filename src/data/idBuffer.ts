// Ids that are made one by one, in one typed array. The array is made as long as the text can need: pages that are
// never written take no memory, and a copy for a longer array is seldom needed.

// Shorter results are copied out of what is left over.
const COPIED = 1 << 20;

/** A growing list of token ids, or of other whole numbers. */
export class IdBuffer {
  length = 0;
  #ids: Int32Array;

  /** @param capacity how many ids there will be at most, as far as is known */
  constructor(capacity: number) {
    this.#ids = new Int32Array(Math.max(capacity, 16));
  }

  push(id: number): void {
    if (this.length === this.#ids.length) {
      const longer = new Int32Array(this.#ids.length + (this.#ids.length >> 1));
      longer.set(this.#ids);
      this.#ids = longer;
    }
    this.#ids[this.length++] = id;
  }

  /** Adds the ids of a list. */
  pushAll(ids: ArrayLike<number>): void {
    for (let i = 0; i < ids.length; i++) this.push(ids[i]!);
  }

  at(index: number): number {
    return this.#ids[index]!;
  }

  /** The ids from `begin` to `end`, until the buffer grows. */
  view(begin: number, end: number): Int32Array {
    return this.#ids.subarray(begin, end);
  }

  /** A copy of the ids from `from` on. */
  copy(from: number): Int32Array {
    return this.#ids.slice(from, this.length);
  }

  /** All ids; the buffer must not be used afterwards. */
  finish(): Int32Array {
    const mostlyFilled = this.length >= COPIED && this.length > this.#ids.length / 2;
    return mostlyFilled ? this.#ids.subarray(0, this.length) : this.#ids.slice(0, this.length);
  }
}
