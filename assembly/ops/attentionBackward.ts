// The backward pass of attention: probabilities are made again from the saved log-sum-exp, block by block (Dao et
// al. 2022, arXiv:2205.14135, algorithm 4). Per row of queries, over the keys that it sees:
//   p = exp(scale·q·kᵀ − lse)     D = Σ dy·y     dp = dy·vᵀ     ds = scale·p·(dp − D)
//   dv += pᵀ·dy     dk += dsᵀ·q     dq = ds·k
// ROWS rows against KEYS keys at a time, here with the keys in the lanes: p and ds [row][key] are the A operands of
// dv and dk as they stand; ds is transposed, in registers, for dq alone. A thread works on whole units, so every
// gradient has one writer; the sum over a group's heads goes by row, from zero in each block of rows.

import { INTEGERS } from "../constants";
import { packA, packB, Transpose } from "../gemm/pack";
import { A_ROWS, B_COLS, B_ROWS } from "../gemm/policy";
import { tile } from "../gemm/tile";
import { Vec } from "../math";
import { addWork } from "../parallel";
import { Simd } from "../simd";
import { state } from "../state";
import { accumulates, dim, gradient, Share, source, Tensor } from "../tensor";
import { KEYS, lines, Unit } from "./attentionUnit";

/** Rows of queries that are worked on at a time. A part of what dk and dv mean to the bit. */
const ROWS: i32 = 64;

/** The buffers of one thread; sizes in floats, R rows of a block, K all keys that are seen, D padded to eight. */
// @ts-ignore: decorator
@unmanaged
class Room {
  unit: Unit;
  /** Keys that some row sees, and rounded up to whole panels. */
  keys: i32;
  paddedKeys: i32;
  /** Gradients to be made, or 0. */
  dq: usize;
  dk: usize;
  dv: usize;
  /** Of the block of rows: begin, end, lse, D [R]; first and last key of each four rows in the key block [R/4]. */
  begins: usize;
  ends: usize;
  lse: usize;
  delta: usize;
  froms: usize;
  tos: usize;
  /** q and dy, in rows [R][D] and as panels [D][4]; dq [R][D]. */
  q: usize;
  qPanels: usize;
  g: usize;
  gPanels: usize;
  dqRows: usize;
  /** p, ds [R][KEYS] and ds as panels [KEYS][4]. */
  p: usize;
  ds: usize;
  dsPanels: usize;
  /** k and v as panels [D][8], k as panels [K][8]; dk, dv [K][D]. */
  kColumns: usize;
  vColumns: usize;
  kPanels: usize;
  dkRows: usize;
  dvRows: usize;

  /** Lays the buffers out at `at` and returns where they end. With `y` alone known, sizes are what count. */
  static layOut(room: Room, at: usize, d: i32, keys: i32): usize {
    const padded = (d + 7) & ~7;
    const rows = lines(ROWS * padded);
    const square = lines(ROWS * KEYS);
    const all = lines(((keys + 7) & ~7) * padded);
    room.begins = at;
    room.ends = room.begins + lines(ROWS);
    room.lse = room.ends + lines(ROWS);
    room.delta = room.lse + lines(ROWS);
    room.froms = room.delta + lines(ROWS);
    room.tos = room.froms + lines(ROWS / 4);
    room.q = room.tos + lines(ROWS / 4);
    room.qPanels = room.q + rows;
    room.g = room.qPanels + rows;
    room.gPanels = room.g + rows;
    room.dqRows = room.gPanels + rows;
    room.p = room.dqRows + rows;
    room.ds = room.p + square;
    room.dsPanels = room.ds + square;
    room.kColumns = room.dsPanels + square;
    room.vColumns = room.kColumns + all;
    room.kPanels = room.vColumns + all;
    room.dkRows = room.kPanels + all;
    room.dvRows = room.dkRows + all;
    return room.dvRows + all;
  }
}

const HEAD: usize = 256;

/** Bytes of one thread's room. */
export function backwardScratch(y: Tensor): usize {
  const padded = (dim(y, 3) + 7) & ~7;
  const keys = (y.i0 + dim(y, 1) + 7) & ~7;
  const statistics: usize = 4 * lines(ROWS) + 2 * lines(ROWS / 4);
  return (
    HEAD + statistics + 5 * lines(ROWS * padded) + 3 * lines(ROWS * KEYS) + 5 * lines(keys * padded)
  );
}

