// Bytes to text, strictly: a training text with a broken character is refused with the offset of the first byte that
// is not UTF-8 (RFC 3629), instead of being trained on with U+FFFD in its place.

import { FormatError, UsageError } from "../core/error.ts";
import { foreignKind, isLfsPointer } from "../core/foreign.ts";
import { expectText, kindOf } from "../core/kind.ts";
import { bytesOf } from "../core/realm.ts";
import { decodable, isUtf8 } from "../core/utf8.ts";

// How many bytes the character at `i` has; 0 if it is not valid. The second byte excludes overlong forms,
// surrogates and values above U+10FFFF.
function characterLength(bytes: Uint8Array, i: number): number {
  const first = bytes[i]!;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  let low = 0x80;
  let high = 0xbf;
  if (first === 0xe0) low = 0xa0;
  if (first === 0xed) high = 0x9f;
  if (first === 0xf0) low = 0x90;
  if (first === 0xf4) high = 0x8f;
  for (let k = 1; k < length; k++) {
    const next = bytes[i + k] ?? 0;
    if (next < low || next > high) return 0;
    low = 0x80;
    high = 0xbf;
  }
  return length;
}

/** The offset of the first byte that does not belong to a valid UTF-8 character; -1 if all do. */
export function invalidUtf8Offset(bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; ) {
    const length = characterLength(bytes, i);
    if (length === 0) return i;
    i += length;
  }
  return -1;
}

/** The error about bytes that are no UTF-8; `name` says what they are. */
export function utf8Error(bytes: Uint8Array, name: string): FormatError {
  const kind = foreignKind(bytes);
  if (kind !== null) return new FormatError(`${name} ${kind}`);
  const offset = invalidUtf8Offset(bytes);
  if (offset < 0) {
    return new FormatError(
      `${name} is too long for one text: it has ${bytes.length} bytes. Part it into several files.`,
    );
  }
  const value = (bytes[offset] ?? 0).toString(16).padStart(2, "0");
  const utf16 = offset === 0 && (bytes[0] === 0xff || bytes[0] === 0xfe);
  return new FormatError(
    `${name} is not valid UTF-8: byte 0x${value} at offset ${offset} is not part of a character. ` +
      (utf16
        ? "It looks like UTF-16: save it as UTF-8."
        : "Save it as UTF-8, or remove that byte."),
  );
}

/** A pointer of Git LFS is valid UTF-8, but never the text that is meant. */
function refusePointer(bytes: Uint8Array, name: string): void {
  if (!isLfsPointer(bytes)) return;
  throw utf8Error(bytes, name);
}

/**
 * Decodes UTF-8; a byte order mark at the beginning is dropped.
 * @param name what the bytes are, for the error
 * @throws FormatError with the byte offset if the bytes are not UTF-8
 */
export function decodeUtf8(bytes: Uint8Array, name: string): string {
  refusePointer(bytes, name);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(decodable(bytes));
  } catch {
    throw utf8Error(bytes, name);
  }
}

/** Bytes of UTF-8 that a caller gives, checked, or those of a string; without a byte order mark at the beginning. */
export function asUtf8(source: string | Uint8Array | ArrayBuffer, name: string): Uint8Array {
  expectText("How errors call the text", name);
  if (typeof source === "string") return new TextEncoder().encode(asText(source, name));
  const bytes = bytesOf(source);
  if (bytes === null) throw notText(source, name);
  refusePointer(bytes, name);
  if (!isUtf8(bytes)) throw utf8Error(bytes, name);
  const [a, b, c] = bytes;
  return a === 0xef && b === 0xbb && c === 0xbf ? bytes.subarray(3) : bytes;
}

function notText(source: unknown, name: string): UsageError {
  const advice = Array.isArray(source)
    ? " Records in an array go to loadText(model, { records })."
    : "";
  return new UsageError(
    `${name} is ${kindOf(source)}; expected a string, or bytes of UTF-8.${advice}`,
  );
}

/**
 * The text that a caller gives: a string, or bytes of UTF-8. A byte order mark at the beginning is dropped from both.
 * @param name what it is, for errors
 * @throws FormatError if the bytes are not UTF-8, UsageError for anything else
 */
export function asText(source: string | Uint8Array | ArrayBuffer, name: string): string {
  expectText("How errors call the text", name);
  // Node's `readFileSync(path, "utf8")` keeps the mark.
  if (typeof source === "string") return source.startsWith("\ufeff") ? source.slice(1) : source;
  const bytes = bytesOf(source);
  if (bytes !== null) return decodeUtf8(bytes, name);
  throw notText(source, name);
}

/** The number of bytes of a text in UTF-8; half a surrogate pair counts as U+FFFD. */
export function byteLength(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    bytes += unit < 0x800 ? 1 : 2;
    // A pair is two units and four bytes.
    if (isPair(unit, text.charCodeAt(i + 1))) i++;
  }
  return bytes;
}

function isPair(unit: number, next: number): boolean {
  return (unit & 0xfc00) === 0xd800 && (next & 0xfc00) === 0xdc00;
}

/**
 * Writes the bytes of a text, one a number: from `at` of a list on, until it is `full` or has at most three more, or
 * the text ends; goes on from there with the next call. Returns where they end. Half a surrogate pair is U+FFFD.
 */
export function utf8Source(text: string): (list: Int32Array, at: number, full: number) => number {
  let from = 0;
  return (list, at, full) => {
    let end = at;
    while (end < full && from < text.length) {
      const unit = text.charCodeAt(from++);
      if (unit < 0x80) {
        list[end++] = unit;
        continue;
      }
      let point = unit;
      if (isPair(unit, text.charCodeAt(from))) point = text.codePointAt(from++ - 1)!;
      else if ((unit & 0xf800) === 0xd800) point = 0xfffd;
      const more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
      list[end++] = ((0xf00 >> (more + 1)) & 0xff) | (point >> (6 * more));
      for (let i = more - 1; i >= 0; i--) list[end++] = 0x80 | ((point >> (6 * i)) & 0x3f);
    }
    return end;
  };
}
