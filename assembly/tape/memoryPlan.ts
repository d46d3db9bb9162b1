// Which memory a captured step works in. While one is captured its ops are recorded and not run, so that all of them up
// to a backward pass are known before the first one needs memory. What the front end can no longer reach (what a module
// made on the way to its result, say) then is given memory only while it is read:
//
//   time       0 ... n − 1 the records, in order; then those of the backward pass, in reverse, with what runs again
//   values     from the op that makes them to the last that reads them, forward or backward (needs.ts)
//   saved      from forward to the op's turn in backward
//   gradients  from the first that adds to them to the turn of the op whose result they belong to; in the place of the
//              values where an op writes them that is the last to read those
//
// What the front end still holds gets memory of its own, and so does everything if no pass is planned for.

import { allocate } from "../memory/allocate";
import { arenaAllocate } from "../memory/arena";
import { release } from "../memory/heap";
import { bounded } from "../memory/size";
import { state } from "../memory/state";
import { Op } from "../tensor/op";
import {
  dataBytes,
  Flag,
  isView,
  ownerOf,
  requiresGrad,
  source,
  takesPart,
  Tensor,
  tensor,
} from "../tensor/tensor";
import { assignOffsets, Buffer } from "./offsets";
import { markRerun, Segment } from "./recompute";
import * as ops from "./dispatch";

const VALUES: usize = 0;
const SAVED: usize = offsetof<Buffer>();
const GRADIENT: usize = 2 * offsetof<Buffer>();
/** The three buffers of a record lie in a row; while a plan is made, `place` of the record points to them. */
const ROW: usize = 3 * offsetof<Buffer>();

/** What an op reads or makes: not what was made before, by the user, or by a view. */
export function isPlanned(t: Tensor): bool {
  return t.op < Op.Recompute && t.op != Op.Leaf && !isView(t);
}

function buffer(t: Tensor, which: usize): Buffer {
  return Buffer.of(t.plannedGrad + which);
}

/** The values or what was saved is read at `time`, which comes in backward if `again`. */
function touch(t: Tensor, which: usize, time: i32, again: bool): void {
  if (t.plannedGrad == 0) return;
  const b = buffer(t, which);
  if (b.bytes == 0) return;
  if (!again || !(t.flags & Flag.Dropped)) {
    b.end = time;
    return;
  }
  if (b.again == 0) b.again = time;
  b.last = time;
}

/** The values of all sources are read at `time`. */
function touchSources(t: Tensor, time: i32, again: bool): void {
  for (let i = 0; i < t.sources; i++) touch(ownerOf(source(t, i)), VALUES, time, again);
}

/** Gives all records a row of buffers, in use as long as forward reads them; how many records there are. */
function planForward(first: usize, rows: usize): i32 {
  let n = 0;
  for (let r = first; r != 0; r = tensor(r).next, n++) {
    const t = tensor(r);
    if (isPlanned(t)) {
      t.plannedGrad = rows + <usize>n * ROW;
      Buffer.wants(buffer(t, VALUES), dataBytes(t), n);
      const saved = requiresGrad(t) ? ops.savedBytes(t) : 0;
      if (saved != 0) Buffer.wants(buffer(t, SAVED), saved, n);
      touchSources(t, n, false);
    } else if (t.op == Op.Recompute) {
      changetype<Segment>(t).gone = 1;
      for (let q = t.previous; q != t.s0; q = tensor(q).previous) {
        if (!(tensor(q).flags & Flag.CheckpointResult)) tensor(q).flags |= Flag.Dropped;
      }
    }
  }
  // What the front end can reach is not planned, but has memory of its own.
  for (let r = first; r != 0; r = tensor(r).next) {
    const t = tensor(r);
    const owner = ownerOf(t);
    if (!(t.flags & Flag.Unreachable) && t.op < Op.Recompute && owner.plannedGrad != 0) {
      buffer(owner, VALUES).bytes = 0;
    }
  }
  return n;
}

/** Lets the gradients of pending tensors look as they will in the backward pass from `loss`, or as they did before. */
function pretend(loss: usize, grad: usize): void {
  let found = false;
  for (let r = state().tail; r != state().flushed; r = tensor(r).previous) {
    const t = tensor(r);
    if (r == loss) {
      found = true;
      if (tensor(t.root).plannedGrad != 0) tensor(t.root).grad = grad;
    }
    if (!found || !isPlanned(t) || !requiresGrad(t) || (grad != 0 && t.grad == 0)) continue;
    for (let i = 0; i < t.sources; i++) {
      const root = tensor(source(t, i).root);
      if (requiresGrad(root) && root.plannedGrad != 0) root.grad = grad;
    }
  }
}

/** What this pass does not come to has memory of its own, as has all that a segment reads to make it again: another one may. */
function markParts(): void {
  for (let r = state().tail; r != state().flushed; r = tensor(r).previous) {
    const t = tensor(r);
    if (!isPlanned(t)) continue;
    if (takesPart(t)) {
      t.flags |= Flag.Planned;
      continue;
    }
    if (requiresGrad(t)) buffer(t, SAVED).bytes = 0;
    else if (!(t.flags & Flag.Dropped) || buffer(t, VALUES).bytes != 0) continue;
    buffer(t, VALUES).bytes = 0;
    for (let i = 0; i < t.sources; i++) {
      const owner = ownerOf(source(t, i));
      if (owner.plannedGrad != 0) buffer(owner, VALUES).bytes = 0;
    }
  }
}

