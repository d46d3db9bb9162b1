// Loops without sums: dst[i] = term(i), or dst[i] += term(i), for elements that other arrays may give by
// broadcasting. One iterator serves all: its first stride is that of g and y, its second that of o, its third that of
// dst and x, which lie dense. Elements are independent and every operation is rounded once, so lanes, tails and
// slices give the same bits. What is added to is dst itself, or, while dst holds nothing yet, the zeros at address 0.

import { StridedIterator } from "../tensor/strides";
import { Term, Terms } from "./functor";

class Row {
  // dst [n], sixteen elements at a time, then four, then one. A step of 0 stays at a line of one repeated number.
  // @ts-ignore: decorator
  @inline
  static loop(
    kind: Term,
    stores: bool,
    adds: bool,
    gStep: usize,
    oStep: usize,
    dst: usize,
    g: usize,
    y: usize,
    o: usize,
    x: usize,
    n: i32,
  ): void {
    let before: usize = adds ? dst : 0;
    const beforeStep: usize = adds ? 4 : 0;
    const end = dst + ((<usize>n) << 2);
    for (; dst + 64 <= end; dst += 64) {
      const t0 = Terms.four(kind, g, y, o, x, 0);
      const t1 = Terms.four(kind, g, y, o, x, 16);
      const t2 = Terms.four(kind, g, y, o, x, 32);
      const t3 = Terms.four(kind, g, y, o, x, 48);
      v128.store(dst, stores ? t0 : f32x4.add(v128.load(before), t0));
      v128.store(dst, stores ? t1 : f32x4.add(v128.load(before, 16), t1), 16);
      v128.store(dst, stores ? t2 : f32x4.add(v128.load(before, 32), t2), 32);
      v128.store(dst, stores ? t3 : f32x4.add(v128.load(before, 48), t3), 48);
      before += beforeStep << 4;
      g += gStep << 6;
      y += gStep << 6;
      o += oStep << 6;
      x += 64;
    }
    for (; dst + 16 <= end; dst += 16) {
      const term = Terms.four(kind, g, y, o, x, 0);
      v128.store(dst, stores ? term : f32x4.add(v128.load(before), term));
      before += beforeStep << 2;
      g += gStep << 4;
      y += gStep << 4;
      o += oStep << 4;
      x += 16;
    }
    for (; dst < end; dst += 4) {
      const term = Terms.one(kind, g, y, o, x);
      store<f32>(dst, stores ? term : load<f32>(before) + term);
      before += beforeStep;
      g += gStep << 2;
      y += gStep << 2;
      o += oStep << 2;
      x += 4;
    }
  }
}

function storeRow(
  kind: Term,
  gStep: usize,
  oStep: usize,
  dst: usize,
  g: usize,
  o: usize,
  n: i32,
): void {
  if (kind == Term.Add) Row.loop(Term.Add, true, false, gStep, oStep, dst, g, 0, o, 0, n);
  else if (kind == Term.Sub) Row.loop(Term.Sub, true, false, gStep, oStep, dst, g, 0, o, 0, n);
  else if (kind == Term.Mul) Row.loop(Term.Mul, true, false, gStep, oStep, dst, g, 0, o, 0, n);
  else Row.loop(Term.Div, true, false, gStep, oStep, dst, g, 0, o, 0, n);
}

function addRow(
  kind: Term,
  adds: bool,
  gStep: usize,
  oStep: usize,
  dst: usize,
  g: usize,
  y: usize,
  o: usize,
  x: usize,
  n: i32,
): void {
  if (kind == Term.Plain) Row.loop(Term.Plain, false, adds, gStep, 0, dst, g, 0, 0, 0, n);
  else if (kind == Term.Mul) Row.loop(Term.Mul, false, adds, gStep, oStep, dst, g, 0, o, 0, n);
  else if (kind == Term.Div) Row.loop(Term.Div, false, adds, gStep, oStep, dst, g, 0, o, 0, n);
  else if (kind == Term.Divisor) Row.loop(Term.Divisor, false, adds, gStep, 0, dst, g, y, 0, x, n);
  else Row.loop(Term.Shared, false, adds, gStep, oStep, dst, g, y, o, x, n);
}

/**
 * dst[i] = term(i) for begin <= i < end if `stores`, which a value does; else a gradient's 0 + term(i), or += if it
 * `adds`.
 */
export function map(
  kind: Term,
  stores: bool,
  adds: bool,
  dst: usize,
  g: usize,
  y: usize,
  o: usize,
  x: usize,
  strides: StridedIterator,
  begin: i32,
  end: i32,
): void {
  if (begin >= end) return;
  const width = strides.width();
  const gStep = strides.rank == 0 ? 0 : strides.axis(0).a;
  const oStep = strides.rank == 0 ? 0 : strides.axis(0).b;
  const row = begin / width;
  let column = begin - row * width;
  strides.seek(1, row);
  for (let i = begin; i < end; ) {
    const n = min(end - i, width - column);
    const to = dst + ((<usize>i) << 2);
    let gAt = g + ((<usize>(strides.a + column * gStep)) << 2);
    let yAt = y + (gAt - g);
    let oAt = o + ((<usize>(strides.b + column * oStep)) << 2);
    if (gStep == 0) {
      gAt = strides.repeat(0, gAt);
      yAt = strides.repeat(1, yAt);
    }
    if (oStep == 0) oAt = strides.repeat(2, oAt);
    if (stores) storeRow(kind, gStep, oStep, to, gAt, oAt, n);
    else addRow(kind, adds, gStep, oStep, to, gAt, yAt, oAt, x + ((<usize>i) << 2), n);
    i += n;
    column = 0;
    strides.next(1);
  }
}
