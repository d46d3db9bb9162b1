// Strings of JSON between bytes of UTF-8 and text.
import { FormatError } from "./error.ts";
import { decodable, isUtf8 } from "./utf8.ts";

/** Up to here a string is put together from character codes, which is quicker than a decoder. */
const SHORT = 128;

/** What stands for half a surrogate pair. */
const HALF = 0xfffd;

/** Begins an escape. */
export const BACKSLASH = 0x5c;
/** What a letter behind a backslash stands for, both as codes; u is not among them. */
export const ESCAPES: ReadonlyMap<number, number> = new Map(
  Object.entries({
    '"': '"',
    "\\": "\\",
    "/": "/",
    b: "\b",
    f: "\f",
    n: "\n",
    r: "\r",
    t: "\t",
  }).map(([letter, char]) => [letter.charCodeAt(0), char.charCodeAt(0)]),
);

/** Throws a FormatError unless all bytes are UTF-8; nothing is kept. */
export function expectUtf8(bytes: Uint8Array, file: string): void {
  if (isUtf8(bytes)) return;
  throw new FormatError(
    `${file} is not valid UTF-8 text; the file is damaged or not of this kind.`,
  );
}

/** The text of bytes that were checked. */
export function decode(bytes: Uint8Array, begin: number, end: number): string {
  if (end - begin > SHORT) return decodeLong(bytes.subarray(begin, end));
  const codes: number[] = [];
  for (let i = begin; i < end; i++) {
    const code = bytes[i]!;
    if (code >= 0x80) return decodeLong(bytes.subarray(begin, end));
    codes.push(code);
  }
  return String.fromCharCode(...codes);
}

function decodeLong(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(decodable(bytes));
}

/** The code unit that four hexadecimal digits spell, or -1. */
export function hexUnit(bytes: Uint8Array, at: number): number {
  let unit = 0;
  for (let i = 0; i < 4; i++) {
    const code = bytes[at + i] ?? -1;
    // Letters of both cases: bit 5 is the case.
    const letter = (code | 0x20) - 0x61;
    const digit =
      code >= 0x30 && code <= 0x39 ? code - 0x30 : letter >= 0 && letter < 6 ? letter + 10 : -1;
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

export const isHigh = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00;
export const isLow = (unit: number): boolean => unit >= 0xdc00 && unit < 0xe000;

/** The text of a string with escapes, all of which were checked. Half a surrogate pair is U+FFFD. */
export function unescaped(bytes: Uint8Array, begin: number, end: number): string {
  const out = new Uint8Array(end - begin);
  return decode(out, 0, unescapeInto(bytes, begin, end, out, 0));
}

/**
 * Writes what a string with escapes spells into `out`, from `place` on, as UTF-8, which is never longer than the string;
 * returns where it ends.
 */
export function unescapeInto(
  bytes: Uint8Array,
  begin: number,
  end: number,
  out: Uint8Array,
  place: number,
): number {
  let length = place;
  let high = 0;
  for (let at = begin; at < end; ) {
    const code = bytes[at]!;
    const letter = bytes[at + 1]!;
    const unit =
      code !== BACKSLASH ? -1 : letter === 0x75 ? hexUnit(bytes, at + 2) : ESCAPES.get(letter)!;
    if (high !== 0 && !isLow(unit)) length = putUtf8(out, length, HALF);
    if (unit < 0) {
      out[length++] = code;
      at++;
    } else {
      at += letter === 0x75 ? 6 : 2;
      if (!isHigh(unit)) length = putUtf8(out, length, pointOf(high, unit));
    }
    high = isHigh(unit) ? unit : 0;
  }
  return high === 0 ? length : putUtf8(out, length, HALF);
}

function pointOf(high: number, unit: number): number {
  if (!isLow(unit)) return unit;
  return high === 0 ? HALF : 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00);
}

/** Writes a character and gives the place behind it. */
function putUtf8(out: Uint8Array, at: number, point: number): number {
  if (point < 0x80) {
    out[at] = point;
    return at + 1;
  }
  const more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  out[at] = ((0xf00 >> (more + 1)) & 0xff) | (point >> (6 * more));
  for (let i = 1; i <= more; i++) out[at + i] = 0x80 | ((point >> (6 * (more - i))) & 0x3f);
  return at + more + 1;
}
