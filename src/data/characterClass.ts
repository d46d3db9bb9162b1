// The classes of characters by which pre-tokenizers cut: letters, numbers, white space, and all others. They are those
// of the host's Unicode version. A table answers for the characters of one UTF-16 unit; it is made when a text is
// first cut, since an import should not take milliseconds.

/** The class of a character: \p{L}, \p{N}, \p{White_Space}, or none of them. */
export const LETTER = 1;
export const NUMBER = 2;
export const SPACE = 3;
export const OTHER = 0;

const UNITS = 0x10000;
let table: Uint8Array | undefined;
let astral: readonly (readonly [RegExp, number])[] = [];

function makeTable(): Uint8Array {
  const classes = new Uint8Array(UNITS);
  const units = String.fromCharCode(...Array.from({ length: 0xd800 }, (_, unit) => unit));
  const rest = String.fromCharCode(...Array.from({ length: 0x2000 }, (_, i) => 0xe000 + i));
  for (const [name, kind] of [
    ["L", LETTER],
    ["N", NUMBER],
    ["White_Space", SPACE],
  ] as const) {
    const run = new RegExp(`\\p{${name}}+`, "gu");
    for (const [text, first] of [
      [units, 0],
      [rest, 0xe000],
    ] as const) {
      for (const { index, 0: found } of text.matchAll(run)) {
        classes.fill(kind, first + index, first + index + found.length);
      }
    }
  }
  astral = [
    [/\p{L}/u, LETTER],
    [/\p{N}/u, NUMBER],
  ];
  return classes;
}

/** The classes of all UTF-16 units; halves of surrogate pairs are in none. */
export function classTable(): Uint8Array {
  table ??= makeTable();
  return table;
}

/** The class of the character that begins at `at` of a text. */
export function classAt(classes: Uint8Array, text: string, at: number): number {
  const unit = text.charCodeAt(at);
  if ((unit & 0xfc00) !== 0xd800) return classes[unit]!;
  const point = text.codePointAt(at)!;
  if (point < UNITS) return OTHER;
  const character = String.fromCodePoint(point);
  return astral.find(([pattern]) => pattern.test(character))?.[1] ?? OTHER;
}

/** How many UTF-16 units the character that begins at `at` of a text has. */
export function widthAt(text: string, at: number): number {
  if ((text.charCodeAt(at) & 0xfc00) !== 0xd800) return 1;
  return (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00 ? 2 : 1;
}
