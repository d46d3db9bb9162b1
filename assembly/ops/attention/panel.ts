// The forward pass of attention (attention.ts) for panels of eight rows. Scores lie with the rows in the lanes,
// [key][8], the product of keys as A and queries as B: maxima and sums go down the lanes without a shuffle, and the
// exponentials are the A operand of P·V as they stand, a half panel of four rows at a time.

import { A_ROWS, B_COLS, B_ROWS } from "../../gemm/blocking";
import { packA, packB } from "../../gemm/pack";
import { tile } from "../../gemm/tile";
import { tileRow } from "../../gemm/tileRow";
import { INFINITE } from "../../math/constants";
import { Vec } from "../../math/functions";
import { bounded, lines } from "../../memory/size";
import { source, Tensor } from "../../tensor/tensor";
import { Four, KEYS, Unit } from "./unit";

/** Rows of a panel. */
export const PANEL: i32 = 8;

// @ts-ignore: decorator
@unmanaged
class Room {
  unit: Unit;
  /** Keys that are packed. */
  keys: i32;
  /** Keys that each row sees: [begin, end), i32 [8]. */
  begins: usize;
  ends: usize;
  /** m and l [8]. */
  largest: usize;
  sums: usize;
  /** Scores, then p [KEYS][8]. */
  scores: usize;
  /** The rows of q [8][padded], and as a panel [D][8]. */
  rows: usize;
  queries: usize;
  /** o [8][padded]. */
  output: usize;
  /** k as panels [D][4], v as panels [keys][8]. */
  k: usize;
  v: usize;
}

const HEAD: usize = 64;

/** Bytes of room for panels of rows of width d that see `keys` keys. */
export function panelRoom(d: i32, keys: i32): usize {
  const padded = (d + 7) & ~7;
  const packed = <u64>lines(keys + 3, d) + <u64>lines(keys, padded);
  return bounded(HEAD + 4 * 64 + lines(KEYS, PANEL) + 3 * <u64>lines(PANEL, padded) + packed);
}

function layOut(room: Room): void {
  const u = room.unit;
  const panel = lines(PANEL, u.padded);
  room.begins = changetype<usize>(room) + HEAD;
  room.ends = room.begins + 64;
  room.largest = room.ends + 64;
  room.sums = room.largest + 64;
  room.scores = room.sums + 64;
  room.rows = room.scores + lines(KEYS, PANEL);
  room.queries = room.rows + panel;
  room.output = room.queries + panel;
  room.k = room.output + panel;
  room.v = room.k + lines(room.keys + 3, u.width);
}

/** Rows [8·first, 8·last) of a unit, as many as there are. */
export function forwardPanels(u: Unit, y: Tensor, first: i32, last: i32, at: usize): void {
  const room = changetype<Room>(at);
  room.unit = u;
  room.keys = Unit.end(u, min(u.rows, last * PANEL) - 1);
  layOut(room);
  const ld = <i32>(u.keyStep >> 2);
  packA(room.k, source(y, 1).data + u.keyAt, A_ROWS, ld, room.keys, u.width);
  packB(room.v, source(y, 2).data + u.keyAt, B_ROWS, ld, room.keys, u.width);
  for (let p = first; p < last; p++) forwardPanel(room, y, p * PANEL);
}