export function attentionBackward(y: Tensor, thread: i32, threads: i32): void {
  if (entangled(y)) {
    if (thread > 0) return;
    threads = 1;
  }
  const at = state().scratch + <usize>thread * backwardScratch(y);
  const u = changetype<Unit>(at);
  Unit.measure(u, y);
  const room = changetype<Room>(at + 128);
  room.unit = u;
  room.keys = Unit.end(u, u.rows - 1);
  room.paddedKeys = (room.keys + 7) & ~7;
  room.dq = gradient(source(y, 0));
  room.dk = gradient(source(y, 1));
  room.dv = gradient(source(y, 2));
  Room.layOut(room, at + HEAD, u.width, room.keys);
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
  const all = (<usize>(room.paddedKeys * u.padded)) << 2;
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

/** A block of rows against the keys [block, block + KEYS). */
function blockOfKeys(room: Room, rows: i32, block: i32): void {
  const u = room.unit;
  const step = (<usize>u.padded) << 2;
  const columns = (<usize>u.width) << 2;
  const differs = room.dq != 0 || room.dk != 0;
  const bytes = (<usize>(rows * KEYS)) << 2;
  memory.fill(room.p, 0, bytes);
  if (differs) memory.fill(room.ds, 0, bytes);
  let seen = block;
  for (let i = 0; i < rows; i += 4) {
    const at = (<usize>i) << 2;
    const from = max(block, least(room.begins + at)) & -8;
    const to = min(block + KEYS, most(room.ends + at));
    store<i32>(room.froms + <usize>i, from);
    store<i32>(room.tos + <usize>i, to);
    seen = max(seen, to);
    if (from >= to) continue;
    const q = room.qPanels + <usize>i * columns;
    const g = room.gPanels + <usize>i * columns;
    for (let key = from; key < to; key += 8) {
      const k = <usize>key * columns;
      const s = (<usize>(i * KEYS + key - block)) << 2;
      tile(4, 8, u.width, q, 16, room.kColumns + k, 32, room.p + s, KEYS << 2, false, 0);
      if (differs)
        tile(4, 8, u.width, g, 16, room.vColumns + k, 32, room.ds + s, KEYS << 2, false, 0);
    }
    probabilities(room, i, block, from, (to + 7) & -8);
  }
  if (room.dv != 0) keyProducts(room, rows, block, seen, room.p, room.g, room.dvRows);
  if (room.dk != 0) keyProducts(room, rows, block, seen, room.ds, room.q, room.dkRows);
  if (room.dq == 0) return;
  for (let i = 0; i < rows; i += 4) {
    const from = load<i32>(room.froms + <usize>i);
    const to = load<i32>(room.tos + <usize>i);
    if (from >= to) continue;
    const a = room.dsPanels + ((<usize>(i * KEYS + ((from - block) << 2))) << 2);
    let b = room.kPanels + ((<usize>from) << 5);
    const c = room.dqRows + <usize>i * step;
    for (let d: usize = 0; d < step; d += 32) {
      tile(4, 8, to - from, a, 16, b, 32, c + d, step, true, 0);
      b += (<usize>room.keys) << 5;
    }
  }
}

function least(at: usize): i32 {
  return min(min(load<i32>(at), load<i32>(at, 4)), min(load<i32>(at, 8), load<i32>(at, 12)));
}

function most(at: usize): i32 {
  return max(max(load<i32>(at), load<i32>(at, 4)), max(load<i32>(at, 8), load<i32>(at, 12)));
}

/** out [keys][padded] += left [rows][KEYS]ᵀ · right [rows][padded] for the keys [block, seen). */
// biome-ignore format: one operand a line
function keyProducts(
  room: Room, rows: i32, block: i32, seen: i32, left: usize, right: usize, out: usize,
): void {
  const step = <usize>room.unit.padded << 2;
  for (let key = block; key < seen; key += 4) {
    // The rows from the first to the last group of four that sees one of these keys.
    let first = 0;
    while (first < rows && misses(room, first, key)) first += 4;
    let last = rows;
    while (last > first && misses(room, last - 4, key)) last -= 4;
    if (first >= last) continue;
    const a = left + ((<usize>(first * KEYS + key - block)) << 2);
    const b = right + <usize>first * step;
    const c = out + <usize>key * step;
    for (let d: usize = 0; d < step; d += 32) {
      tile(4, 8, last - first, a, KEYS << 2, b + d, step, c + d, step, true, 0);
    }
  }
}

/** Do the four rows from `row` on see none of the keys [key, key + 4)? */
function misses(room: Room, row: i32, key: i32): bool {
  const to = load<i32>(room.tos + <usize>row);
  const from = load<i32>(room.froms + <usize>row);
  return key >= to || key + 4 <= from;
}

/** Four rows, keys [from, to) in multiples of four: scores become p, dp becomes ds, in rows and as panels. */
function probabilities(room: Room, row: i32, block: i32, from: i32, to: i32): void {
  const at = (<usize>row) << 2;
  const lse = room.lse + at;
  const delta = room.delta + at;
  const b0 = load<i32>(room.begins + at);
  const b1 = load<i32>(room.begins + at, 4);
  const b2 = load<i32>(room.begins + at, 8);
  const b3 = load<i32>(room.begins + at, 12);
  const e0 = load<i32>(room.ends + at);
  const e1 = load<i32>(room.ends + at, 4);
  const e2 = load<i32>(room.ends + at, 8);
  const e3 = load<i32>(room.ends + at, 12);
  const scale = f32x4.splat(room.unit.scale);
  const width: usize = KEYS << 2;
  const differs = room.dq != 0 || room.dk != 0;
  const wholeFrom = max(max(b0, b1), max(b2, b3));
  const wholeTo = min(min(e0, e1), min(e2, e3));
  let p = room.p + ((<usize>(row * KEYS + from - block)) << 2);
  let ds = room.ds + ((<usize>(row * KEYS + from - block)) << 2);
  let panel = room.dsPanels + ((<usize>(row * KEYS + ((from - block) << 2))) << 2);
  for (let key = from; key < to; key += 4) {
    let p0 = Vec.exp(f32x4.sub(f32x4.mul(v128.load(p), scale), v128.load32_splat(lse)));
    let p1 = Vec.exp(f32x4.sub(f32x4.mul(v128.load(p + width), scale), v128.load32_splat(lse, 4)));
    let p2 = Vec.exp(
      f32x4.sub(f32x4.mul(v128.load(p + 2 * width), scale), v128.load32_splat(lse, 8)),
    );
    let p3 = Vec.exp(
      f32x4.sub(f32x4.mul(v128.load(p + 3 * width), scale), v128.load32_splat(lse, 12)),
    );
    const masked = key < wholeFrom || key + 4 > wholeTo;
    const index = i32x4.add(i32x4.splat(key), v128.load(INTEGERS));
    if (masked) {
      p0 = v128.and(p0, Seen.lanes(index, b0, e0));
      p1 = v128.and(p1, Seen.lanes(index, b1, e1));
      p2 = v128.and(p2, Seen.lanes(index, b2, e2));
      p3 = v128.and(p3, Seen.lanes(index, b3, e3));
    }
    v128.store(p, p0);
    v128.store(p + width, p1);
    v128.store(p + 2 * width, p2);
    v128.store(p + 3 * width, p3);
    if (differs) {
      p0 = Seen.slope(p0, ds, delta, scale);
      p1 = Seen.slope(p1, ds + width, delta + 4, scale);
      p2 = Seen.slope(p2, ds + 2 * width, delta + 8, scale);
      p3 = Seen.slope(p3, ds + 3 * width, delta + 12, scale);
      if (masked) {
        p0 = v128.and(p0, Seen.lanes(index, b0, e0));
        p1 = v128.and(p1, Seen.lanes(index, b1, e1));
        p2 = v128.and(p2, Seen.lanes(index, b2, e2));
        p3 = v128.and(p3, Seen.lanes(index, b3, e3));
      }
      v128.store(ds, p0);
      v128.store(ds + width, p1);
      v128.store(ds + 2 * width, p2);
      v128.store(ds + 3 * width, p3);
      Transpose.store(panel, 16, p0, p1, p2, p3);
    }
    p += 16;
    ds += 16;
    panel += 64;
  }
}

class Seen {
  /** All ones where a key is one that the row sees. */
  // @ts-ignore: decorator
  @inline
  static lanes(index: v128, begin: i32, end: i32): v128 {
    return v128.and(i32x4.ge_s(index, i32x4.splat(begin)), i32x4.lt_s(index, i32x4.splat(end)));
  }

  /** scale·p·(dp − D). */
  // @ts-ignore: decorator
  @inline
  static slope(p: v128, dp: usize, delta: usize, scale: v128): v128 {
    return f32x4.mul(f32x4.mul(p, f32x4.sub(v128.load(dp), v128.load32_splat(delta))), scale);
  }
}
