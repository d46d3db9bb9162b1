// Attention of one row, keys in the lanes, k and v read where they lie: what a decoded token costs. The same sums
// in the same order as a panel of eight rows (attention.ts), so the same bits; decoding with a cache rests on it.

import { B_COLS, B_ROWS } from "../../gemm/blocking";
import { gemv } from "../../gemm/gemv";
import { exp32, log32, Vec } from "../../math/functions";
import { Simd } from "../../math/simd";
import { dim, source, Tensor } from "../../tensor/tensor";
import { KEYS, Unit } from "./unit";

/** Bytes of room: scores [KEYS] | the GEMV's: 128 bytes and one panel of D or KEYS steps |. */
export function rowRoom(width: i32): usize {
  return ((<usize>KEYS) << 2) + 128 + ((<usize>max(width, KEYS)) << 5);
}

/** Row r of a unit: y and its statistic. */
export function attentionRow(u: Unit, y: Tensor, r: i32, room: usize): void {
  const d = u.width;
  const ld = <i32>(u.keyStep >> 2);
  const q = Unit.row(u, source(y, 0).data, r);
  const o = Unit.row(u, y.data, r);
  const k = source(y, 1).data + u.keyAt;
  const v = source(y, 2).data + u.keyAt;
  const begin = Unit.begin(u, r);
  const end = Unit.end(u, r);
  const s = room;
  const products = room + ((<usize>KEYS) << 2);
  let m: f32 = -f32.MAX_VALUE;
  let l: f32 = 0;
  for (let block = begin & -KEYS; block < end; block += KEYS) {
    const from = max(begin, block);
    const count = min(end, block + KEYS) - from;
    const keys = k + <usize>from * u.keyStep;
    const whole = count & -16;
    if (whole > 0) gemv(1, whole, d, d, q, 0, 4, keys, B_COLS, ld, s, 0, false, products);
    if (whole < count) {
      // Fewer than sixteen would have to be packed: so the last sixteen, some of them again, or if there are no more, with
      // some behind them that are not seen, as far as there is room. What those give is written over.
      const first = max(0, count - 16);
      const some = min(16, dim(source(y, 1), 1) - from);
      const at = (<usize>first) << 2;
      // biome-ignore format: one operand after the other
      gemv(1, some, d, d, q, 0, 4, keys + <usize>first * u.keyStep, B_COLS, ld, s + at, 0, false, products);
    }
    scaleRow(s, count, u.scale);
    const last = s + ((<usize>((count + 3) & -4)) << 2);
    for (let at = s + ((<usize>count) << 2); at < last; at += 4) store<f32>(at, -Infinity);
    const larger = largest(s, last, m);
    const sum = exponentials(s, last, larger);
    if (larger != m) {
      const shrink = exp32(m - larger);
      l *= shrink;
      if (block > begin) scaleRow(o, d, shrink);
      m = larger;
    }
    l += sum;
    const values = v + <usize>from * u.keyStep;
    gemv(1, d, count, KEYS, s, 0, 4, values, B_ROWS, ld, o, 0, block > begin, products);
  }
  divideRow(o, d, l);
  store<f32>(Unit.statistic(u, y, r), m + log32(l));
}

/** The largest of m and the scores [s, last), NaN left aside. */
function largest(s: usize, last: usize, m: f32): f32 {
  let most = f32x4.splat(m);
  do {
    most = f32x4.pmax(most, v128.load(s));
    s += 16;
  } while (s < last);
  return Simd.max(most);
}

/**
 * Scores [s, last) become exp(score − m); returns their sum. Every fourth is added up, then the sums in pairs two
 * apart: the same bits whichever of them the first key belongs to.
 */
function exponentials(s: usize, last: usize, m: f32): f32 {
  const most = f32x4.splat(m);
  let sum = f32x4.splat(0);
  do {
    const p = Vec.exp(f32x4.sub(v128.load(s), most));
    v128.store(s, p);
    sum = f32x4.add(sum, p);
    s += 16;
  } while (s < last);
  return Simd.sum(sum);
}

/** x [d] *= factor. */
function scaleRow(x: usize, d: i32, factor: f32): void {
  let i = 0;
  for (; i + 4 <= d; i += 4) {
    v128.store(x, f32x4.mul(v128.load(x), f32x4.splat(factor)));
    x += 16;
  }
  for (; i < d; i++) {
    store<f32>(x, load<f32>(x) * factor);
    x += 4;
  }
}

/** x [d] /= divisor. */
function divideRow(x: usize, d: i32, divisor: f32): void {
  let i = 0;
  for (; i + 4 <= d; i += 4) {
    v128.store(x, f32x4.div(v128.load(x), f32x4.splat(divisor)));
    x += 16;
  }
  for (; i < d; i++) {
    store<f32>(x, load<f32>(x) / divisor);
    x += 4;
  }
}
