// The chunks of the arena and of the region (arena.ts): where they lie, and how idle ones are given back.
//
//   | next, end, 56 unused | records and buffers | ...

import { release } from "./heap";
import { State, state } from "./state";

// @ts-ignore: decorator
@unmanaged
export class Chunk {
  next: usize;
  end: usize;
}

export function chunk(at: usize): Chunk {
  return changetype<Chunk>(at);
}

/** The three fields of the state that say how far the arena, or the region, is given out. */
// @ts-ignore: decorator
@unmanaged
export class Arena {
  firstChunk: usize;
  chunk: usize;
  cursor: usize;
}

export function arena(): Arena {
  return changetype<Arena>(changetype<usize>(state()) + offsetof<State>("firstChunk"));
}

export function region(): Arena {
  return changetype<Arena>(changetype<usize>(state()) + offsetof<State>("regionFirst"));
}

/** Frees the chunks behind those in use, of the arena and of a region that no segment relies on; false when there are none. */
export function releaseIdleChunks(): bool {
  const released = releaseBehind(arena());
  return (state().segments == 0 && releaseBehind(region())) || released;
}

function releaseBehind(s: Arena): bool {
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
