// The tape. A record is made (`begin`, record.ts) and filled in by the front end, given data and run (`commit`), and
// appended; the records of the open scopes, linked in order, are the program that `backward` (backward.ts) walks in
// reverse and `replay` (capture.ts) runs again.

import { run } from "./run";
import { allocate } from "../memory/allocate";
import { arenaAllocate, Mark, rewind } from "../memory/arena";
import { release } from "../memory/heap";
import { count, Counter, state } from "../memory/state";
import { Op } from "../tensor/op";
import {
  dataBytes,
  dim,
  Flag,
  isView,
  requiresGrad,
  source,
  Tensor,
  tensor,
} from "../tensor/tensor";
import { Job } from "../threads/job";
import { inSegment, segmentAllocate } from "./recompute";
import { append, note } from "./record";
import * as ops from "./dispatch";

/** Gives a filled-in record its data, runs its op and appends it to the tape. False when out of memory. */
export function commit(at: usize): bool {
  const t = tensor(at);
  const s = state();
  const inTape = (t.flags & Flag.Persistent) == 0;
  let size = 1;
  for (let i = 0; i < t.rank; i++) size *= dim(t, i);
  t.size = size;
  if (t.op != Op.Leaf && t.op != Op.Detach && inTape && s.gradMode) {
    for (let i = 0; i < t.sources; i++) {
      if (requiresGrad(source(t, i))) t.flags |= Flag.RequiresGrad;
    }
  }
  if (s.recording != 0 && t.op != Op.Leaf) {
    // To be run when a backward pass, or the end of the step, asks for it (memoryPlan.ts).
    if (t.op == Op.Reshape) t.root = source(t, 0).root;
    for (let i = 0; i < t.sources; i++) markReachable(source(t, i));
    if (isView(t)) t.data = source(t, 0).data;
    append(at);
    count(Counter.Records, 1);
    return true;
  }
  if (isView(t) && inTape) {
    const viewed = source(t, 0);
    t.data = viewed.data;
    if (t.op == Op.Reshape) t.root = viewed.root;
  } else {
    const bytes = dataBytes(t);
    t.data = inTape ? place(t, bytes) : allocate(bytes);
    if (t.data == 0) return abandon(t);
    if (isView(t)) memory.copy(t.data, source(t, 0).data, bytes);
  }
  if (requiresGrad(t)) {
    if (t.op == Op.Leaf) {
      if (inTape && !zeroedGradient(t)) return false;
    } else if (!isView(t)) {
      const saved = ops.savedBytes(t);
      if (saved != 0) {
        t.saved = place(t, saved);
        if (t.saved == 0) return false;
      }
    }
  }
  if (t.op != Op.Leaf && !isView(t) && t.size > 0) {
    if (!run(t, Job.Forward)) return abandon(t);
  }
  if (!inTape) {
    t.op = Op.Leaf;
    t.sources = 0;
  } else if (t.op != Op.Leaf) {
    append(at);
    count(Counter.Records, 1);
  } else if (s.recording != 0 && requiresGrad(t)) {
    append(at);
  }
  return true;
}

/** Memory for what a record of the tape makes, or 0. */
function place(t: Tensor, bytes: usize): usize {
  return t.op != Op.Leaf && inSegment() ? segmentAllocate(bytes) : arenaAllocate(bytes);
}

function abandon(t: Tensor): bool {
  if (t.flags & Flag.Persistent) {
    release(t.data);
    release(changetype<usize>(t));
  }
  return false;
}

/** Frees a persistent tensor. */
export function dispose(at: usize): void {
  const t = tensor(at);
  dropGradient(at);
  release(t.data);
  release(t.packedT);
  release(at);
}

/** Frees the gradient buffer of a persistent tensor; that of a scope's is set to zero. */
export function dropGradient(at: usize): void {
  note(Op.DropGradient, 1, at);
  const t = tensor(tensor(at).root);
  t.flags &= ~Flag.HasGrad;
  if (t.flags & Flag.Persistent) {
    freeGradient(t);
    return;
  }
  const buffer = t.grad != 0 ? t.grad : t.retainedGrad;
  if (buffer != 0) memory.fill(buffer, 0, (<usize>t.size) << 2);
}

/** Frees the gradient buffer of a leaf that lives on. */
export function freeGradient(t: Tensor): void {
  if (t.grad == 0) return;
  count(Counter.LeafGradientBytes, -(<f64>t.size * 4));
  release(t.grad);
  t.grad = 0;
}

function zeroedGradient(t: Tensor): bool {
  t.grad = arenaAllocate((<usize>t.size) << 2);
  if (t.grad == 0) return false;
  memory.fill(t.grad, 0, (<usize>t.size) << 2);
  return true;
}

/** Does a record belong to the innermost scope, so that it goes when what is allocated now goes? */
function isInnermost(at: usize): bool {
  const outer = changetype<Mark>(state().mark).tail;
  for (let r = state().tail; r != outer; r = tensor(r).previous) if (r == at) return true;
  return false;
}

/**
 * Asks that an intermediate tensor's gradient outlive backward; 1. What backward passes on is the gradient of one
 * pass, so the copy that is kept lies apart. 0 when out of memory, −1 when the tensor belongs to an outer scope.
 */
export function retainGradient(at: usize): i32 {
  const root = tensor(at).root;
  const t = tensor(root);
  if (t.op == Op.Leaf || t.retainedGrad != 0) return 1;
  if (!isInnermost(root)) return -1;
  const bytes = (<usize>t.size) << 2;
  t.retainedGrad = arenaAllocate(bytes);
  if (t.retainedGrad == 0) return 0;
  memory.fill(t.retainedGrad, 0, bytes);
  return 1;
}

/** Opens a scope; false when out of memory. */
export function openScope(): bool {
  const s = state();
  // The mark is taken before it is stored in the arena, so that closing frees it too.
  const chunk = s.chunk;
  const cursor = s.cursor;
  const tail = s.tail;
  const bytes = load<f64>(changetype<usize>(s) + ((<usize>Counter.ArenaBytes) << 3));
  const at = arenaAllocate(offsetof<Mark>());
  if (at == 0) return false;
  if (s.depth == 0) {
    s.stepCounter += 1;
    s.dropoutOrdinal = 0;
  }
  const mark = changetype<Mark>(at);
  mark.outer = s.mark;
  mark.chunk = chunk;
  mark.cursor = cursor;
  mark.tail = tail;
  mark.bytes = bytes;
  s.mark = at;
  s.depth += 1;
  return true;
}

/** Closes the innermost scope: all its records and buffers are gone. */
export function closeScope(): void {
  const s = state();
  const mark = changetype<Mark>(s.mark);
  s.mark = mark.outer;
  s.depth -= 1;
  s.tail = mark.tail;
  if (s.tail != 0) tensor(s.tail).next = 0;
  if (s.depth == 0) s.segments = 0;
  rewind(mark);
}

/** Hides from plans what was recorded behind `before`: the front end has left the function that made it. */
export function markUnreachable(before: usize): void {
  for (let r = state().tail; r != before; r = tensor(r).previous)
    tensor(r).flags |= Flag.Unreachable;
}

/** The front end has it after all. */
export function markReachable(t: Tensor): void {
  t.flags &= ~Flag.Unreachable;
}
