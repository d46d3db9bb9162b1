// Causal attention with grouped heads (Vaswani et al. 2017, arXiv:1706.03762, eq. 1; Ainslie et al. 2023) and the
// online softmax of FlashAttention (Dao et al. 2022, arXiv:2205.14135): no T×T matrix is kept.
//   s = scale·q·kᵀ     p = softmax(s) over the keys that the query sees     y = p·v
//   q, y [B, Tq, H, D]     k, v [B, Tk, G, D]     starts int32 [B, Tq], optional: the first key that each query sees
// Query t stands at key offset + t and sees nothing behind it: keys from offset + Tq on are never read.
//
// Eight rows at a time, against blocks of KEYS keys: m is the largest score so far, l the sum of exp(s − m), o the
// sum of exp(s − m)·v. Scores lie with the rows in the lanes, [key][8]: maxima and sums go down the lanes, and the
// block is the A operand of P·V as it stands. A block adds its own sums, taken from zero in key order (l by key
// mod 4), after o and l were multiplied by exp(m before − m), which is exactly 1 where m did not change. Masked
// keys get p = 0. So a row's bits depend on its keys alone: a row decoded with a cache is that row of the whole.
//
// Attributes: i0 offset   f0 scale.   Saved: m + log l, [B, H, Tq].

import { INFINITE } from "../constants";
import { packA, packB } from "../gemm/pack";
import { A_ROWS, B_COLS, B_ROWS } from "../gemm/policy";
import { tile } from "../gemm/tile";
import { Job } from "../job";
import { Vec } from "../math";
import { addWork } from "../parallel";
import { state } from "../state";
import { dim, source, Tensor } from "../tensor";
import { backwardScratch } from "./attentionBackward";
import { attentionRow, rowRoom } from "./attentionRow";
import { KEYS, lines, Unit } from "./attentionUnit";

/** Rows of a panel. */
const ROWS: i32 = 8;
/** Up to so many rows a unit are worked on one by one, k and v read where they lie: what decoding does. */
const FEW: i32 = 3;

// A thread's room: | unit | begin [8] | end [8] | m [8] | l [8] | scores [64][8] | three of [8][padded] | k, v |
const BEGIN: usize = 128;
const END: usize = 160;
const M: usize = 192;
const L: usize = 224;
const SCORES: usize = 256;
const QUERIES: usize = SCORES + 64 * 32;

class Room {
  static bytes(y: Tensor): usize {
    const d = dim(y, 3);
    const padded = (d + 7) & ~7;
    const keys = y.i0 + dim(y, 1) + 3;
    const rows = dim(y, 1) * (dim(y, 2) / dim(source(y, 1), 2));
    const operands = rows <= FEW ? rowRoom(d) : lines(keys * d) + lines(keys * padded);
    return QUERIES + 3 * lines(ROWS * padded) + operands;
  }
  /** A row of queries, gathered: [8][padded]. */
  // @ts-ignore: decorator
  @inline
  static gathered(u: Unit): usize {
    return changetype<usize>(u) + QUERIES + lines(ROWS * u.padded);
  }
  /** o [8][padded]. */
  // @ts-ignore: decorator
  @inline
  static output(u: Unit): usize {
    return changetype<usize>(u) + QUERIES + 2 * lines(ROWS * u.padded);
  }
  /** Panels of keys [D][4] and behind them panels of values [keys][8]. */
  // @ts-ignore: decorator
  @inline
  static operands(u: Unit): usize {
    return changetype<usize>(u) + QUERIES + 3 * lines(ROWS * u.padded);
  }
}

/** log-sum-exp of every query's scores, [B, H, Tq]. */
export function attentionSaved(y: Tensor): usize {
  return (<usize>(dim(y, 0) * dim(y, 1) * dim(y, 2))) << 2;
}

export function attentionScratch(y: Tensor, job: Job, threads: i32): usize {
  return <usize>threads * (job == Job.Forward ? Room.bytes(y) : backwardScratch(y));
}

export function attentionNanoseconds(y: Tensor, job: Job): f64 {
  const queries = <f64>dim(y, 1);
  const pairs = <f64>(dim(y, 0) * dim(y, 2)) * queries * (<f64>y.i0 + (queries + 1) / 2);
  const one = pairs * (<f64>dim(y, 3) / 6 + 1);
  return job == Job.Forward ? one : 2.5 * one;
}

export function attentionForward(y: Tensor, thread: i32, threads: i32): void {
  const u = changetype<Unit>(state().scratch + <usize>thread * Room.bytes(y));
  Unit.measure(u, y);
  const panels = (u.rows + ROWS - 1) / ROWS;
  const end = border(u, Unit.count(y), panels, thread + 1, threads);
  let at = border(u, Unit.count(y), panels, thread, threads);
  addWork(thread, <u64>(end - at) * <u64>(ROWS * u.width));
  while (at < end) {
    const unit = at / panels;
    const first = at - unit * panels;
    const last = min(panels, first + end - at);
    Unit.place(u, y, unit);
    if (u.rows <= FEW) {
      for (let r = 0; r < u.rows; r++) attentionRow(u, y, r, Room.operands(u));
    } else forwardPanels(u, y, first, last);
    at += last - first;
  }
}