/** Rows [row, row + 8) of a unit, as many as there are. */
function forwardPanel(room: Room, y: Tensor, row: i32): void {
  const u = room.unit;
  const count = min(PANEL, u.rows - row);
  const step = (<usize>u.padded) << 2;
  for (let i = 0; i < PANEL; i++) {
    // Lanes without a row repeat the last one.
    const r = row + min(i, count - 1);
    store<i32>(room.begins + ((<usize>i) << 2), Unit.begin(u, r));
    store<i32>(room.ends + ((<usize>i) << 2), Unit.end(u, r));
    Unit.gather(u, room.rows + <usize>i * step, Unit.row(u, source(y, 0).data, r));
  }
  packB(room.queries, room.rows, B_COLS, u.padded, u.width, PANEL);
  const least = f32x4.splat(-f32.MAX_VALUE);
  v128.store(room.largest, least);
  v128.store(room.largest, least, 16);
  memory.fill(room.sums, 0, 32);
  memory.fill(room.output, 0, <usize>PANEL * step);

  const begin0 = Four.least(room.begins);
  const begin1 = Four.least(room.begins + 16);
  const begin = min(begin0, begin1);
  const wholeFrom = max(Four.most(room.begins), Four.most(room.begins + 16));
  // Ends ascend.
  const wholeTo = load<i32>(room.ends);
  const end0 = load<i32>(room.ends, 12);
  const end = load<i32>(room.ends, 28);
  for (let block = begin & -KEYS; block < end; block += KEYS) {
    const from = max(begin, block) & -4;
    const to = min(end, block + KEYS);
    let k = room.k + ((<usize>(from * u.width)) << 2);
    for (let key = from; key < to; key += 4) {
      const s = room.scores + ((<usize>(key - block)) << 5);
      tile(4, 8, u.width, k, 16, room.queries, 32, s, 32, false, 0);
      k += (<usize>u.width) << 4;
    }
    const masked = from < wholeFrom || ((to + 3) & -4) > wholeTo;
    halfPanel(room, 0, block, from, max(begin0, block), min(end0, to), masked);
    halfPanel(room, 16, block, from, max(begin1, block), to, masked);
  }
  finish(room, y, row, count);
}

/**
 * A block of keys for four rows, whose lanes lie `half` bytes into a panel's: scores are there from key `from` on,
 * and the rows see keys [begin, end) of the block at most.
 */
// biome-ignore format: one operand a line
function halfPanel(
  room: Room, half: usize, block: i32, from: i32, begin: i32, end: i32, masked: bool,
): void {
  if (begin >= end) return;
  const u = room.unit;
  const step = (<usize>u.padded) << 2;
  const output = room.output + (half >> 2) * step;
  const scores = room.scores + half;
  const first = scores + ((<usize>(from - block)) << 5);
  const last = first + ((<usize>((end - from + 3) & -4)) << 5);
  const largest = room.largest + half;
  const sums = room.sums + half;
  const before = v128.load(largest);
  const m = masked
    ? largestSeen(room, half, from, first, last, before)
    : largestOfAll(u.scale, first, last, before);
  const sum = exponentials(first, last, m);
  if (v128.any_true(f32x4.ne(before, m))) {
    const shrink = Vec.exp(f32x4.sub(before, m));
    v128.store(largest, m);
    v128.store(sums, f32x4.add(f32x4.mul(v128.load(sums), shrink), sum));
    scaleRows(output, step, shrink);
  } else v128.store(sums, f32x4.add(v128.load(sums), sum));
  const p = scores + ((<usize>(begin - block)) << 5);
  const v = room.v + ((<usize>begin) << 5);
  tileRow(u.padded, end - begin, p, 32, v, (<usize>room.keys) << 5, 32, output, step, true);
}

/** Multiplies the scores of four rows by scale; the largest of them and m, NaN left aside. */
function largestOfAll(scale: f32, s: usize, last: usize, m: v128): v128 {
  const factor = f32x4.splat(scale);
  do {
    const x = f32x4.mul(v128.load(s), factor);
    v128.store(s, x);
    m = f32x4.pmax(m, x);
    s += 32;
  } while (s < last);
  return m;
}

