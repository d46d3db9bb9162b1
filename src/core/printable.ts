// Bytes as text that JavaScript holds as it stands, one character for most of them:
//   text = table, body          table = the 91 bytes that occur most often, ascending, in hexadecimal digits
// The body is written in the 93 printable ASCII characters other than " and \, numbered from 0. A byte of the table is
// the character of its place there. The others, ascending, are numbered from 0 too: byte 93p + q of them is character
// 91 + p, then character q. Pieces that occur again do so in the text, so gzip packs it as well as the bytes.
// scripts/printable.mjs writes such texts.

const SIGNS = 93;
const SINGLE = 91;

/** The numbers of the characters by their codes. */
const NUMBERS = Uint8Array.from({ length: 127 }, (_, code) =>
  code < 32 ? 0 : code - 32 - (code > 34 ? 1 : 0) - (code > 92 ? 1 : 0),
);

/** The bytes that a text stands for. */
export function fromPrintable(text: string): Uint8Array {
  const table = new Set<number>();
  for (let i = 0; i < 2 * SINGLE; i += 2) table.add(Number.parseInt(text.slice(i, i + 2), 16));
  const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !table.has(byte));
  const values = Uint8Array.from([...table, ...others]);
  // Typed arrays throughout: this runs once, when the package is imported, and before any compiler has seen it.
  const codes = new TextEncoder().encode(text);
  const bytes = new Uint8Array(codes.length);
  let size = 0;
  for (let at = 2 * SINGLE; at < codes.length; at++) {
    let n = NUMBERS[codes[at] ?? 0] ?? 0;
    if (n >= SINGLE) n += (n - SINGLE) * (SIGNS - 1) + (NUMBERS[codes[++at] ?? 0] ?? 0);
    bytes[size++] = values[n] ?? 0;
  }
  return bytes.slice(0, size);
}
