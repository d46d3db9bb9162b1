// CRC-32 (ISO 3309, polynomial 0xEDB88320), which finds every error burst of up to 32 bits.

/** The CRC-32 of `bytes`, or of those of checksum `before` with `bytes` behind them, as an unsigned number. */
export function crc32(bytes: Uint8Array, before = 0): number {
  const table = new Uint32Array(256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
    table[n] = c;
  }
  let crc = before ^ 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] ?? 0);
  return (crc ^ 0xffffffff) >>> 0;
}
