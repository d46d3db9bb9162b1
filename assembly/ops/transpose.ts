// y = x with its axes in another order: axis k of y is axis i_k of x .
// dx is g with the axes put back, the same loop with the roles exchanged.
//
// Axes that stay neighbours are joined first. If the innermost axis of both is then the same, rows are moved; if
// not, it is a batch of matrices, transposed in registers 4×4 at a time.

import { Job } from "../threads/job";
import { Axis, StridedIterator } from "../tensor/strides";
import { dim, gradient, Share, source, Tensor } from "../tensor/tensor";
import { addWork } from "../threads/threads";
import { addRow, copyRow } from "./copy";

// @ts-ignore: decorator
@unmanaged
export class Transpose extends Tensor {
  axis0: i32;
  axis1: i32;
  axis2: i32;
  axis3: i32;
  axis4: i32;
  axis5: i32;

  /** Which axis of x is axis `k` of y. */
  axis(k: i32): i32 {
    return load<i32>(changetype<usize>(this) + ((<usize>k) << 2), offsetof<Transpose>("axis0"));
  }

  nanoseconds(job: Job): f64 {
    return <f64>this.size * (job == Job.Forward ? 0.3 : 0.5);
  }

  savedBytes(): usize {
    return 0;
  }

  scratchBytes(_job: Job, threads: i32): usize {
    return StridedIterator.scratch(threads);
  }

  readsSource(_i: i32): bool {
    return false;
  }

  readsResult(): bool {
    return false;
  }

  forward(thread: i32, threads: i32): void {
    transposeForward(this, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    transposeBackward(this, thread, threads);
  }
}

function transposeForward(y: Transpose, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const strides = StridedIterator.of(thread, 0);
  let yStride = 1;
  for (let k = y.rank - 1; k >= 0; k--) {
    strides.add(dim(y, k), strideOf(x, y.axis(k)), 0, yStride);
    yStride *= dim(y, k);
  }
  permute(false, y.data, x.data, y.size, strides, thread, threads);
}

function transposeBackward(y: Transpose, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const dx = gradient(x);
  if (dx == 0) return;
  const strides = StridedIterator.of(thread, 0);
  let xStride = 1;
  for (let axis = x.rank - 1; axis >= 0; axis--) {
    let k = 0;
    while (y.axis(k) != axis) k++;
    strides.add(dim(x, axis), strideOf(y, k), 0, xStride);
    xStride *= dim(x, axis);
  }
  permute(true, dx, y.grad, x.size, strides, thread, threads);
}

function strideOf(t: Tensor, axis: i32): i32 {
  let stride = 1;
  for (let i = axis + 1; i < t.rank; i++) stride *= dim(t, i);
  return stride;
}

// StridedIterator: first stride that of src, third that of dst, which lies dense.
function permute(
  adds: bool,
  dst: usize,
  src: usize,
  size: i32,
  strides: StridedIterator,
  thread: i32,
  threads: i32,
): void {
  if (strides.rank == 0 || strides.axis(0).a == 1)
    moveRows(adds, dst, src, size, strides, thread, threads);
  else moveMatrices(adds, dst, src, strides, thread, threads);
}

function moveRows(
  adds: bool,
  dst: usize,
  src: usize,
  size: i32,
  strides: StridedIterator,
  thread: i32,
  threads: i32,
): void {
  const begin = Share.begin(size, 16, thread, threads);
  const end = Share.end(size, 16, thread, threads);
  if (begin >= end) return;
  const width = strides.width();
  const row = begin / width;
  let column = begin - row * width;
  strides.seek(1, row);
  for (let i = begin; i < end; ) {
    const n = min(end - i, width - column);
    const from = src + ((<usize>(strides.a + column)) << 2);
    if (adds) addRow(dst + ((<usize>i) << 2), from, n);
    else copyRow(dst + ((<usize>i) << 2), from, n);
    i += n;
    column = 0;
    strides.next(1);
  }
  addWork(thread, end - begin);
}

function moveMatrices(
  adds: bool,
  dst: usize,
  src: usize,
  strides: StridedIterator,
  thread: i32,
  threads: i32,
): void {
  // Columns are dst's innermost axis, rows src's, which becomes axis 1; the order of the others is of no account.
  let inner = 1;
  while (strides.axis(inner).a != 1) inner++;
  exchange(strides.axis(1), strides.axis(inner));
  const columns = strides.axis(0).size;
  const rows = strides.axis(1).size;
  const dstStride = strides.axis(1).c;
  const srcStride = strides.axis(0).a;
  const all = rows * strides.count(2);
  const begin = Share.begin(all, 4, thread, threads);
  const end = Share.end(all, 4, thread, threads);
  if (begin >= end) return;
  const matrix = begin / rows;
  let row = begin - matrix * rows;
  strides.seek(2, matrix);
  for (let i = begin; i < end; ) {
    const n = min(end - i, rows - row);
    const to = dst + ((<usize>(strides.c + row * dstStride)) << 2);
    const from = src + ((<usize>(strides.a + row)) << 2);
    if (adds) Matrix.move(true, to, dstStride, from, srcStride, n, columns);
    else Matrix.move(false, to, dstStride, from, srcStride, n, columns);
    i += n;
    row = 0;
    strides.next(2);
  }
  addWork(thread, (end - begin) * columns);
}

function exchange(p: Axis, q: Axis): void {
  const size = p.size;
  const a = p.a;
  const c = p.c;
  p.size = q.size;
  p.a = q.a;
  p.c = q.c;
  q.size = size;
  q.a = a;
  q.c = c;
}

class Matrix {
  // dst [rows, columns] from src [columns, rows]. Sixteen rows at a time, so that every line of src is read once.
  // @ts-ignore: decorator
  @inline
  static move(
    adds: bool,
    dst: usize,
    dstStride: i32,
    src: usize,
    srcStride: i32,
    rows: i32,
    columns: i32,
  ): void {
    const wideRows = rows & ~3;
    const wideColumns = columns & ~3;
    for (let top = 0; top < wideRows; top += 16) {
      const bottom = min(top + 16, wideRows);
      for (let j = 0; j < wideColumns; j += 4) {
        for (let i = top; i < bottom; i += 4) {
          const to = dst + ((<usize>(i * dstStride + j)) << 2);
          Matrix.tile(adds, to, dstStride, src + ((<usize>(j * srcStride + i)) << 2), srcStride);
        }
      }
    }
    Matrix.rest(adds, dst, dstStride, src, srcStride, 0, wideRows, wideColumns, columns);
    Matrix.rest(adds, dst, dstStride, src, srcStride, wideRows, rows, 0, columns);
  }

