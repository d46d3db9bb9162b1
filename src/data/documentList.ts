// Many documents of tokens in a few arrays: a file of short lines has millions of them, each of which would take more
// memory as an object than its text.
import type { Document } from "./documents.ts";
import { IdBuffer } from "./idBuffer.ts";
import type { PackInputs } from "./packing.ts";

// Tokens of a document for which there is room without growing.
const USUAL_TOKENS = 16;

/** A list of documents. */
export class DocumentList implements PackInputs {
  readonly #ids: IdBuffer;
  readonly #ends: Int32Array;
  readonly #trainedFrom: Int32Array;
  count = 0;

  /** @param most how many documents there will be at most */
  constructor(most: number) {
    this.#ids = new IdBuffer(USUAL_TOKENS * most);
    this.#ends = new Int32Array(most + 1);
    this.#trainedFrom = new Int32Array(most);
  }

  add({ tokens, trainedFrom }: Document): void {
    this.#ids.pushAll(tokens);
    this.#trainedFrom[this.count++] = trainedFrom;
    this.#ends[this.count] = this.#ids.length;
  }

  size(index: number): number {
    return this.#ends[index + 1]! - this.#ends[index]!;
  }

  trainedFrom(index: number): number {
    return this.#trainedFrom[index]!;
  }

  tokens(index: number): Int32Array {
    return this.#ids.view(this.#ends[index]!, this.#ends[index + 1]!);
  }

  /** Some of the documents, by their numbers. */
  part(numbers: Int32Array): PackInputs {
    return {
      count: numbers.length,
      size: (index) => this.size(numbers[index]!),
      trainedFrom: (index) => this.trainedFrom(numbers[index]!),
      tokens: (index) => this.tokens(numbers[index]!),
    };
  }
}
