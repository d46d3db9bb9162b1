// The backward pass: the tape in reverse, from a loss to the leaves. All memory of the pass is reserved before the first
// op runs; gradients of intermediate tensors live as long as they are needed and hand their buffers on.

import { allocate, reserveScratch } from "../memory/allocate";
import { arenaAllocate, hold, Mark, rewind, takeMark } from "../memory/arena";
import { count, counted, Counter, state } from "../memory/state";
import { addRow } from "../ops/copy";
import { Op } from "../tensor/op";
import { Flag, requiresGrad, source, takesPart, Tensor, tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { flushFor } from "./flush";
import { rerunSegment, Segment } from "./recompute";
import { note } from "./record";
import { run, threadsFor } from "./run";
import { freeGradient } from "./tape";
import * as ops from "./dispatch";

// @ts-ignore: decorator
@unmanaged
class Spare {
  next: usize;
  bytes: usize;
}

/** A gradient buffer in the arena: one that this backward pass is done with, or a new one. */
function intermediateGradient(bytes: usize): usize {
  const s = state();
  let before: usize = 0;
  for (let at = s.spareGradients; at != 0; at = changetype<Spare>(at).next) {
    const spare = changetype<Spare>(at);
    if (spare.bytes == bytes) {
      if (before == 0) s.spareGradients = spare.next;
      else changetype<Spare>(before).next = spare.next;
      return at;
    }
    before = at;
  }
  count(Counter.IntermediateGradients, 1);
  return arenaAllocate(bytes);
}

function spareBytes(t: Tensor): usize {
  return max<usize>((((<usize>t.size) << 2) + 63) & ~63, 64);
}

/** Sees to it that the root of `t` has a gradient buffer. */
function ensureGradient(t: Tensor): bool {
  const root = tensor(t.root);
  if (root.grad != 0) return true;
  if (root.flags & Flag.Persistent) {
    const bytes = (<usize>root.size) << 2;
    root.grad = allocate(bytes);
    if (root.grad == 0) return false;
    root.flags |= Flag.OwnsGrad;
    memory.fill(root.grad, 0, bytes);
    count(Counter.LeafGradientBytes, <f64>bytes);
    return true;
  }
  root.grad = root.plannedGrad != 0 ? root.plannedGrad : intermediateGradient(spareBytes(root));
  root.flags |= Flag.Unwritten;
  return root.grad != 0;
}

function zero(root: Tensor): void {
  if (root.flags & Flag.Unwritten) {
    memory.fill(root.grad, 0, (<usize>root.size) << 2);
    root.flags &= ~Flag.Unwritten;
  }
}

/** All memory that the record's turn in backward needs: gradient buffers of its sources, and scratch. */
function reserve(t: Tensor): bool {
  for (let i = 0; i < t.sources; i++) {
    const from = source(t, i);
    if (requiresGrad(from) && !ensureGradient(from)) return false;
  }
  return reserveScratch(ops.scratchBytes(t, Job.Backward, threadsFor(t, Job.Backward)));
}

/** Zeroes the fresh gradient buffers of the sources, unless the op stores into them. */
function zeroSources(t: Tensor): void {
  for (let i = 0; i < t.sources; i++) {
    const from = source(t, i);
    let stores = t.size > 0 && ops.storesGradients(t);
    for (let j = 0; j < t.sources; j++) {
      if (j != i && source(t, j).root == from.root) stores = false;
    }
    if (!stores) zero(tensor(from.root));
  }
}

/** The pass that was planned for is over: what was hidden is gone, and no pass may come here again. */
function spend(): void {
  for (let r = state().tail; r != 0; r = tensor(r).previous) {
    if (tensor(r).flags & Flag.Planned) tensor(r).flags |= Flag.Consumed;
  }
}

/**
 * Gradients of `loss` (one element) for every leaf that requires them; adds to what is there. False when out of memory:
 * all of it is reserved before the first op runs, so nothing has changed, unless a segment runs again on more threads.
 */
export function backward(at: usize): bool {
  const s = state();
  if (!flushFor(at)) return false;
  const loss = tensor(at);
  // Of a time before the mark itself was there: a step that runs again and again must not keep one a run.
  const chunk = s.chunk;
  const cursor = s.cursor;
  const bytes = counted(Counter.ArenaBytes);
  const markAt = arenaAllocate(offsetof<Mark>());
  if (markAt == 0) return false;
  const mark = changetype<Mark>(markAt);
  takeMark(mark);
  mark.chunk = chunk;
  mark.cursor = cursor;
  mark.bytes = bytes;
  s.spareGradients = 0;
  let done = ensureGradient(loss);
  for (let r = at; r != 0 && done; r = tensor(r).previous) {
    const t = tensor(r);
    if (!takesPart(t)) continue;
    done = reserve(t);
    if (s.recording != 0 && t.flags & Flag.Consumed) {
      done = false;
      s.failedBytes = 0;
    }
    if (t.plannedGrad != 0) continue;
    // A buffer has several users, one after the other.
    changetype<Spare>(t.grad).next = s.spareGradients;
    changetype<Spare>(t.grad).bytes = spareBytes(t);
    s.spareGradients = t.grad;
  }
  if (done) {
    const root = tensor(loss.root);
    zero(root);
    root.flags = (root.flags & ~Flag.OwnsGrad) | Flag.HasGrad;
    store<f32>(root.grad, load<f32>(root.grad) + 1);
  }
  // Bytes of the segment whose values are there again.
  let held: f64 = 0;
  for (let r = at; r != 0; r = tensor(r).previous) {
    const t = tensor(r);
    if (t.op == Op.Recompute && done) {
      const segment = changetype<Segment>(t);
      hold(<f64>segment.bytes - held);
      held = <f64>segment.bytes;
      done = rerunSegment(segment);
    }
    if (!takesPart(t)) continue;
    if (done) {
      zeroSources(t);
      if (t.size > 0) done = run(t, Job.Backward);
      if (t.retainedGrad != 0 && done) addRow(t.retainedGrad, t.grad, t.size);
    }
    for (let i = 0; i < t.sources; i++) {
      const root = tensor(source(t, i).root);
      if (!done && root.flags & Flag.OwnsGrad) freeGradient(root);
      root.flags &= ~(Flag.Unwritten | Flag.OwnsGrad);
      if (done) root.flags |= Flag.HasGrad;
    }
    t.grad = 0;
  }
  s.spareGradients = 0;
  rewind(mark);
  if (done && s.recording != 0) {
    note(Op.Backward, 1, at);
    spend();
  }
  return done;
}
