// What is wrong with a file, listed at once: the first problems are shown, the others counted.

const LISTED = 20;

/** Problems as they are found. */
export class Problems {
  readonly #shown: string[] = [];
  #count = 0;

  /** Takes note of one; what is not shown is not written. */
  add(problem: () => string): void {
    if (this.#count++ < LISTED) this.#shown.push(problem());
  }

  get any(): boolean {
    return this.#count > 0;
  }

  /** One a line, indented. */
  lines(): string {
    const more = this.#count - this.#shown.length;
    const lines = more > 0 ? [...this.#shown, `and ${more} more`] : this.#shown;
    return lines.map((line) => `  ${line}`).join("\n");
  }
}
