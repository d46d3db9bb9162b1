// The backward pass of attention: probabilities are made again from the saved log-sum-exp, block by block (Dao et
// al. 2022, arXiv:2205.14135, algorithm 4). Per row of queries, over the keys that it sees:
//   p = exp(scale·q·kᵀ − lse)     D = Σ dy·y     dp = dy·vᵀ     ds = scale·p·(dp − D)
//   dv += pᵀ·dy     dk += dsᵀ·q     dq = ds·k
// ROWS rows against KEYS keys at a time (block.ts). A thread works on whole units, so every gradient has one
// writer; dk and dv sum over a group's rows in order, from zero in each block of rows.

import { A_ROWS, B_COLS, B_ROWS } from "../../gemm/blocking";
import { packA, packB } from "../../gemm/pack";
import { Simd } from "../../math/simd";
import { state } from "../../memory/state";
import { accumulates, dim, gradient, Share, source, Tensor } from "../../tensor/tensor";
import { addWork } from "../../threads/threads";
import { backwardRoom, blockOfKeys, Room, ROWS } from "./block";
import { AttentionRecord, KEYS, UNIT, Unit } from "./unit";

export function attentionBackward(y: AttentionRecord, thread: i32, threads: i32): void {
  if (entangled(y)) {
    if (thread > 0) return;
    threads = 1;
  }
  const at = state().scratch + <usize>thread * backwardRoom(y);
  const u = changetype<Unit>(at);
  Unit.measure(u, y);
  const room = changetype<Room>(at + UNIT);
  room.unit = u;
  room.keys = Unit.end(u, u.rows - 1);
  room.dq = gradient(source(y, 0));
  room.dk = gradient(source(y, 1));
  room.dv = gradient(source(y, 2));
  Room.layOut(room);
  const units = Unit.count(y);
  const end = Share.end(units, 1, thread, threads);
  for (let unit = Share.begin(units, 1, thread, threads); unit < end; unit++) {
    Unit.place(u, y, unit);
    backwardUnit(room, y);
    addWork(thread, <u64>(u.rows * u.width));
  }
}

/** Do views of one tensor serve as q and as k or v, in different shapes? Then units may share elements. */
function entangled(y: Tensor): bool {
  const q = source(y, 0);
  for (let i = 1; i < 3; i++) {
    const other = source(y, i);
    if (other.root == q.root && dim(other, 2) != dim(q, 2)) return true;
  }
  return false;
}

function backwardUnit(room: Room, y: Tensor): void {
  const u = room.unit;
  const ld = <i32>(u.keyStep >> 2);
  const k = source(y, 1).data + u.keyAt;
  const v = source(y, 2).data + u.keyAt;
  const all = (<usize>(((room.keys + 7) & ~7) * u.padded)) << 2;
  packB(room.kColumns, k, B_COLS, ld, u.width, room.keys);
  if (room.dq != 0 || room.dk != 0) packB(room.vColumns, v, B_COLS, ld, u.width, room.keys);
  if (room.dq != 0) packB(room.kPanels, k, B_ROWS, ld, room.keys, u.width);
  if (room.dk != 0) memory.fill(room.dkRows, 0, all);
  if (room.dv != 0) memory.fill(room.dvRows, 0, all);
  for (let row = 0; row < u.rows; row += ROWS) blockOfRows(room, y, row);
  const length = dim(source(y, 1), 1);
  if (room.dk != 0)
    giveKeys(room, room.dk + u.keyAt, room.dkRows, length, accumulates(source(y, 1)));
  if (room.dv != 0)
    giveKeys(room, room.dv + u.keyAt, room.dvRows, length, accumulates(source(y, 2)));
}

/** Gradients [keys][padded] go to their rows among `length` keys; those that no row sees get zeros. */
function giveKeys(room: Room, to: usize, from: usize, length: i32, add: bool): void {
  const u = room.unit;
  for (let key = 0; key < room.keys; key++) {
    give(to, from, u.width, add);
    to += u.keyStep;
    from += (<usize>u.padded) << 2;
  }
  if (add) return;
  for (let key = room.keys; key < length; key++) {
    memory.fill(to, 0, (<usize>u.width) << 2);
    to += u.keyStep;
  }
}

/** to [n] = or += from [n]. */
function give(to: usize, from: usize, n: i32, add: bool): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const x = v128.load(from);
    v128.store(to, add ? f32x4.add(v128.load(to), x) : x);
    to += 16;
    from += 16;
  }
  for (; i < n; i++) {
    const x = load<f32>(from);
    store<f32>(to, add ? load<f32>(to) + x : x);
    to += 4;
    from += 4;
  }
}

/** Rows [row, row + ROWS) of a unit, or as many as there are, against all keys that they see. */
function blockOfRows(room: Room, y: Tensor, row: i32): void {
  const u = room.unit;
  const count = min(ROWS, u.rows - row);
  const rows = (count + 3) & ~3;
  const step = (<usize>u.padded) << 2;
  let begin = i32.MAX_VALUE;
  for (let i = 0; i < rows; i++) {
    const at = (<usize>i) << 2;
    const q = room.q + <usize>i * step;
    const g = room.g + <usize>i * step;
    if (i >= count) {
      // Rows without a query see nothing.
      memory.fill(q, 0, step);
      memory.fill(g, 0, step);
      store<i32>(room.begins + at, i32.MAX_VALUE);
      store<i32>(room.ends + at, 0);
      store<f32>(room.lse + at, 0);
      store<f32>(room.delta + at, 0);
      continue;
    }
    const r = row + i;
    Unit.gather(u, q, Unit.row(u, source(y, 0).data, r));
    Unit.gather(u, g, Unit.row(u, y.grad, r));
    begin = min(begin, Unit.begin(u, r));
    store<i32>(room.begins + at, Unit.begin(u, r));
    store<i32>(room.ends + at, Unit.end(u, r));
    store<f32>(room.lse + at, load<f32>(Unit.statistic(u, y, r)));
    store<f32>(room.delta + at, dot(g, Unit.row(u, y.data, r), u.width));
  }
  packA(room.qPanels, room.q, A_ROWS, u.padded, rows, u.width);
  packA(room.gPanels, room.g, A_ROWS, u.padded, rows, u.width);
  if (room.dq != 0) memory.fill(room.dqRows, 0, <usize>rows * step);
  const end = Unit.end(u, row + count - 1);
  for (let block = begin & -KEYS; block < end; block += KEYS) blockOfKeys(room, rows, block);
  if (room.dq == 0) return;
  const add = accumulates(source(y, 0));
  for (let i = 0; i < count; i++) {
    give(Unit.row(u, room.dq, row + i), room.dqRows + <usize>i * step, u.width, add);
  }
}

/** Σ x·y over n floats, in four lanes. */
function dot(x: usize, y: usize, n: i32): f32 {
  let sums = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    sums = Simd.madd(v128.load(x), v128.load(y), sums);
    x += 16;
    y += 16;
  }
  let sum = Simd.sum(sums);
  for (; i < n; i++) {
    sum += load<f32>(x) * load<f32>(y);
    x += 4;
    y += 4;
  }
  return sum;
}
