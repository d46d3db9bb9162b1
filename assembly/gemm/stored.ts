// Weights W [N, K] of a storage type, `T` being its class (weights/). They lie in panels as those of panels.ts, of
// [K][8] elements, but the last panel has as many lanes as rows are left: they take the room of their rows.
// All widen in packing, for x·Wᵀ and for dY·W; a single row of x reads them in place (gemv.ts).

import { NR } from "./blocking";
import { Transpose } from "./pack";

/** Address of the panel of row n of W [., k]. */
function panelAt<T>(w: usize, k: i32, n: i32): usize {
  return w + ((<usize>(n & -NR) * <usize>k) << changetype<T>(0).shift());
}

/** dst [k][8] = `k` steps of a panel of `lanes` lanes, widened; the other lanes are zeros. */
export function widenPanel<T>(dst: usize, src: usize, lanes: i32, k: i32): void {
  const type = changetype<T>(0);
  const shift = type.shift();
  const end = dst + ((<usize>k) << 5);
  if (lanes == NR) {
    for (; dst < end; dst += 32) {
      const x = v128.load(src);
      const isRegular = type.areRegular(x);
      v128.store(dst, isRegular ? type.lowOf(x) : type.low(src));
      v128.store(dst, isRegular ? type.highOf(x) : type.high(src), 16);
      src += (<usize>NR) << shift;
    }
    return;
  }
  for (; dst < end; dst += 32) {
    for (let i = 0; i < NR; i++) {
      const at = dst + ((<usize>i) << 2);
      store<f32>(at, i < lanes ? type.one(src + ((<usize>i) << shift)) : 0);
    }
    src += (<usize>lanes) << shift;
  }
}

/** B panels [depth][8] of x·Wᵀ: steps k0 to k0 + depth − 1 of `n` rows of W [., k] that begin at `w`. */
export function packStored<T>(dst: usize, w: usize, k: i32, k0: i32, n: i32, depth: i32): void {
  const shift = changetype<T>(0).shift();
  for (let j = 0; j < n; j += NR) {
    const lanes = min(NR, n - j);
    const from = panelAt<T>(w, k, j) + ((<usize>k0 * <usize>lanes) << shift);
    widenPanel<T>(dst, from, lanes, depth);
    dst += (<usize>depth) << 5;
  }
}

/**
 * B panels [depth][8] of dY·W: rows n0 to n0 + depth − 1 of W [rows, k] and `columns` of its columns from k0 on; n0
 * and k0 are multiples of 8.
 */
export function packStoredT<T>(
  dst: usize,
  w: usize,
  k: i32,
  rows: i32,
  n0: i32,
  k0: i32,
  depth: i32,
  columns: i32,
): void {
  const type = changetype<T>(0);
  const shift = type.shift();
  const panel = (<usize>depth) << 5;
  const step = (<usize>NR) << shift;
  for (let i = 0; i < depth; i += NR) {
    const lanes = min(NR, rows - n0 - i);
    const steps = min(lanes, depth - i);
    let src = panelAt<T>(w, k, n0 + i) + ((<usize>k0 * <usize>lanes) << shift);
    let to = dst + ((<usize>i) << 5);
    for (let j = 0; j < columns; j += NR) {
      const width = min(NR, columns - j);
      if (steps == NR && width == NR) {
        for (let half: usize = 0; half < 2; half++) {
          const from = src + 4 * half * step;
          const r0 = from;
          const r1 = from + step;
          const r2 = r1 + step;
          const r3 = r2 + step;
          const at = to + (half << 4);
          // biome-ignore format: four rows
          Transpose.store(at, 32, type.low(r0), type.low(r1), type.low(r2), type.low(r3));
          // biome-ignore format: four rows
          Transpose.store(at + 128, 32, type.high(r0), type.high(r1), type.high(r2), type.high(r3));
        }
      } else {
        for (let s = 0; s < steps; s++) {
          for (let c = 0; c < NR; c++) {
            const from = src + ((<usize>(c * lanes + s)) << shift);
            store<f32>(to + ((<usize>(s * NR + c)) << 2), c < width ? type.one(from) : 0);
          }
        }
      }
      src += (<usize>(NR * lanes)) << shift;
      to += panel;
    }
  }
}

/** dst [k] = row n of W [rows, k], widened. */
export function widenRow<T>(dst: usize, w: usize, rows: i32, k: i32, n: i32): void {
  const type = changetype<T>(0);
  const shift = type.shift();
  const lanes = <usize>min(NR, rows - (n & -NR));
  let src = panelAt<T>(w, k, n) + ((<usize>(n & (NR - 1))) << shift);
  const end = dst + ((<usize>k) << 2);
  for (; dst < end; dst += 4) {
    store<f32>(dst, type.one(src));
    src += lanes << shift;
  }
}

/** Moves `count` rows of numbers of 16 bits, from row `first` of W [n, k] on, between `rows` and panels. */
export function moveHalves(
  panels: usize,
  rows: usize,
  n: i32,
  k: i32,
  first: i32,
  count: i32,
  toRows: bool,
): void {
  let row = rows;
  for (let j = first; j < first + count; j++) {
    const lanes = <usize>min(NR, n - (j & -NR));
    let at = panels + ((<usize>(j & -NR) * <usize>k + <usize>(j & (NR - 1))) << 1);
    for (let i = 0; i < k; i++) {
      if (toRows) store<u16>(row, load<u16>(at));
      else store<u16>(at, load<u16>(row));
      at += lanes << 1;
      row += 2;
    }
  }
}