/** May record number `index` leave its slope in the place of its source? Only if nobody else reads what is there. */
function mayLeaveSlope(t: Tensor, index: i32): bool {
  const x = source(t, 0);
  // What a segment makes again must find its source as it was.
  if (!ops.hasSlope(t) || x.plannedGrad == 0 || (t.flags | x.flags) & Flag.Dropped) return false;
  if (ops.readsResult(x)) return false;
  const v = buffer(x, VALUES);
  return v.bytes != 0 && v.begin == index - 1 && v.end == index;
}

/**
 * May the backward pass of `t` write the gradient of its source `i` over the values of it, if it is the first to write
 * that gradient and the last to read those values?
 */
function mayReplace(t: Tensor, i: i32): bool {
  if (i != 0 || !ops.replacesInput(t)) return false;
  // A tensor may be several sources. Its gradient is cleared first then, and a detached one is read as it was.
  for (let j = 1; j < t.sources; j++)
    if (ownerOf(source(t, j)) == ownerOf(source(t, 0))) return false;
  return true;
}

/** Extends the spans by the backward pass from `loss`, which begins at `time`. */
function planBackward(loss: usize, time: i32): void {
  pretend(loss, 1);
  markParts();
  let found = false;
  let index = time;
  for (let r = state().tail; r != state().flushed; r = tensor(r).previous) {
    const t = tensor(r);
    index -= 1;
    if (r == loss) {
      found = true;
      const root = tensor(t.root);
      if (root.plannedGrad != 0) Buffer.wants(buffer(root, GRADIENT), dataBytes(root), time);
    }
    if (!found) continue;
    time += 1;
    if (t.op == Op.Recompute) time = planAgain(t, time);
    if (!takesPart(t)) continue;
    if (mayLeaveSlope(t, index)) t.flags |= Flag.LeavesSlope;
    buffer(t, GRADIENT).end = time;
    touch(t, SAVED, time, true);
    if (ops.readsResult(t)) touch(t, VALUES, time, true);
    for (let i = 0; i < t.sources; i++) {
      const from = source(t, i);
      const root = tensor(from.root);
      if (ops.readsSource(t, i)) touch(ownerOf(from), VALUES, time, true);
      if (!requiresGrad(root) || root.plannedGrad == 0) continue;
      const g = buffer(root, GRADIENT);
      if (g.bytes != 0) continue;
      Buffer.wants(g, dataBytes(root), time);
      if (mayReplace(t, i)) root.flags |= Flag.Replaced;
    }
  }
  pretend(loss, 0);
  // A gradient may replace values only if they are read for the last time as it begins.
  for (let r = state().tail; r != state().flushed; r = tensor(r).previous) {
    const t = tensor(r);
    if (!(t.flags & Flag.Replaced)) continue;
    if (!Buffer.join(buffer(t, VALUES), buffer(t, GRADIENT))) t.flags &= ~Flag.Replaced;
  }
}

/** The spans of what a segment makes again; the time after it. */
function planAgain(end: Tensor, time: i32): i32 {
  const first = markRerun(end);
  if (first == 0) return time;
  for (let r = first; r != changetype<usize>(end); r = tensor(r).next) {
    const t = tensor(r);
    if (!(t.flags & Flag.Rerun) || !isPlanned(t)) continue;
    time += 1;
    touch(t, VALUES, time, true);
    touch(t, SAVED, time, true);
    touchSources(t, time, true);
  }
  return time + 1;
}

/** The block of a plan: that of an earlier pass of this step if it is large enough, or a new one; 0 when out of memory. */
function blockOf(bytes: u64): usize {
  const s = state();
  if (bytes > s.planBytes) {
    s.plan = arenaAllocate(bounded(bytes));
    s.planBytes = s.plan == 0 ? 0 : <usize>bytes;
  }
  return s.plan;
}

/** Gives a pending record its memory: planned, or of its own. False when out of memory. */
export function give(t: Tensor, block: usize): bool {
  if (isView(t)) t.data = source(t, 0).data;
  if (!isPlanned(t)) return true;
  const own = dataBytes(t);
  let saved = requiresGrad(t) ? ops.savedBytes(t) : 0;
  if (block != 0) {
    const v = buffer(t, VALUES);
    const g = buffer(t, GRADIENT);
    if (buffer(t, SAVED).bytes != 0) {
      t.saved = block + <usize>buffer(t, SAVED).at;
      saved = 0;
    }
    if (v.bytes != 0) t.data = block + <usize>v.at;
    // The row is read for the last time.
    if (t.flags & Flag.Replaced) t.plannedGrad = t.data;
    else t.plannedGrad = g.bytes == 0 ? 0 : block + <usize>g.at;
  }
  if (t.data == 0 && (t.data = arenaAllocate(own)) == 0) return false;
  if (saved != 0 && (t.saved = arenaAllocate(saved)) == 0) return false;
  return true;
}

/** Plans the pending records and, if it is not 0, the backward pass from `loss`. False when out of memory. */
export function makePlan(first: usize, loss: usize): bool {
  let n = 0;
  for (let r = first; r != 0; r = tensor(r).next) n++;
  const bytes = bounded(<u64>n * ROW);
  const rows = allocate(bytes);
  if (rows == 0) return false;
  memory.fill(rows, 0, bytes);
  planForward(first, rows);
  if (loss != 0) planBackward(loss, n);
  const total = max<u64>(assignOffsets(rows, 3 * n), 64);
  const block = blockOf(total);
  let done = block != 0;
  for (let r = first; r != 0; r = tensor(r).next) {
    if (done) done = give(tensor(r), block);
    else tensor(r).plannedGrad = 0;
  }
  release(rows);
  return done;
}
