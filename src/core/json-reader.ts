// A cursor over JSON in UTF-8, for files of strangers. It reads the bytes where they lie and builds only what is asked
// for: a value that nobody wants is stepped over, and costs no memory. Against `JSON.parse` it refuses lone surrogates
// and deep nesting, gives numbers as they were spelled, and takes NaN and Infinity, which Python writes.
import { FormatError } from "./error.ts";
import {
  BACKSLASH,
  decode,
  ESCAPES,
  expectUtf8,
  hexUnit,
  isHigh,
  isLow,
  unescaped,
} from "./json-string.ts";

/** Deeper nesting is refused, also in what is stepped over. */
const MAX_DEPTH = 64;
const MAX_STRING = 1 << 26;
const QUOTE = 0x22;
const WORDS: readonly string[] = ["null", "true", "false", "NaN", "Infinity", "-Infinity"];

/** A name as it may stand in an error message: quoted, escaped, cut to a bearable length. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}...` : text);
}

/** A cursor over JSON text. Every method first skips white space. */
export class JsonReader {
  readonly bytes: Uint8Array;
  readonly file: string;
  position: number;

  /**
   * @param bytes UTF-8, a byte that is not is a FormatError
   * @param file how errors call it
   * @param position where to begin; anything but 0 says that the bytes were checked before
   */
  constructor(bytes: Uint8Array, file: string, position = 0) {
    this.bytes = bytes;
    this.file = file;
    this.position = position;
    if (position === 0) expectUtf8(bytes, file);
  }

  /** Throws a FormatError that names the file and the place. */
  fail(problem: string): never {
    const { bytes } = this;
    const end = Math.min(this.position, bytes.length);
    let characters = 0;
    for (let i = 0; i < end; i++) if ((bytes[i]! & 0xc0) !== 0x80) characters++;
    throw new FormatError(`${this.file} is not valid: ${problem}, at character ${characters}.`);
  }

  /** Steps over a byte-order mark, which may stand at the very beginning. */
  skipByteOrderMark(): void {
    const [a, b, c] = this.bytes;
    if (this.position === 0 && a === 0xef && b === 0xbb && c === 0xbf) this.position = 3;
  }

