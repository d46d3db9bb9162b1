// Memory: persistent blocks, freed one by one, and the tape arena, freed by closing a scope.
//
//   persistent  | header 64 | payload, 64-byte aligned, padded to 64 | header 64 | payload | ...
//   arena       chunks, each a persistent block: | next, end, 56 unused | records and buffers, bump-allocated |
//
// Every tensor's data therefore starts on a 64-byte line and is padded to whole lines: loops over a whole
// tensor may run over the pad, whose contents are arbitrary. Only the main thread allocates.

import { HEAP } from "./layout";
import { Counter, count, counted, state } from "./state";

const ALIGN: usize = 64;
const SMALLEST_CHUNK: usize = 256 * 1024;
const LARGEST_CHUNK: usize = 8 * 1024 * 1024;
/** Nothing of more bytes fits into 4 GiB beside what lies there already; sums of sizes below it do not wrap around. */
const MOST: usize = 0xffff0000;

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

function roundUp(bytes: usize): usize {
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

/** A persistent block of at least `bytes` bytes, or 0 when memory cannot grow. Its contents are arbitrary. */
export function allocate(bytes: usize): usize {
  if (bytes <= MOST) {
    const need = roundUp(max<usize>(bytes, 1));
    let at = place(need);
    if (at == 0 && releaseIdleChunks()) at = place(need);
    if (at != 0) return at;
  }
  state().failedBytes = bytes;
  return 0;
}

/** First fit among the free blocks, else memory behind the last one. */
function place(need: usize): usize {
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

// @ts-ignore: decorator
@unmanaged
class Chunk {
  next: usize;
  end: usize;
}

function chunk(at: usize): Chunk {
  return changetype<Chunk>(at);
}

function enter(at: usize): void {
  state().chunk = at;
  state().cursor = at + ALIGN;
}

/** A new chunk for `need` bytes at the end of the list, or 0; as large as the arena so far, within limits. */
function addChunk(need: usize): usize {
  const s = state();
  const usual = min<usize>(
    max<usize>(<usize>counted(Counter.ArenaBytes), SMALLEST_CHUNK),
    LARGEST_CHUNK,
  );
  let at = allocate(max<usize>(need + ALIGN, usual));
  if (at == 0 && need + ALIGN < usual) at = allocate(need + ALIGN);
  if (at == 0) return 0;
  chunk(at).next = 0;
  chunk(at).end = at + block(at - ALIGN).bytes;
  if (s.firstChunk == 0) {
    s.firstChunk = at;
    return at;
  }
  let last = s.firstChunk;
  while (chunk(last).next != 0) last = chunk(last).next;
  chunk(last).next = at;
  return at;
}

/** Frees the chunks behind the one in use; false when there is none. */
export function releaseIdleChunks(): bool {
  const s = state();
  let at: usize;
  if (s.chunk == 0) {
    at = s.firstChunk;
    s.firstChunk = 0;
  } else {
    at = chunk(s.chunk).next;
    chunk(s.chunk).next = 0;
  }
  if (at == 0) return false;
  while (at != 0) {
    const next = chunk(at).next;
    release(at);
    at = next;
  }
  return true;
}

/** Bytes of the tape arena, 64-byte aligned, or 0 when memory cannot grow. Their contents are arbitrary. */
export function arenaAllocate(bytes: usize): usize {
  const s = state();
  if (bytes > MOST) {
    s.failedBytes = bytes;
    return 0;
  }
  const need = roundUp(max<usize>(bytes, 1));
  if (s.chunk == 0 || s.cursor + need > chunk(s.chunk).end || s.cursor + need < s.cursor) {
    // Chunks behind the one in use are empty: take the next that is large enough, or make a new one.
    let next = s.chunk == 0 ? s.firstChunk : chunk(s.chunk).next;
    while (next != 0 && chunk(next).end - next - ALIGN < need) next = chunk(next).next;
    if (next == 0) next = addChunk(need);
    if (next == 0) {
      s.failedBytes = bytes;
      return 0;
    }
    enter(next);
  }
  const at = s.cursor;
  s.cursor += need;
  count(Counter.ArenaBytes, <f64>need);
  const peak = counted(Counter.ArenaPeak);
  const now = counted(Counter.ArenaBytes);
  if (now > peak) count(Counter.ArenaPeak, now - peak);
  return at;
}

// @ts-ignore: decorator
@unmanaged
export class Mark {
  /** Mark of the enclosing scope. */
  outer: usize;
  chunk: usize;
  cursor: usize;
  tail: usize;
  bytes: f64;
}

/** Writes the arena's present position into `mark`. */
export function takeMark(mark: Mark): void {
  const s = state();
  mark.chunk = s.chunk;
  mark.cursor = s.cursor;
  mark.tail = s.tail;
  mark.bytes = counted(Counter.ArenaBytes);
}

/** Sets the arena back to `mark`; everything allocated since is gone. */
export function rewind(mark: Mark): void {
  const s = state();
  s.chunk = mark.chunk;
  s.cursor = mark.cursor;
  count(Counter.ArenaBytes, mark.bytes - counted(Counter.ArenaBytes));
}

/** Makes the scratch block at least `bytes` long; false when memory cannot grow. */
export function reserveScratch(bytes: usize): bool {
  const s = state();
  if (bytes <= s.scratchBytes) return true;
  const at = allocate(bytes);
  if (at == 0) return false;
  release(s.scratch);
  s.scratch = at;
  count(Counter.ScratchBytes, <f64>bytes - <f64>s.scratchBytes);
  s.scratchBytes = bytes;
  return true;
}

export function setupMemory(): void {
  state().heapTop = HEAP;
}
