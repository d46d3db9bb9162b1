// Writes bytes as printable text; assembly/decompress.ts states the format and reads it.

const signs = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).filter(
  (sign) => sign !== '"' && sign !== "\\",
);
const SINGLE = 91;

/** The text of some bytes. */
export function toPrintable(bytes) {
  const counts = new Array(256).fill(0);
  for (const byte of bytes) counts[byte]++;
  const all = Array.from(counts.keys());
  const often = new Set(all.toSorted((a, b) => counts[b] - counts[a] || a - b).slice(0, SINGLE));
  const table = all.filter((byte) => often.has(byte));
  const codes = new Map(table.map((byte, i) => [byte, signs[i]]));
  all
    .filter((byte) => !often.has(byte))
    .forEach((byte, i) => {
      codes.set(byte, signs[SINGLE + Math.floor(i / signs.length)] + signs[i % signs.length]);
    });
  return Buffer.from(table).toString("hex") + Array.from(bytes, (byte) => codes.get(byte)).join("");
}
