// The classes of characters by which pre-tokenizers cut: letters, numbers, white space, and all others. They are those
// of the host's Unicode version. What a host's expression says of a character of one UTF-16 unit is remembered: a text
// has few different ones, and asking for all of them would take milliseconds.

/** The class of a character: \p{L}, \p{N}, \p{White_Space}, or none of them. */
export const LETTER = 1;
export const NUMBER = 2;
export const SPACE = 3;
export const OTHER = 4;

const UNITS = 0x10000;
/** The classes of the units that were asked for; 0 for the others. */
const known = new Uint8Array(UNITS);
let expressions: readonly (readonly [RegExp, number])[] | undefined;

function ask(character: string): number {
  // No literals: their tables of characters would be made when the file is parsed.
  expressions ??= [
    [/\p{L}/u, LETTER],
    [/\p{N}/u, NUMBER],
    [/\p{White_Space}/u, SPACE],
  ];
  return expressions.find(([expression]) => expression.test(character))?.[1] ?? OTHER;
}

/** The class of the character that begins at `at` of a text. */
export function classAt(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  const kind = known[unit]!;
  if (kind !== 0) return kind;
  // A half of a pair without the other is in no class; a whole pair is asked for each time.
  if (widthAt(text, at) === 2) return ask(String.fromCodePoint(text.codePointAt(at)!));
  const asked = ask(text.charAt(at));
  // What begins a pair is remembered for neither.
  if ((unit & 0xfc00) !== 0xd800) known[unit] = asked;
  return asked;
}

/** How many UTF-16 units the character that begins at `at` of a text has. */
export function widthAt(text: string, at: number): number {
  if ((text.charCodeAt(at) & 0xfc00) !== 0xd800) return 1;
  return (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00 ? 2 : 1;
}
