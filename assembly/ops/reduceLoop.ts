// Loops with sums (or maxima, see functor.ts): dst[i] += the sum of the terms of all elements that element i was
// broadcast to, or that a reduction folds into it. Two iterators: `kept` over the elements of dst, `folded` over what is
// summed for each. First stride: g and y; second: o; third (kept only): dst and x, which lie dense.
//
//   columns  the innermost axis is kept: sums run down, one accumulator per column, in the order of the rows
//   rows     the innermost axis is folded: 16 lanes over each run of it, then (0 + 2) + (1 + 3) of them, then the
//            rest one by one; runs are added in order. The pattern depends on the length of the run alone
//
// A sum is one thread's, so slices do not change bits.

import { Simd } from "../math/simd";
import { StridedIterator } from "../tensor/strides";
import { Term, Terms } from "./functor";

class Down {
  // Sixteen neighbouring columns: dst and x at the first of them, g, y, o at its first row. o is a row that lies like
  // g, or one number a row when `spread`.
  // @ts-ignore: decorator
  @inline
  static block(
    kind: Term,
    spread: bool,
    dst: usize,
    g: usize,
    y: usize,
    o: usize,
    x: usize,
    folded: StridedIterator,
  ): void {
    let s0 = Terms.start(kind);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    const gRow: usize = folded.rank == 0 ? 0 : (<usize>folded.axis(0).a) << 2;
    const oRow: usize = folded.rank == 0 ? 0 : (<usize>folded.axis(0).b) << 2;
    folded.seek(1, 0);
    for (let run = folded.count(1); run > 0; run--) {
      const gAt = (<usize>folded.a) << 2;
      let gp = g + gAt;
      let yp = y + gAt;
      let op = o + ((<usize>folded.b) << 2);
      for (let k = folded.width(); k > 0; k--) {
        const from = spread ? folded.repeat(0, op) : op;
        s0 = Terms.fold(kind, s0, Terms.four(kind, gp, yp, from, x, 0));
        s1 = Terms.fold(kind, s1, Terms.four(kind, gp, yp, from, x, 16));
        s2 = Terms.fold(kind, s2, Terms.four(kind, gp, yp, from, x, 32));
        s3 = Terms.fold(kind, s3, Terms.four(kind, gp, yp, from, x, 48));
        gp += gRow;
        yp += gRow;
        op += oRow;
      }
      folded.next(1);
    }
    v128.store(dst, Terms.fold(kind, v128.load(dst), s0));
    v128.store(dst, Terms.fold(kind, v128.load(dst, 16), s1), 16);
    v128.store(dst, Terms.fold(kind, v128.load(dst, 32), s2), 32);
    v128.store(dst, Terms.fold(kind, v128.load(dst, 48), s3), 48);
  }
}

// One column of what Down.block does: for the last few, which are rarely worth more code.
function column(
  kind: Term,
  dst: usize,
  g: usize,
  y: usize,
  o: usize,
  x: usize,
  folded: StridedIterator,
): void {
  const least = kind == Term.Largest ? Terms.start(Term.Largest) : Terms.start(Term.Plain);
  let sum = f32x4.extract_lane(least, 0);
  const gRow: usize = folded.rank == 0 ? 0 : (<usize>folded.axis(0).a) << 2;
  const oRow: usize = folded.rank == 0 ? 0 : (<usize>folded.axis(0).b) << 2;
  folded.seek(1, 0);
  for (let run = folded.count(1); run > 0; run--) {
    const gAt = (<usize>folded.a) << 2;
    let gp = g + gAt;
    let yp = y + gAt;
    let op = o + ((<usize>folded.b) << 2);
    for (let k = folded.width(); k > 0; k--) {
      sum = Terms.foldOne(kind, sum, Terms.one(kind, gp, yp, op, x));
      gp += gRow;
      yp += gRow;
      op += oRow;
    }
    folded.next(1);
  }
  store<f32>(dst, Terms.foldOne(kind, load<f32>(dst), sum));
}

class Along {
  // dst += the fold of all runs; o is a run that lies like g, or one number (step 0); x is a repeated number.
  // @ts-ignore: decorator
  @inline
  static runs(
    kind: Term,
    oStep: usize,
    dst: usize,
    g: usize,
    y: usize,
    o: usize,
    x: usize,
    folded: StridedIterator,
  ): void {
    const n = folded.width();
    let total = f32x4.extract_lane(Terms.start(kind), 0);
    folded.seek(1, 0);
    for (let run = folded.count(1); run > 0; run--) {
      const gAt = (<usize>folded.a) << 2;
      let gp = g + gAt;
      let yp = y + gAt;
      let op = o + ((<usize>folded.b) << 2);
      if (oStep == 0) op = folded.repeat(0, op);
      const end = gp + ((<usize>n) << 2);
      let s0 = Terms.start(kind);
      let s1 = s0;
      let s2 = s0;
      let s3 = s0;
      for (; gp + 64 <= end; gp += 64) {
        s0 = Terms.fold(kind, s0, Terms.four(kind, gp, yp, op, x, 0));
        s1 = Terms.fold(kind, s1, Terms.four(kind, gp, yp, op, x, 16));
        s2 = Terms.fold(kind, s2, Terms.four(kind, gp, yp, op, x, 32));
        s3 = Terms.fold(kind, s3, Terms.four(kind, gp, yp, op, x, 48));
        yp += 64;
        op += oStep << 6;
      }
      const lanes = Terms.fold(kind, Terms.fold(kind, s0, s2), Terms.fold(kind, s1, s3));
      let sum = kind == Term.Largest ? Simd.max(lanes) : Simd.sum(lanes);
      for (; gp < end; gp += 4) {
        sum = Terms.foldOne(kind, sum, Terms.one(kind, gp, yp, op, x));
        yp += 4;
        op += oStep << 2;
      }
      total = Terms.foldOne(kind, total, sum);
      folded.next(1);
    }
    store<f32>(dst, Terms.foldOne(kind, load<f32>(dst), total));
  }
}

