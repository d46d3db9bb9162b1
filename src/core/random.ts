// Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3; SC 2011) in plain TypeScript, word
// for word the one of assembly/math/random.ts: for shuffles, sampling and seeds, where numbers are drawn one by one.
//
//   key      (seed mod 2^32, seed / 2^32)
//   counter  (position / 4 mod 2^32, position / 2^34, stream, 2); the last word keeps these numbers apart from
//            those of fills (0) and dropout (1) with the same seed and stream
//
// A generator's whole state is three numbers: seed, stream and how many words were drawn.

import { UsageError } from "./error.ts";
import { isNumberList, kindOf, wrongKind } from "./kind.ts";
import { expectOptions, type OptionNames } from "./options.ts";

/** What a generator needs to go on in another process; three integers, fit for JSON. */
export interface GeneratorState {
  readonly seed: number;
  readonly stream: number;
  /** Words drawn so far. */
  readonly position: number;
}

const STATE: OptionNames<GeneratorState> = { seed: true, stream: true, position: true };

const TwoTo32 = 4294967296;
const Use = 2;

/** The upper 32 bits of a·b, both unsigned 32-bit, from 16-bit halves. */
function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  // Each sum stays below 2^33, exact in a float64.
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const carry = a0 * b1 + (middle % 65536);
  return (a1 * b1 + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0;
}

/** Ten rounds of Philox: four words of 32 bits for a counter [4] and a key [2]. */
export function philox(counter: ArrayLike<number>, key: ArrayLike<number>): Uint32Array {
  let [c0, c1, c2, c3] = [counter[0]!, counter[1]!, counter[2]!, counter[3]!];
  let [k0, k1] = [key[0]!, key[1]!];
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(c0 >>> 0, 0xd2511f53);
    const high1 = multiplyHigh(c2 >>> 0, 0xcd9e8d57);
    const low0 = Math.imul(c0, 0xd2511f53);
    const low1 = Math.imul(c2, 0xcd9e8d57);
    [c0, c1, c2, c3] = [high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0];
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  return Uint32Array.of(c0, c1, c2, c3);
}

function checkInteger(name: string, value: number, limit: number): void {
  if (Number.isSafeInteger(value) && value >= 0 && value < limit) return;
  throw new UsageError(
    `The ${name} of a random generator is ${kindOf(value)}, but must be an integer from 0 to ${limit - 1}.`,
  );
}

/**
 * A stream of random numbers that is the same in every runtime and can be saved and continued.
 *
 * @throws UsageError if seed is no integer in [0, 2^53) or stream none in [0, 2^32).
 */
export class Generator {
  readonly #seed: number;
  readonly #stream: number;
  #position = 0;
  #block = -1;
  #words: Uint32Array = new Uint32Array(4);

  constructor(seed: number, stream = 0) {
    checkInteger("seed", seed, Number.MAX_SAFE_INTEGER + 1);
    checkInteger("stream", stream, TwoTo32);
    this.#seed = seed;
    this.#stream = stream;
  }

  /** Continues where `state()` was taken. Throws UsageError for a state that no generator can have. */
  static fromState(state: GeneratorState): Generator {
    expectOptions(state, STATE, "a generator's state");
    const generator = new Generator(state.seed, state.stream);
    checkInteger("position", state.position, Number.MAX_SAFE_INTEGER + 1);
    generator.#position = state.position;
    return generator;
  }

  /** The whole state, as plain numbers. */
  state(): GeneratorState {
    return { seed: this.#seed, stream: this.#stream, position: this.#position };
  }

  /** The next 32 random bits, as an integer in [0, 2^32). */
  nextUint32(): number {
    const block = Math.floor(this.#position / 4);
    if (block !== this.#block) {
      const counter = [block >>> 0, Math.floor(block / TwoTo32), this.#stream, Use];
      this.#words = philox(counter, [this.#seed >>> 0, Math.floor(this.#seed / TwoTo32)]);
      this.#block = block;
    }
    return this.#words[this.#position++ % 4]!;
  }

  /** Uniform in [0, 1) on a grid of 2^−24, so exact in float32 as well. */
  uniform(): number {
    return (this.nextUint32() >>> 8) / 16777216;
  }

  /**
   * Uniform among 0 … n − 1, without bias: words from the incomplete last multiple of n are drawn again.
   *
   * @throws UsageError if n is no integer in [1, 2^32].
   */
  integer(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > TwoTo32) {
      throw new UsageError(
        `Cannot draw an integer below ${kindOf(n)}: expected an integer from 1 to ${TwoTo32}.`,
      );
    }
    const limit = TwoTo32 - (TwoTo32 % n);
    let word = this.nextUint32();
    while (word >= limit) word = this.nextUint32();
    return word % n;
  }

  /** Puts the elements into a random order, in place, every order equally likely (Fisher and Yates). */
  shuffle<T extends unknown[] | Int32Array | Uint32Array | Float32Array>(items: T): T {
    if (!Array.isArray(items) && !isNumberList(items)) {
      throw wrongKind("What shuffle() puts in order", items, "an array");
    }
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const item = items[i];
      items[i] = items[j];
      items[j] = item;
    }
    return items;
  }
}
