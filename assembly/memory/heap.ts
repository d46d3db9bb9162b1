// Memory: persistent blocks, freed one by one. The arena's chunks are such blocks.
//
//   | header 64 | payload, 64-byte aligned, padded to 64 | header 64 | payload | ...
//
// Every tensor's data therefore starts on a 64-byte line and is padded to whole lines: loops over a whole
// tensor may run over the pad, whose contents are arbitrary. Only the main thread allocates.

import { HEAP } from "./layout";
import { count, Counter, state } from "./state";

export const ALIGN: usize = 64;
/** Nothing of more bytes fits into 4 GiB beside what lies there already; sums of sizes below it do not wrap around. */
export const MOST: usize = 0xffff0000;

// @ts-ignore: decorator
@unmanaged
class Block {
  /** Payload bytes, a multiple of 64. */
  bytes: usize;
  /** Header of the physical predecessor, 0 for the first block. */
  before: usize;
  free: i32;
  /** Neighbours in the list of free blocks. */
  nextFree: usize;
  previousFree: usize;
}

export function roundUp(bytes: usize): usize {
  return (bytes + ALIGN - 1) & ~(ALIGN - 1);
}

function block(header: usize): Block {
  return changetype<Block>(header);
}

function unlink(b: Block): void {
  if (b.previousFree != 0) block(b.previousFree).nextFree = b.nextFree;
  else state().firstFree = b.nextFree;
  if (b.nextFree != 0) block(b.nextFree).previousFree = b.previousFree;
  b.free = 0;
}

function link(header: usize): void {
  const s = state();
  const b = block(header);
  b.free = 1;
  b.previousFree = 0;
  b.nextFree = s.firstFree;
  if (s.firstFree != 0) block(s.firstFree).previousFree = header;
  s.firstFree = header;
}

/** Header of the physical successor, or 0. */
function after(header: usize): usize {
  const s = state();
  return header == s.lastBlock ? 0 : header + ALIGN + block(header).bytes;
}

/** Cuts the tail of a block that is larger than needed into a free block of its own. */
function split(header: usize, bytes: usize): void {
  const b = block(header);
  if (b.bytes < bytes + 2 * ALIGN) return;
  const s = state();
  const rest = header + ALIGN + bytes;
  const next = after(header);
  block(rest).bytes = b.bytes - bytes - ALIGN;
  block(rest).before = header;
  b.bytes = bytes;
  if (next != 0) block(next).before = rest;
  else s.lastBlock = rest;
  link(rest);
}

/** Joins a block with its physical successor. */
function absorb(header: usize, next: usize): void {
  const s = state();
  block(header).bytes += ALIGN + block(next).bytes;
  const beyond = header + ALIGN + block(header).bytes;
  if (next == s.lastBlock) s.lastBlock = header;
  else block(beyond).before = header;
}

function grownTo(end: usize): bool {
  // Counted in pages, for 4 GiB do not fit into a usize.
  const pages = <i32>((end - 1) >> 16) + 1 - memory.size();
  if (pages <= 0) return true;
  // Growing by a megabyte at a time keeps the front end from renewing its views at every tensor.
  return memory.grow(max(pages, 16)) >= 0 || memory.grow(pages) >= 0;
}

/** First fit among the free blocks, else memory behind the last one. `need` is in whole lines; 0 when memory cannot grow. */
export function tryAllocate(need: usize): usize {
  const s = state();
  let header = s.firstFree;
  while (header != 0 && block(header).bytes < need) header = block(header).nextFree;
  if (header != 0) {
    unlink(block(header));
  } else {
    const last = s.lastBlock;
    // A last block that is free but too small grows in place.
    const extend = last != 0 && block(last).free;
    header = extend ? last : s.heapTop;
    const end = header + ALIGN + need;
    if (end < header || !grownTo(end)) return 0;
    if (extend) {
      unlink(block(header));
    } else {
      block(header).before = last;
      block(header).free = 0;
      s.lastBlock = header;
    }
    block(header).bytes = need;
    s.heapTop = end;
  }
  split(header, need);
  count(Counter.PersistentBytes, <f64>block(header).bytes);
  return header + ALIGN;
}

/** Gives a persistent block back. */
export function release(payload: usize): void {
  if (payload == 0) return;
  let header = payload - ALIGN;
  count(Counter.PersistentBytes, -(<f64>block(header).bytes));
  const next = after(header);
  if (next != 0 && block(next).free) {
    unlink(block(next));
    absorb(header, next);
  }
  const before = block(header).before;
  if (before != 0 && block(before).free) {
    unlink(block(before));
    absorb(before, header);
    header = before;
  }
  link(header);
}

/** How many bytes a persistent block has. */
export function bytesOf(payload: usize): usize {
  return block(payload - ALIGN).bytes;
}

export function setupMemory(): void {
  state().heapTop = HEAP;
}