function block(
  kind: Term,
  spread: bool,
  dst: usize,
  g: usize,
  y: usize,
  o: usize,
  x: usize,
  folded: StridedIterator,
): void {
  if (kind == Term.Plain) Down.block(Term.Plain, false, dst, g, 0, 0, 0, folded);
  else if (kind == Term.Largest) Down.block(Term.Largest, false, dst, g, 0, 0, 0, folded);
  else if (kind == Term.Equal) Down.block(Term.Equal, false, dst, g, 0, 0, x, folded);
  else if (kind == Term.Divisor) Down.block(Term.Divisor, false, dst, g, y, 0, x, folded);
  else if (kind == Term.Mul) Down.block(Term.Mul, spread, dst, g, 0, o, 0, folded);
  else Down.block(Term.Div, spread, dst, g, 0, o, 0, folded);
}

// dst [n], neighbouring columns.
function down(
  kind: Term,
  spread: bool,
  dst: usize,
  g: usize,
  y: usize,
  o: usize,
  x: usize,
  folded: StridedIterator,
  n: i32,
): void {
  const end = dst + ((<usize>n) << 2);
  const oStep = spread ? 0 : 4;
  while (dst + 64 <= end) {
    block(kind, spread, dst, g, y, o, x, folded);
    dst += 64;
    g += 64;
    y += 64;
    o += oStep << 4;
    x += 64;
  }
  while (dst < end) {
    column(kind, dst, g, y, o, x, folded);
    dst += 4;
    g += 4;
    y += 4;
    o += oStep;
    x += 4;
  }
}

function along(
  kind: Term,
  oStep: usize,
  dst: usize,
  g: usize,
  y: usize,
  o: usize,
  x: usize,
  folded: StridedIterator,
): void {
  if (kind == Term.Plain) Along.runs(Term.Plain, 1, dst, g, 0, 0, 0, folded);
  else if (kind == Term.Largest) Along.runs(Term.Largest, 1, dst, g, 0, 0, 0, folded);
  else if (kind == Term.Equal) Along.runs(Term.Equal, 1, dst, g, 0, 0, x, folded);
  else if (kind == Term.Divisor) Along.runs(Term.Divisor, 1, dst, g, y, 0, x, folded);
  else if (kind == Term.Mul) Along.runs(Term.Mul, oStep, dst, g, 0, o, 0, folded);
  else Along.runs(Term.Div, oStep, dst, g, 0, o, 0, folded);
}

/** Sums that a thread takes at once: lines of them, unless there are so few that all would be one thread's. */
export function foldGroup(n: i32, threads: i32): i32 {
  return n < 64 * threads ? 1 : 16;
}

/** dst[i] += the sum of its terms for begin <= i < end; `rows`: the innermost axis of all is folded. */
export function fold(
  kind: Term,
  rows: bool,
  dst: usize,
  g: usize,
  y: usize,
  o: usize,
  x: usize,
  kept: StridedIterator,
  folded: StridedIterator,
  begin: i32,
  end: i32,
): void {
  if (begin >= end) return;
  if (rows) {
    const oStep = <usize>folded.axis(0).b;
    kept.seek(0, begin);
    for (let i = begin; i < end; i++) {
      const at = (<usize>i) << 2;
      const gAt = (<usize>kept.a) << 2;
      const own = kept.repeat(1, x + at);
      along(kind, oStep, dst + at, g + gAt, y + gAt, o + ((<usize>kept.b) << 2), own, folded);
      kept.next(0);
    }
    return;
  }
  // Kept neighbours are columns only if nothing folded lies between them.
  const isWide = kept.rank > 0 && kept.axis(0).a == 1;
  const width = isWide ? kept.axis(0).size : 1;
  const oStep = isWide ? kept.axis(0).b : 0;
  const outer = i32(isWide);
  const row = begin / width;
  let column = begin - row * width;
  kept.seek(outer, row);
  for (let i = begin; i < end; ) {
    const n = min(end - i, width - column);
    const at = (<usize>i) << 2;
    const gAt = (<usize>(kept.a + column)) << 2;
    const oAt = o + ((<usize>(kept.b + column * oStep)) << 2);
    down(kind, oStep == 0, dst + at, g + gAt, y + gAt, oAt, x + at, folded, n);
    i += n;
    column = 0;
    kept.next(outer);
  }
}
