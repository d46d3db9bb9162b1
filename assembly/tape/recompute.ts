// Segments that backward runs again, to save memory for time (gradient checkpointing, Chen et al. 2016,
// arXiv:1604.06174). While a segment is open, what its ops make lies in a region of its own; when it closes the region is
// free for the next one, and only results, which were moved out, stay. Its records go on to say where everything was: when
// backward comes to the segment's end, those ops run again whose values backward reads, at the same addresses.
//
//   tape     ... | open | op | op | ... | Recompute | ...      the Recompute record stands at a segment's end
//   region   chunks, as the arena's; as large as the largest segment on the tape
//
// While a step is captured there is no region: a plan (memoryPlan.ts) says where a segment works.
//
// The Recompute record has the record before the segment, or 0, as s0, and is no tensor.

import { arenaAllocate, hold, regionAllocate, rewindRegion } from "../memory/arena";
import { state } from "../memory/state";
import { Op } from "../tensor/op";
import { dataBytes, Flag, ownerOf, source, takesPart, Tensor, tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { append, begin } from "./record";
import { run } from "./run";
import * as ops from "./dispatch";

/** The record at a segment's end. */
// @ts-ignore: decorator
@unmanaged
export class Segment extends Tensor {
  /** Bytes that the segment took of the region. */
  bytes: usize;
  /** 1 if its values are gone. */
  gone: i32;
}

/** Opens a segment; 1, or 0 when out of memory. */
export function openSegment(): bool {
  const s = state();
  const at = begin(false);
  if (at == 0) return false;
  const end = tensor(at);
  end.op = Op.Recompute;
  end.s0 = s.tail;
  s.segment = at;
  s.segmentDepth = s.depth;
  return true;
}

/** Does what is made now go with the open segment? Not what inner scopes make, which free their own. */
export function inSegment(): bool {
  const s = state();
  return s.segment != 0 && s.segmentDepth == s.depth && s.recording == 0;
}

/** Memory of the region for the open segment, or 0. */
export function segmentAllocate(bytes: usize): usize {
  changetype<Segment>(state().segment).bytes += max<usize>((bytes + 63) & ~63, 64);
  return regionAllocate(bytes);
}

/** Moves the values of a result out of the open segment. False when out of memory. */
export function keepResult(at: usize): bool {
  const s = state();
  const owner = ownerOf(tensor(at));
  const before = tensor(s.segment).s0;
  const from = owner.data;
  for (let r = s.tail; r != before; r = tensor(r).previous) {
    if (r != changetype<usize>(owner) || owner.op == Op.Leaf || owner.flags & Flag.CheckpointResult)
      continue;
    owner.flags |= Flag.CheckpointResult;
    if (s.recording != 0) break;
    const bytes = dataBytes(owner);
    const to = arenaAllocate(bytes);
    if (to == 0) return false;
    memory.copy(to, from, bytes);
    for (let v = s.tail; v != before; v = tensor(v).previous) {
      if (ownerOf(tensor(v)) == owner) tensor(v).data = to;
    }
    break;
  }
  return true;
}

/** Closes the segment: all that it made is free for others but results. */
export function closeSegment(): void {
  const s = state();
  const end = changetype<Segment>(s.segment);
  append(s.segment);
  s.segment = 0;
  if (s.recording != 0) return;
  end.gone = 1;
  s.segments += 1;
  rewindRegion();
  hold(-(<f64>end.bytes));
}

function need(t: Tensor): void {
  const owner = ownerOf(t);
  if ((owner.flags & Flag.CheckpointResult) == 0) owner.flags |= Flag.Rerun;
}

/** Marks the records before `end` whose values the rest of the backward pass reads; the first of them, 0 when none is. */
export function markRerun(end: Tensor): usize {
  let first: usize = 0;
  for (let r = end.previous; r != end.s0; r = tensor(r).previous) tensor(r).flags &= ~Flag.Rerun;
  for (let r = end.previous; r != end.s0; r = tensor(r).previous) {
    const t = tensor(r);
    const reads = takesPart(t);
    if (reads) {
      if (ops.savedBytes(t) != 0) t.flags |= Flag.Rerun;
      if (ops.readsResult(t)) need(t);
    }
    const again = (t.flags & Flag.Rerun) != 0;
    if (again) first = r;
    for (let i = 0; i < t.sources && t.op < Op.Recompute; i++) {
      if (again || (reads && ops.readsSource(t, i))) need(source(t, i));
    }
  }
  return first;
}

/** Runs a segment's ops again as far as backward needs them. False when out of memory. */
export function rerunSegment(end: Segment): bool {
  if (end.gone == 0) return true;
  const first = markRerun(end);
  if (first == 0) return true;
  for (let r = first; r != changetype<usize>(end); r = tensor(r).next) {
    const t = tensor(r);
    if (!(t.flags & Flag.Rerun) || t.op == Op.Leaf || t.size == 0) continue;
    // More threads than in forward need more scratch.
    if (!run(t, Job.Forward)) return false;
  }
  return true;
}
