// The byte alphabet of GPT-2's byte-level BPE: every byte has a printable character, so that any text is a
// string of known symbols and a vocabulary can be written as JSON.
//   bytes 33..126, 161..172, 174..255  stand for themselves (Latin-1)
//   the other 68 bytes, in order       are the characters 256, 257, ... (the space is U+0120, shown as "Ġ")
// Id b of a trained vocabulary (b < 256) is the b-th of these characters in code point order, as in GPT-2.

function isPrintable(byte: number): boolean {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

function makeCharacters(): string[] {
  const characters: string[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    characters.push(String.fromCharCode(isPrintable(byte) ? byte : next++));
  }
  return characters;
}

/** The printable character of each byte: 256 strings of one UTF-16 unit. */
export const byteCharacters: readonly string[] = makeCharacters();

const bytesByCharacter: ReadonlyMap<string, number> = new Map(
  byteCharacters.map((character, byte) => [character, byte]),
);

/** The 256 characters of the alphabet in code point order, which is the order of their ids in GPT-2. */
export const sortedByteCharacters: readonly string[] = [...byteCharacters].sort((a, b) =>
  a < b ? -1 : 1,
);

/** The bytes that a token of a byte-level vocabulary stands for; undefined if it holds any other character. */
export function tokenToBytes(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = bytesByCharacter.get(token[i]!);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
