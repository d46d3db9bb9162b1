// Persistent blocks and the scratch block. When memory cannot grow, idle chunks of the arena are given back first.

import { releaseIdleChunks } from "./chunks";
import { MOST, release, roundUp, tryAllocate } from "./heap";
import { count, Counter, state } from "./state";

/** A persistent block of at least `bytes` bytes, or 0 when memory cannot grow. Its contents are arbitrary. */
export function allocate(bytes: usize): usize {
  if (bytes <= MOST) {
    const need = roundUp(max<usize>(bytes, 1));
    let at = tryAllocate(need);
    if (at == 0 && releaseIdleChunks()) at = tryAllocate(need);
    if (at != 0) return at;
  }
  state().failedBytes = bytes;
  return 0;
}

/** Makes the scratch block at least `bytes` long; false when memory cannot grow. */
export function reserveScratch(bytes: usize): bool {
  const s = state();
  if (bytes <= s.scratchBytes) return true;
  // Its own memory is a part of what may serve; nothing in it is read any more.
  release(s.scratch);
  const at = allocate(bytes);
  if (at == 0) {
    if (s.scratch != 0) s.scratch = allocate(s.scratchBytes);
    return false;
  }
  s.scratch = at;
  count(Counter.ScratchBytes, <f64>bytes - <f64>s.scratchBytes);
  s.scratchBytes = bytes;
  return true;
}