/**
 * Where a thread's share begins, as unit · panels + panel: a panel counts by the keys that it sees. Panels of one
 * unit may go to several threads; each row is computed whole by one of them.
 */
function border(u: Unit, units: i32, panels: i32, thread: i32, threads: i32): i32 {
  let whole: i64 = 0;
  for (let p = 0; p < panels; p++) whole += Unit.end(u, min(u.rows, (p + 1) * ROWS) - 1);
  const target = (whole * units * thread) / threads;
  let rest = target % whole;
  let panel = 0;
  for (; panel < panels; panel++) {
    const keys = Unit.end(u, min(u.rows, (panel + 1) * ROWS) - 1);
    if (rest < keys) break;
    rest -= keys;
  }
  return <i32>(target / whole) * panels + panel;
}

/** Rows [8·first, 8·last) of a unit. */
function forwardPanels(u: Unit, y: Tensor, first: i32, last: i32): void {
  const keys = Unit.end(u, min(u.rows, last * ROWS) - 1);
  const ld = <i32>(u.keyStep >> 2);
  const k = Room.operands(u);
  const v = k + lines((keys + 3) * u.width);
  packA(k, source(y, 1).data + u.keyAt, A_ROWS, ld, keys, u.width);
  packB(v, source(y, 2).data + u.keyAt, B_ROWS, ld, keys, u.width);
  for (let p = first; p < last; p++) forwardPanel(u, y, p * ROWS, k, v, keys);
}

/** Rows [row, row + 8) of a unit, or as many as there are; k and v are packed, v's panels have `keys` steps. */
function forwardPanel(u: Unit, y: Tensor, row: i32, k: usize, v: usize, keys: i32): void {
  const room = changetype<usize>(u);
  const count = min(ROWS, u.rows - row);
  const queries = room + QUERIES;
  const gathered = Room.gathered(u);
  const output = Room.output(u);
  const step = (<usize>u.padded) << 2;
  for (let i = 0; i < ROWS; i++) {
    // Lanes without a row repeat the last one.
    const r = row + min(i, count - 1);
    store<i32>(room + ((<usize>i) << 2), Unit.begin(u, r), BEGIN);
    store<i32>(room + ((<usize>i) << 2), Unit.end(u, r), END);
    Unit.gather(u, gathered + <usize>i * step, Unit.row(u, source(y, 0).data, r));
  }
  packB(queries, gathered, B_COLS, u.padded, u.width, ROWS);
  v128.store(room, f32x4.splat(-f32.MAX_VALUE), M);
  v128.store(room, f32x4.splat(-f32.MAX_VALUE), M + 16);
  v128.store(room, f32x4.splat(0), L);
  v128.store(room, f32x4.splat(0), L + 16);
  memory.fill(output, 0, <usize>ROWS * step);

  const begin0 = least(room + BEGIN);
  const begin1 = least(room + BEGIN + 16);
  const begin = min(begin0, begin1);
  const wholeFrom = max(most(room + BEGIN), most(room + BEGIN + 16));
  const end0 = load<i32>(room, END + 12);
  const end = load<i32>(room, END + 28);
  const wholeTo = load<i32>(room, END);
  for (let block = begin & -KEYS; block < end; block += KEYS) {
    const from = max(begin, block) & -4;
    const to = min(end, block + KEYS);
    const scores = room + SCORES;
    for (let key = from; key < to; key += 4) {
      const at = scores + ((<usize>(key - block)) << 5);
      tile(4, 8, u.width, k + ((<usize>(key * u.width)) << 2), 16, queries, 32, at, 32, false, 0);
    }
    const masked = from < wholeFrom || ((to + 3) & -4) > wholeTo;
    halfPanel(u, 0, block, from, max(begin0, block), min(end0, to), masked, v, keys);
    halfPanel(u, 16, block, from, max(begin1, block), to, masked, v, keys);
  }
  finish(u, y, row, count);
}

function least(at: usize): i32 {
  return min(min(load<i32>(at), load<i32>(at, 4)), min(load<i32>(at, 8), load<i32>(at, 12)));
}

function most(at: usize): i32 {
  return max(max(load<i32>(at), load<i32>(at, 4)), max(load<i32>(at, 8), load<i32>(at, 12)));
}

/** One block of keys for four rows, the lanes at byte `half`: those keys of [from, to) that any of the rows sees. */
// biome-ignore format: one operand a line
function halfPanel(
  u: Unit, half: usize, block: i32, from: i32, begin: i32, end: i32, masked: bool, v: usize, keys: i32,
): void {
  if (begin >= end) return;
  const room = changetype<usize>(u);
  const step = <usize>u.padded << 2;
  const output = Room.output(u) + (half >> 2) * step;
  const scores = room + SCORES + half;
  soften(room + half, scores + (<usize>(from - block) << 5), from, end, u.scale, masked, output, step);
  const a = scores + (<usize>(begin - block) << 5);
  let b = v + (<usize>begin << 5);
  for (let d: usize = 0; d < step; d += 32) {
    tile(4, 8, end - begin, a, 32, b, 32, output + d, step, true, 0);
    b += <usize>keys << 5;
  }
}

