// Elements of x by index along one axis; sources x and index (int32).
//   y[.., i, ..] = x[.., index[.., i, ..], ..]   y and index have the same shape (PyTorch's gather)
//   y[.., i, ..] = x[.., index[i], ..]           whole slices, index [n] (PyTorch's index_select)
// dx[.., index, ..] += g, in the order of y: an element that was taken twice gets both gradients.
//
// Backward: each thread goes over all of g and adds what falls into its own range of the axis. The front end has
// checked the index; should it be written anew and be wrong, y is NaN there, and nothing is added.

import { Job } from "../threads/job";
import { StridedIterator } from "../tensor/strides";
import { dim, gradient, Share, source, Tensor } from "../tensor/tensor";
import { addWork } from "../threads/threads";
import { addRow, copyRow } from "./copy";

// @ts-ignore: decorator
@unmanaged
export class Gather extends Tensor {
  axis: i32;
  /** 1 when the index has one axis and takes whole slices. */
  whole: i32;

  nanoseconds(_job: Job): f64 {
    return <f64>this.size * 1.5;
  }

  savedBytes(): usize {
    return 0;
  }

  scratchBytes(_job: Job, threads: i32): usize {
    return StridedIterator.scratch(threads);
  }

  readsSource(i: i32): bool {
    return i > 0;
  }

  readsResult(): bool {
    return false;
  }

  forward(thread: i32, threads: i32): void {
    gatherForward(this, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    gatherBackward(this, thread, threads);
  }
}

// Strides: x without the axis, index, and y.
function stridesOf(y: Gather, thread: i32): StridedIterator {
  const x = source(y, 0);
  const strides = StridedIterator.of(thread, 0);
  let xStride = 1;
  let yStride = 1;
  let indexStride = 1;
  for (let axis = y.rank - 1; axis >= 0; axis--) {
    const along = axis == y.axis;
    const indexStep = along || y.whole == 0 ? indexStride : 0;
    strides.add(dim(y, axis), along ? 0 : xStride, indexStep, yStride);
    if (indexStep != 0) indexStride *= dim(y, axis);
    xStride *= dim(x, axis);
    yStride *= dim(y, axis);
  }
  return strides;
}

// Elements between neighbours of x along the axis.
function axisStride(x: Tensor, axis: i32): i32 {
  let stride = 1;
  for (let i = axis + 1; i < x.rank; i++) stride *= dim(x, i);
  return stride;
}

function gatherForward(y: Gather, thread: i32, threads: i32): void {
  const x = source(y, 0).data;
  const index = source(y, 1).data;
  const size = dim(source(y, 0), y.axis);
  const stride = axisStride(source(y, 0), y.axis);
  const strides = stridesOf(y, thread);
  const begin = Share.begin(y.size, 16, thread, threads);
  const end = Share.end(y.size, 16, thread, threads);
  if (begin >= end) return;
  addWork(thread, end - begin);
  if (!movesRows(strides)) {
    strides.seek(0, begin);
    for (let i = begin; i < end; i++) {
      const k = load<i32>(index + ((<usize>strides.b) << 2));
      const from = x + ((<usize>(strides.a + k * stride)) << 2);
      const isInside = <u32>k < <u32>size;
      store<f32>(y.data + ((<usize>i) << 2), isInside ? load<f32>(from) : f32.NaN);
      strides.next(0);
    }
    return;
  }
  const width = strides.width();
  const row = begin / width;
  let column = begin - row * width;
  strides.seek(1, row);
  for (let i = begin; i < end; ) {
    const n = min(end - i, width - column);
    const to = y.data + ((<usize>i) << 2);
    const k = load<i32>(index + ((<usize>strides.b) << 2));
    if (<u32>k < <u32>size) copyRow(to, x + ((<usize>(strides.a + column + k * stride)) << 2), n);
    else for (let j = 0; j < n; j++) store<f32>(to + ((<usize>j) << 2), f32.NaN);
    i += n;
    column = 0;
    strides.next(1);
  }
}

// Does one index stand for a run of neighbours?
function movesRows(strides: StridedIterator): bool {
  return strides.rank > 0 && strides.axis(0).b == 0 && strides.axis(0).a == 1;
}

function gatherBackward(y: Gather, thread: i32, threads: i32): void {
  const dx = gradient(source(y, 0));
  if (dx == 0) return;
  const index = source(y, 1).data;
  const size = dim(source(y, 0), y.axis);
  const stride = axisStride(source(y, 0), y.axis);
  const first = Share.begin(size, 1, thread, threads);
  const mine = Share.end(size, 1, thread, threads) - first;
  const strides = stridesOf(y, thread);
  const outer = i32(movesRows(strides));
  const width = outer ? strides.width() : 1;
  strides.seek(outer, 0);
  for (let at = 0; at < y.size; at += width) {
    const k = load<i32>(index + ((<usize>strides.b) << 2));
    if (<u32>(k - first) < <u32>mine) {
      const to = dx + ((<usize>(strides.a + k * stride)) << 2);
      addRow(to, y.grad + ((<usize>at) << 2), width);
      addWork(thread, width);
    }
    strides.next(outer);
  }
}
