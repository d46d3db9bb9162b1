// Many documents of tokens in a few arrays: a file of short lines has millions of them, each of which would take more
// memory as an object than its text.

import type { Document } from "./documents.ts";
import { IdBuffer } from "./idBuffer.ts";
import type { PackInput, PackInputs } from "./packing.ts";

/** A list of documents. */
export class DocumentList implements PackInputs {
  readonly #ids = new IdBuffer(1 << 10);
  readonly #ends = new IdBuffer(16);
  readonly #trainedFrom = new IdBuffer(16);
  readonly #bytes = new IdBuffer(16);

  get count(): number {
    return this.#ends.length;
  }

  add({ tokens, trainedFrom, trainedBytes }: Document): void {
    this.#ids.pushAll(tokens);
    this.#ends.push(this.#ids.length);
    this.#trainedFrom.push(trainedFrom);
    this.#bytes.push(trainedBytes);
  }

  document(index: number): PackInput {
    const begin = index === 0 ? 0 : this.#ends.at(index - 1);
    const tokens = this.#ids.view(begin, this.#ends.at(index));
    return { tokens, trainedFrom: this.#trainedFrom.at(index) };
  }

  /** How many tokens a document has. */
  size(index: number): number {
    return this.#ends.at(index) - (index === 0 ? 0 : this.#ends.at(index - 1));
  }

  /** Bytes of the text that the trained tokens of a document spell. */
  bytes(index: number): number {
    return this.#bytes.at(index);
  }

  /** Some of the documents, by their numbers. */
  part(numbers: Int32Array): PackInputs {
    return { count: numbers.length, document: (index) => this.document(numbers[index]!) };
  }
}
