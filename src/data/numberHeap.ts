// A binary heap of numbers, the smallest on top, in one typed array that is used again. BPE keeps the candidates of a
// word in it: rank and place in one number.

/** A priority queue of numbers. */
export class NumberHeap {
  #items = new Float64Array(64);
  #size = 0;

  push(item: number): void {
    if (this.#size === this.#items.length) {
      const longer = new Float64Array(2 * this.#size);
      longer.set(this.#items);
      this.#items = longer;
    }
    const items = this.#items;
    let i = this.#size++;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const other = items[parent]!;
      if (other <= item) break;
      items[i] = other;
      i = parent;
    }
    items[i] = item;
  }

  /** Takes the smallest; -1 if there is none. */
  pop(): number {
    if (this.#size === 0) return -1;
    const items = this.#items;
    const top = items[0]!;
    const last = items[--this.#size]!;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && items[child + 1]! < items[child]!) child++;
      if (items[child]! >= last) break;
      items[i] = items[child]!;
      i = child;
    }
    items[i] = last;
    return top;
  }
}
