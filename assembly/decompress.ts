// Unpacks the engine's own binaries (src/core/decompress.ts). A module of its own, for the loops run once, and WASM is as
// fast then as ever, while JavaScript is slow until a compiler has seen it. Its memory:
//
//   0     4        64     320                                     1024
//   | end | cursor | seen | bytes by their characters, three pages | text | patch's text | base | patch | result
//
// Printable text: bytes as characters that JavaScript holds as they stand, one for most of them:
//   text = table, body          table = the 91 bytes that occur most often, ascending, in hexadecimal digits
// The body is written in the 93 printable ASCII characters other than " and \, numbered from 0. A byte of the table is
// the character of its place there. The others, ascending, are numbered from 0 too: byte 93p + q of them is character
// 91 + p, then character q. Pieces that occur again do so in the text, so gzip packs it as well as the bytes.
// scripts/printable.mjs writes such texts. A page holds the byte of each character on its own, behind 91, behind 92.
//
// Patch: the relaxed binary is the baseline with fused multiply-adds in the place of products and sums, so the package
// carries only what differs: a list of steps, each some new bytes and a piece of the base.
//   patch = size, step ...            step = count, bytes, move, length
// All numbers are unsigned LEB128. A piece begins `move` bytes after the end of the one before, where 2n stands for n
// and 2n − 1 for −n. scripts/patch.mjs makes patches.

const END: usize = 0;
const CURSOR: usize = 4;
const SEEN: usize = 64;
const PAGES: usize = 320;
const PAGE: usize = 128;
const TEXT: usize = 1024;

const SIGNS: u32 = 93;
const SINGLE: u32 = 91;
/** The code of character 91; that of 92 follows. */
const PREFIX: u32 = 125;

/**
 * What a text of `size` characters at TEXT stands for; with a patch's text of `patchSize` behind it, what that makes of
 * it. Returns where the result begins; word 0 says where it ends.
 */
export function decompress(size: usize, patchSize: usize): usize {
  const base = TEXT + size + patchSize;
  // Texts are longer than what they stand for.
  reserve(base + size + patchSize);
  const patch = decode(TEXT, TEXT + size, base);
  if (patchSize == 0) {
    store<usize>(END, patch);
    return base;
  }
  const result = decode(TEXT + size, base, patch);
  store<usize>(CURSOR, patch);
  reserve(result + number());
  store<usize>(END, apply(base, result));
  return result;
}

function reserve(end: usize): void {
  const missing = <i32>((end + 0xffff) >>> 16) - memory.size();
  if (missing > 0 && memory.grow(missing) < 0) unreachable();
}

/** Writes what the text from `at` to `end` stands for to `out` and returns where it ends. */
function decode(at: usize, end: usize, out: usize): usize {
  memory.fill(SEEN, 0, 256);
  for (let n: u32 = 0; n < SINGLE; n++) {
    const byte = (digit(load<u8>(at)) << 4) | digit(load<u8>(at, 1));
    at += 2;
    store<u8>(PAGES + code(n), byte);
    store<u8>(SEEN + <usize>byte, 1);
  }
  let page = PAGES + PAGE;
  let n: u32 = 0;
  for (let byte: usize = 0; byte < 256; byte++) {
    if (load<u8>(SEEN + byte)) continue;
    store<u8>(page + code(n++), byte);
    if (n < SIGNS) continue;
    page += PAGE;
    n = 0;
  }
  while (at < end) {
    let from = PAGES;
    let c = <usize>load<u8>(at++);
    if (c >= PREFIX) {
      from += (c - PREFIX + 1) * PAGE;
      c = <usize>load<u8>(at++);
    }
    store<u8>(out++, load<u8>(from + c));
  }
  return out;
}

/** The value of a hexadecimal digit: 0-9 or a-f. */
function digit(letter: u32): u32 {
  return letter < 58 ? letter - 48 : letter - 87;
}

/** The code of a character's number: from 32 on without 34 and 92. */
function code(n: u32): usize {
  return <usize>(n + 32 + u32(n > 1) + u32(n > 58));
}

/** The number at the cursor, which moves behind it. */
function number(): u32 {
  let at = load<usize>(CURSOR);
  let value: u32 = 0;
  for (let shift: u32 = 0; ; shift += 7) {
    const byte = <u32>load<u8>(at++);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  store<usize>(CURSOR, at);
  return value;
}

/** Writes what the steps of the patch, from the cursor up to `result`, make of the base, and returns where it ends. */
function apply(base: usize, result: usize): usize {
  let out = result;
  let from = base;
  while (load<usize>(CURSOR) < result) {
    const count = number();
    const fresh = load<usize>(CURSOR);
    memory.copy(out, fresh, count);
    store<usize>(CURSOR, fresh + count);
    out += count;
    const move = number();
    from += move & 1 ? 0 - ((move + 1) >>> 1) : move >>> 1;
    const length = number();
    memory.copy(out, from, length);
    from += length;
    out += length;
  }
  return out;
}