  #peekCode(): number {
    const { bytes } = this;
    let code = bytes[this.position];
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
      code = bytes[++this.position];
    }
    return code ?? -1;
  }

  /** The next character that is not white space, or "" at the end. */
  peek(): string {
    const code = this.#peekCode();
    if (code < 0x80) return code < 0 ? "" : String.fromCharCode(code);
    return decode(this.bytes, this.position, this.position + 4).charAt(0);
  }

  /** Steps over `char`, one of ASCII, if it comes next. */
  take(char: string): boolean {
    if (this.#peekCode() !== char.charCodeAt(0)) return false;
    this.position++;
    return true;
  }

  /** Steps over `char`, which must come next. */
  expect(char: string): void {
    if (this.take(char)) return;
    const found = this.peek();
    this.fail(`expected ${quote(char)} but found ${found === "" ? "the end" : quote(found)}`);
  }

  /** Requires that nothing but white space is left. */
  end(): void {
    if (this.#peekCode() >= 0) this.fail("there is text after the end of the JSON value");
  }

  string(): string {
    this.#peekCode();
    const begin = this.position + 1;
    const escaped = this.skipString();
    const end = this.position - 1;
    if (end - begin > this.longestString) this.fail(`a string of ${end - begin} bytes`);
    return escaped ? unescaped(this.bytes, begin, end) : decode(this.bytes, begin, end);
  }

  /** The longest string that is built, in bytes. */
  protected get longestString(): number {
    return MAX_STRING;
  }

  /** What becomes of half a surrogate pair. */
  protected halfPair(): void {
    this.fail("a string with half a surrogate pair");
  }

  /** As `string`, but one of `usual` is given as it stands there, which costs no new string. */
  stringAmong(usual: readonly string[]): string {
    this.expect('"');
    const found = usual.find((text) => this.#begins(text, QUOTE));
    if (found === undefined) {
      this.position--;
      return this.string();
    }
    this.position += found.length + 1;
    return found;
  }

  /** Does `text`, of ASCII, come at once, and behind it the character `end`, if one is given? */
  #begins(text: string, end?: number): boolean {
    const { bytes, position } = this;
    for (let i = 0; i < text.length; i++) {
      if (bytes[position + i] !== text.charCodeAt(i)) return false;
    }
    return end === undefined || bytes[position + text.length] === end;
  }

  /** Steps over a string. Does it hold escapes? */
  skipString(): boolean {
    this.expect('"');
    const { bytes } = this;
    let escaped = false;
    // Of an escaped pair of surrogates the second must follow at once.
    let high = false;
    for (;;) {
      const code = bytes[this.position] ?? -1;
      if (code === BACKSLASH) {
        escaped = true;
        const unit = this.#skipEscape();
        if (high !== isLow(unit)) this.halfPair();
        high = isHigh(unit);
        continue;
      }
      if (high) this.halfPair();
      high = false;
      if (code === QUOTE) break;
      if (code < 0x20) {
        this.fail(code < 0 ? "open string" : "control character in a string");
      }
      this.position++;
    }
    this.position++;
    return escaped;
  }

  /** Steps over an escape and gives the code unit that it stands for. */
  #skipEscape(): number {
    const letter = this.bytes[this.position + 1] ?? -1;
    this.position += 2;
    if (letter !== 0x75) {
      return ESCAPES.get(letter) ?? this.fail("unknown escape");
    }
    const unit = hexUnit(this.bytes, this.position);
    if (unit < 0) this.fail("broken \\u escape");
    this.position += 4;
    return unit;
  }

  /** The spelling of the number that comes next. */
  number(): string {
    const begin = this.#skipNumber();
    if (begin < 0) return this.fail("expected a number");
    return decode(this.bytes, begin, this.position);
  }

  /** A whole number from 0 to 2^53 − 1, written with digits alone; -1 for any other number. */
  index(): number {
    const begin = this.#skipNumber();
    if (begin < 0) return this.fail("expected a number");
    let value = 0;
    for (let i = begin; i < this.position; i++) {
      const digit = this.bytes[i]! - 0x30;
      if (digit < 0 || digit > 9 || value > Number.MAX_SAFE_INTEGER / 10) return -1;
      value = value * 10 + digit;
    }
    return value > Number.MAX_SAFE_INTEGER ? -1 : value;
  }

  /** Steps over a number and gives the place where it begins, or -1 if there is none. */
  #skipNumber(): number {
    let code = this.#peekCode();
    const begin = this.position;
    if (code === 0x2d) code = this.bytes[++this.position] ?? -1;
    const first = this.position;
    if (!this.#skipDigits()) {
      this.position = begin;
      return -1;
    }
    // Nothing follows a leading zero.
    if (code === 0x30) this.position = first + 1;
    this.#skipPart(0x2e, false);
    if (!this.#skipPart(0x65, true)) this.#skipPart(0x45, true);
    return begin;
  }

  #skipDigits(): boolean {
    const begin = this.position;
    for (;;) {
      const code = this.bytes[this.position] ?? -1;
      if (code < 0x30 || code > 0x39) return this.position > begin;
      this.position++;
    }
  }

  /** Steps over the fraction or the exponent of a number, if it is whole. */
  #skipPart(mark: number, signed: boolean): boolean {
    const begin = this.position;
    if (this.bytes[begin] !== mark) return false;
    this.position++;
    const sign = this.bytes[this.position];
    if (signed && (sign === 0x2b || sign === 0x2d)) this.position++;
    if (this.#skipDigits()) return true;
    this.position = begin;
    return false;
  }

  /** The word that comes next, one of null, true, false, NaN and Infinity; "" if none does. */
  word(): string {
    this.#peekCode();
    const found = WORDS.find((word) => this.#begins(word));
    this.position += found?.length ?? 0;
    return found ?? "";
  }

  /** Walks through an object; `visit` must read the value of the key it is given, often one of `usual`. */
  object(visit: (key: string) => void, usual: readonly string[] = []): void {
    this.expect("{");
    if (this.take("}")) return;
    do {
      const key = this.stringAmong(usual);
      this.expect(":");
      visit(key);
    } while (this.take(","));
    this.expect("}");
  }

  /** Walks through an array; `visit` must read one element. */
  array(visit: () => void): void {
    this.expect("[");
    if (this.take("]")) return;
    do visit();
    while (this.take(","));
    this.expect("]");
  }

  /** Throws for a value that lies too deep. */
  expectDepth(depth: number): void {
    if (depth > MAX_DEPTH) this.fail(`nesting deeper than ${MAX_DEPTH}`);
  }

  /** Steps over any value and gives the number of values in it, itself included. */
  skip(depth = 0): number {
    this.expectDepth(depth);
    const first = this.#peekCode();
    if (first === QUOTE) {
      this.skipString();
      return 1;
    }
    let count = 1;
    if (first === 0x5b) {
      this.array(() => {
        count += this.skip(depth + 1);
      });
    } else if (first === 0x7b) {
      this.position++;
      if (this.take("}")) return count;
      do {
        this.skipString();
        this.expect(":");
        count += this.skip(depth + 1);
      } while (this.take(","));
      this.expect("}");
    } else if (this.word() === "" && this.#skipNumber() < 0) {
      this.fail("expected a number");
    }
    return count;
  }
}
