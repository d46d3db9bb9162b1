// A binary heap: the element that comes before all others is on top. Pushing and popping take O(log n).
// Training a BPE keeps its candidate merges in one, the most frequent pair first.

/** A priority queue ordered by `before`. */
export class Heap<T> {
  readonly #items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  /** @param before whether `a` must be popped before `b`: a strict total order, or pops are not deterministic */
  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  push(item: T): void {
    const items = this.#items;
    let i = items.length;
    items.push(item);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const other = items[parent]!;
      if (!this.#before(item, other)) break;
      items[i] = other;
      i = parent;
    }
    items[i] = item;
  }

  pop(): T | undefined {
    const items = this.#items;
    const top = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#before(items[child + 1]!, items[child]!)) child++;
      const other = items[child]!;
      if (!this.#before(other, last)) break;
      items[i] = other;
      i = child;
    }
    items[i] = last;
    return top;
  }
}
