// One block of rows against one block of keys in the backward pass of attention (backward.ts), and the
// buffers of that pass. Keys lie in the lanes: p and ds [row][key] are the A operands of dv and dk as they stand; ds
// is also transposed, in registers, for dq. Groups of four rows skip the keys that none of them sees.

import { Transpose } from "../../gemm/pack";
import { tileRow } from "../../gemm/tileRow";
import { INTEGERS } from "../../math/constants";
import { expAll } from "../../math/exp";
import { bounded, lines } from "../../memory/size";
import { dim } from "../../tensor/tensor";
import { AttentionRecord, Four, KEYS, UNIT, Unit } from "./unit";

/** Rows of queries that are worked on at a time. A part of what dk and dv mean to the bit. */
export const ROWS: i32 = 64;

/** The buffers of one thread: R = ROWS, K all keys that are seen, D the width, in rows rounded up to eight. */
// @ts-ignore: decorator
@unmanaged
export class Room {
  unit: Unit;
  /** Keys that some row sees. */
  keys: i32;
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

  /** Bytes of room for rows of width d that see `keys` keys; `layOut` is its counterpart. */
  static bytes(d: i32, keys: i32): usize {
    const padded = (d + 7) & ~7;
    const fixed = HEAD + 4 * lines(ROWS, 1) + 2 * lines(ROWS / 4, 1) + 3 * lines(ROWS, KEYS);
    const rows: u64 = lines(ROWS, padded);
    const all: u64 = lines((keys + 7) & ~7, padded);
    return bounded(fixed + 5 * rows + 5 * all);
  }

  /** Lays the buffers out behind the record, whose unit and number of keys are known. */
  static layOut(room: Room): void {
    const rows = lines(ROWS, room.unit.padded);
    const square = lines(ROWS, KEYS);
    const all = lines((room.keys + 7) & ~7, room.unit.padded);
    room.begins = changetype<usize>(room) + HEAD;
    room.ends = room.begins + lines(ROWS, 1);
    room.lse = room.ends + lines(ROWS, 1);
    room.delta = room.lse + lines(ROWS, 1);
    room.froms = room.delta + lines(ROWS, 1);
    room.tos = room.froms + lines(ROWS / 4, 1);
    room.q = room.tos + lines(ROWS / 4, 1);
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
  }
}

const HEAD: usize = 128;

/** Bytes of room that one thread's backward pass needs. */
export function backwardRoom(y: AttentionRecord): usize {
  return bounded(<u64>UNIT + Room.bytes(dim(y, 3), y.offset + dim(y, 1)));
}

/** A block of rows against the keys [block, block + KEYS). */
export function blockOfKeys(room: Room, rows: i32, block: i32): void {
  const u = room.unit;
  const step = (<usize>u.padded) << 2;
  const columns = (<usize>u.width) << 2;
  const differs = room.dq != 0 || room.dk != 0;
  // Where rows see all keys up to their own, no product reads more than what is written below.
  if (u.starts != 0) {
    const bytes = (<usize>(rows * KEYS)) << 2;
    memory.fill(room.p, 0, bytes);
    if (differs) memory.fill(room.ds, 0, bytes);
  }
  let seen = block;
  for (let i = 0; i < rows; i += 4) {
    const at = (<usize>i) << 2;
    const from = max(block, Four.least(room.begins + at)) & -8;
    const to = min(block + KEYS, Four.most(room.ends + at));
    store<i32>(room.froms + <usize>i, from);
    store<i32>(room.tos + <usize>i, to);
    seen = max(seen, to);
    if (from >= to) continue;
    const q = room.qPanels + <usize>i * columns;
    const g = room.gPanels + <usize>i * columns;
    const n = to - from;
    const k = <usize>from * columns;
    const s = (<usize>(i * KEYS + from - block)) << 2;
    const panel = columns << 3;
    // biome-ignore format: one call a line
    tileRow(n, u.width, q, 16, room.kColumns + k, panel, 32, room.p + s, KEYS << 2, false);
    // biome-ignore format: one call a line
    if (differs) tileRow(n, u.width, g, 16, room.vColumns + k, panel, 32, room.ds + s, KEYS << 2, false);
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
    const b = room.kPanels + ((<usize>from) << 5);
    const c = room.dqRows + <usize>i * step;
    tileRow(u.padded, to - from, a, 16, b, (<usize>room.keys) << 5, 32, c, step, true);
  }
}

/** out [keys][padded] += left [rows][KEYS]ᵀ · right [rows][padded] for the keys [block, seen). */
// biome-ignore format: one operand a line
function keyProducts(
  room: Room, rows: i32, block: i32, seen: i32, left: usize, right: usize, out: usize,
): void {
  const step = <usize>room.unit.padded << 2;
  let first = 0;
  for (let key = block; key < seen; key += 4) {
    // The rows from the first to the last group of four that sees one of these keys; without starts the first ascends.
    if (room.unit.starts != 0) first = 0;
    while (first < rows && misses(room, first, key)) first += 4;
    let last = rows;
    while (last > first && misses(room, last - 4, key)) last -= 4;
    if (first >= last) continue;
    const a = left + ((<usize>(first * KEYS + key - block)) << 2);
    const b = right + <usize>first * step;
    const c = out + <usize>key * step;
    tileRow(room.unit.padded, last - first, a, KEYS << 2, b, 32, step, c, step, true);
  }
}

/** Do the four rows from `row` on see none of the keys [key, key + 4)? */
function misses(room: Room, row: i32, key: i32): bool {
  const to = load<i32>(room.tos + <usize>row);
  const from = load<i32>(room.froms + <usize>row);
  return key >= to || key + 4 <= from;
}

/** Four rows, keys [from, to) in multiples of eight: scores become p, dp becomes ds, in rows and as panels. */
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
  for (let i: usize = 0; i < 4; i++)
    weights(p + i * width, to - from, scale, load<f32>(lse + (i << 2)));
  for (let key = from; key < to; key += 4) {
    let p0 = v128.load(p);
    let p1 = v128.load(p + width);
    let p2 = v128.load(p + 2 * width);
    let p3 = v128.load(p + 3 * width);
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

/** p = e^(p·scale − lse), n keys of one row, a multiple of 8. */
function weights(p: usize, n: i32, scale: v128, lse: f32): void {
  const end = p + ((<usize>n) << 2);
  const less = f32x4.splat(lse);
  for (let at = p; at < end; at += 32) {
    const x0 = f32x4.sub(f32x4.mul(v128.load(at), scale), less);
    const x1 = f32x4.sub(f32x4.mul(v128.load(at, 16), scale), less);
    v128.store(at, x0);
    v128.store(at, x1, 16);
  }
  expAll(p, p, end);
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