/** The same where some row does not see some key: such scores become −∞. */
function largestSeen(room: Room, half: usize, from: i32, s: usize, last: usize, m: v128): v128 {
  const factor = f32x4.splat(room.unit.scale);
  const none = f32x4.neg(v128.load(INFINITE));
  const begins = v128.load(room.begins + half);
  const ends = v128.load(room.ends + half);
  do {
    const key = i32x4.splat(from);
    const seen = v128.and(i32x4.ge_s(key, begins), i32x4.lt_s(key, ends));
    const x = v128.bitselect(f32x4.mul(v128.load(s), factor), none, seen);
    v128.store(s, x);
    m = f32x4.pmax(m, x);
    from += 1;
    s += 32;
  } while (s < last);
  return m;
}

/** Scores of four rows become exp(score − m); their sums, by key mod 4. */
function exponentials(s: usize, last: usize, m: v128): v128 {
  let l0 = f32x4.splat(0);
  let l1 = f32x4.splat(0);
  let l2 = f32x4.splat(0);
  let l3 = f32x4.splat(0);
  do {
    const p0 = Vec.exp(f32x4.sub(v128.load(s), m));
    const p1 = Vec.exp(f32x4.sub(v128.load(s, 32), m));
    const p2 = Vec.exp(f32x4.sub(v128.load(s, 64), m));
    const p3 = Vec.exp(f32x4.sub(v128.load(s, 96), m));
    v128.store(s, p0);
    v128.store(s, p1, 32);
    v128.store(s, p2, 64);
    v128.store(s, p3, 96);
    l0 = f32x4.add(l0, p0);
    l1 = f32x4.add(l1, p1);
    l2 = f32x4.add(l2, p2);
    l3 = f32x4.add(l3, p3);
    s += 128;
  } while (s < last);
  return f32x4.add(f32x4.add(l0, l2), f32x4.add(l1, l3));
}

/** Multiplies each of four rows, `step` bytes long, by its lane of `factors`. */
function scaleRows(row: usize, step: usize, factors: v128): void {
  const f0 = v128.shuffle<f32>(factors, factors, 0, 0, 0, 0);
  const f1 = v128.shuffle<f32>(factors, factors, 1, 1, 1, 1);
  const f2 = v128.shuffle<f32>(factors, factors, 2, 2, 2, 2);
  const f3 = v128.shuffle<f32>(factors, factors, 3, 3, 3, 3);
  const row1 = row + step;
  const row2 = row1 + step;
  const row3 = row2 + step;
  for (let d: usize = 0; d < step; d += 16) {
    v128.store(row + d, f32x4.mul(v128.load(row + d), f0));
    v128.store(row1 + d, f32x4.mul(v128.load(row1 + d), f1));
    v128.store(row2 + d, f32x4.mul(v128.load(row2 + d), f2));
    v128.store(row3 + d, f32x4.mul(v128.load(row3 + d), f3));
  }
}

/** y = o / l and the statistics m + log l of the first `count` rows of a panel. */
function finish(room: Room, y: Tensor, row: i32, count: i32): void {
  const u = room.unit;
  const m = room.largest;
  const l = room.sums;
  let o = room.output;
  for (let i = 0; i < count; i++) {
    const sum = v128.load32_splat(l + ((<usize>i) << 2));
    const to = Unit.row(u, y.data, row + i);
    for (let d = 0; d < u.padded; d += 4) {
      const at = (<usize>d) << 2;
      const x = f32x4.div(v128.load(o + at), sum);
      v128.store(o + at, x);
      if (d + 4 <= u.width) v128.store(to + at, x);
    }
    for (let d = u.width & ~3; d < u.width; d++) {
      const at = (<usize>d) << 2;
      store<f32>(to + at, load<f32>(o + at));
    }
    o += (<usize>u.padded) << 2;
  }
  v128.store(m, f32x4.add(v128.load(m), Vec.log(v128.load(l))));
  v128.store(m, f32x4.add(v128.load(m, 16), Vec.log(v128.load(l, 16))), 16);
  for (let i = 0; i < count; i++) {
    store<f32>(Unit.statistic(u, y, row + i), load<f32>(m + ((<usize>i) << 2)));
  }
}
