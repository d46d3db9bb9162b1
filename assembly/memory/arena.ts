// The tape arena: memory that is given out in order and given back by closing a scope.
//
//   chunks, each a persistent block: | next, end, 56 unused | records and buffers | ...
//
// Beside it lies a region of the same kind, for segments that backward runs again (recompute.ts).

import { allocate } from "./allocate";
import { Arena, arena, chunk, region } from "./chunks";
import { ALIGN, bytesOf, MOST, roundUp } from "./heap";
import { count, counted, Counter, state } from "./state";

const SMALLEST_CHUNK: usize = 256 * 1024;
const LARGEST_CHUNK: usize = 8 * 1024 * 1024;
/** What a captured step keeps beside its plan is small, and no later step uses what is left of a chunk. */
const STEP_CHUNK: usize = 16 * 1024;

/** A new chunk for `need` bytes at the end of the list, or 0; small in a step, else as large as the arena so far, within limits. */
function addChunk(s: Arena, need: usize): usize {
  const usual =
    state().inProgram != 0
      ? STEP_CHUNK
      : min<usize>(max<usize>(<usize>counted(Counter.ArenaBytes), SMALLEST_CHUNK), LARGEST_CHUNK);
  let at = allocate(max<usize>(need + ALIGN, usual));
  if (at == 0 && need + ALIGN < usual) at = allocate(need + ALIGN);
  if (at == 0) return 0;
  chunk(at).next = 0;
  chunk(at).end = at + bytesOf(at);
  if (s.firstChunk == 0) {
    s.firstChunk = at;
    return at;
  }
  let last = s.chunk == 0 ? s.firstChunk : s.chunk;
  while (chunk(last).next != 0) last = chunk(last).next;
  chunk(last).next = at;
  return at;
}

/** Bytes of the tape arena, 64-byte aligned, or 0 when memory cannot grow. Their contents are arbitrary. */
export function arenaAllocate(bytes: usize): usize {
  return allocateIn(arena(), bytes);
}

function allocateIn(s: Arena, bytes: usize): usize {
  if (bytes > MOST) {
    state().failedBytes = bytes;
    return 0;
  }
  const need = roundUp(max<usize>(bytes, 1));
  if (s.chunk == 0 || s.cursor + need > chunk(s.chunk).end || s.cursor + need < s.cursor) {
    // Chunks behind the one in use are empty: take the next that is large enough, or make a new one.
    let next = s.chunk == 0 ? s.firstChunk : chunk(s.chunk).next;
    while (next != 0 && chunk(next).end - next - ALIGN < need) next = chunk(next).next;
    if (next == 0) next = addChunk(s, need);
    if (next == 0) {
      state().failedBytes = bytes;
      return 0;
    }
    s.chunk = next;
    s.cursor = next + ALIGN;
  }
  const at = s.cursor;
  s.cursor += need;
  hold(<f64>need);
  return at;
}

/** Counts bytes of the arena that are in use from now on, or no longer. */
export function hold(bytes: f64): void {
  count(Counter.ArenaBytes, bytes);
  const peak = counted(Counter.ArenaPeak);
  const now = counted(Counter.ArenaBytes);
  if (now > peak) count(Counter.ArenaPeak, now - peak);
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

/** Sets the region back to its beginning. */
export function rewindRegion(): void {
  region().chunk = 0;
}

/** Bytes of the region, as of the arena; 0 when memory cannot grow. */
export function regionAllocate(bytes: usize): usize {
  return allocateIn(region(), bytes);
}
