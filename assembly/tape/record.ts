// Records of the tape: how one is made and appended. Beside ops there are actions, what a step does besides making
// tensors. They are recorded while a program is captured only, and say what to call when it runs again (capture.ts).

import { allocate } from "../memory/allocate";
import { arenaAllocate } from "../memory/arena";
import { state } from "../memory/state";
import { Op } from "../tensor/op";
import { Flag, RECORD_BYTES, tensor } from "../tensor/tensor";

/** A new record, all zeros, in the arena or (outside a scope, or when asked) persistent; 0 when out of memory. */
export function begin(persistent: bool): usize {
  const keep = persistent || state().depth == 0;
  const at = keep ? allocate(RECORD_BYTES) : arenaAllocate(RECORD_BYTES);
  if (at == 0) return 0;
  memory.fill(at, 0, RECORD_BYTES);
  const t = tensor(at);
  t.root = at;
  if (keep) t.flags = Flag.Persistent;
  return at;
}

/** Appends a record to the tape. */
export function append(at: usize): void {
  const s = state();
  tensor(at).previous = s.tail;
  if (s.tail != 0) tensor(s.tail).next = at;
  s.tail = at;
}

/**
 * Notes that `op` was done on s0 (and s1), if a program is being captured. The first `sources`
 * of s0 and s1 are tensors; what else s0 may be is an optimizer's list. The note's record,
 * whose attributes are still to be set, or 0 when there is none.
 */
export function note(op: Op, sources: i32, s0: usize, s1: usize = 0): usize {
  const s = state();
  if (s.recording == 0) return 0;
  const at = begin(false);
  if (at == 0) {
    s.recording = 2;
    return 0;
  }
  const t = tensor(at);
  t.op = op;
  t.sources = sources;
  t.s0 = s0;
  t.s1 = s1;
  append(at);
  return at;
}