  // @ts-ignore: decorator
  @inline
  static tile(adds: bool, dst: usize, dstStride: i32, src: usize, srcStride: i32): void {
    const down = (<usize>srcStride) << 2;
    const r0 = v128.load(src);
    const r1 = v128.load(src + down);
    const r2 = v128.load(src + 2 * down);
    const r3 = v128.load(src + 3 * down);
    const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
    const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
    const high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
    const high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
    const to = (<usize>dstStride) << 2;
    Matrix.put(adds, dst, v128.shuffle<i64>(low01, low23, 0, 2));
    Matrix.put(adds, dst + to, v128.shuffle<i64>(low01, low23, 1, 3));
    Matrix.put(adds, dst + 2 * to, v128.shuffle<i64>(high01, high23, 0, 2));
    Matrix.put(adds, dst + 3 * to, v128.shuffle<i64>(high01, high23, 1, 3));
  }

  // @ts-ignore: decorator
  @inline
  static put(adds: bool, at: usize, values: v128): void {
    v128.store(at, adds ? f32x4.add(v128.load(at), values) : values);
  }

  // Rows [top, bottom) and columns [left, right), one by one.
  // @ts-ignore: decorator
  @inline
  static rest(
    adds: bool,
    dst: usize,
    dstStride: i32,
    src: usize,
    srcStride: i32,
    top: i32,
    bottom: i32,
    left: i32,
    right: i32,
  ): void {
    for (let i = top; i < bottom; i++) {
      for (let j = left; j < right; j++) {
        const to = dst + ((<usize>(i * dstStride + j)) << 2);
        const value = load<f32>(src + ((<usize>(j * srcStride + i)) << 2));
        store<f32>(to, adds ? load<f32>(to) + value : value);
      }
    }
  }
}