/**
 * Scores at s, from key `from` (a multiple of 4) up to `end` or a little further, become exp(scale·s − m); m, l and
 * o follow. `row` is the room at the lanes of these four rows.
 */
// biome-ignore format: one operand a line
function soften(
  row: usize, s: usize, from: i32, end: i32, scale: f32, masked: bool, output: usize, step: usize,
): void {
  const factor = f32x4.splat(scale);
  const before = v128.load(row, M);
  const last = s + (<usize>((end - from + 3) & -4) << 5);
  let m = before;
  let at = s;
  if (masked) {
    const none = f32x4.neg(v128.load(INFINITE));
    const begins = v128.load(row, BEGIN);
    const ends = v128.load(row, END);
    let key = from;
    do {
      const index = i32x4.splat(key);
      const seen = v128.and(i32x4.ge_s(index, begins), i32x4.lt_s(index, ends));
      const x = v128.bitselect(f32x4.mul(v128.load(at), factor), none, seen);
      v128.store(at, x);
      m = f32x4.pmax(m, x);
      key += 1;
      at += 32;
    } while (at < last);
  } else {
    do {
      const x = f32x4.mul(v128.load(at), factor);
      v128.store(at, x);
      m = f32x4.pmax(m, x);
      at += 32;
    } while (at < last);
  }
  let l0 = f32x4.splat(0);
  let l1 = f32x4.splat(0);
  let l2 = f32x4.splat(0);
  let l3 = f32x4.splat(0);
  at = s;
  do {
    const p0 = Vec.exp(f32x4.sub(v128.load(at), m));
    const p1 = Vec.exp(f32x4.sub(v128.load(at, 32), m));
    const p2 = Vec.exp(f32x4.sub(v128.load(at, 64), m));
    const p3 = Vec.exp(f32x4.sub(v128.load(at, 96), m));
    v128.store(at, p0);
    v128.store(at, p1, 32);
    v128.store(at, p2, 64);
    v128.store(at, p3, 96);
    l0 = f32x4.add(l0, p0);
    l1 = f32x4.add(l1, p1);
    l2 = f32x4.add(l2, p2);
    l3 = f32x4.add(l3, p3);
    at += 128;
  } while (at < last);
  const l = f32x4.add(f32x4.add(l0, l2), f32x4.add(l1, l3));
  if (!v128.any_true(f32x4.ne(before, m))) {
    v128.store(row, f32x4.add(v128.load(row, L), l), L);
    return;
  }
  const shrink = Vec.exp(f32x4.sub(before, m));
  v128.store(row, m, M);
  v128.store(row, f32x4.add(f32x4.mul(v128.load(row, L), shrink), l), L);
  const s0 = v128.shuffle<f32>(shrink, shrink, 0, 0, 0, 0);
  const s1 = v128.shuffle<f32>(shrink, shrink, 1, 1, 1, 1);
  const s2 = v128.shuffle<f32>(shrink, shrink, 2, 2, 2, 2);
  const s3 = v128.shuffle<f32>(shrink, shrink, 3, 3, 3, 3);
  const o1 = output + step;
  const o2 = o1 + step;
  const o3 = o2 + step;
  for (let d: usize = 0; d < step; d += 16) {
    v128.store(output + d, f32x4.mul(v128.load(output + d), s0));
    v128.store(o1 + d, f32x4.mul(v128.load(o1 + d), s1));
    v128.store(o2 + d, f32x4.mul(v128.load(o2 + d), s2));
    v128.store(o3 + d, f32x4.mul(v128.load(o3 + d), s3));
  }
}

/** y = o / l and the statistics of the first `count` rows of a panel. */
function finish(u: Unit, y: Tensor, row: i32, count: i32): void {
  const room = changetype<usize>(u);
  let o = Room.output(u);
  for (let i = 0; i < count; i++) {
    const l = v128.load32_splat(room + L + ((<usize>i) << 2));
    const to = Unit.row(u, y.data, row + i);
    for (let d = 0; d < u.padded; d += 4) {
      const at = (<usize>d) << 2;
      const x = f32x4.div(v128.load(o + at), l);
      if (d + 4 <= u.width) v128.store(to + at, x);
      else {
        v128.store(o + at, x);
        for (let e = d; e < u.width; e++) {
          store<f32>(to + ((<usize>e) << 2), load<f32>(o + ((<usize>e) << 2)));
        }
      }
    }
    o += (<usize>u.padded) << 2;
  }
  v128.store(room, f32x4.add(v128.load(room, M), Vec.log(v128.load(room, L))), M);
  v128.store(room, f32x4.add(v128.load(room, M + 16), Vec.log(v128.load(room, L + 16))), M + 16);
  for (let i = 0; i < count; i++) {
    store<f32>(Unit.statistic(u, y, row + i), load<f32>(room + ((<usize>i) << 2), M));
  }
}
