// slice   y = x[start, end) along one axis: i0 the axis, i1 the start. dx = g there.
// concat  y = its sources one after the other along axis i0. The gradient of each is its slice of g.
//
// With the axes before `axis` counted as rows and those after it as part of an element, both are blocks of
// neighbours in rows: x [rows, size·inner], y [rows, size'·inner].

import { dim, gradient, Share, source, Tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { addWork } from "../threads/threads";
import { moveBlock } from "./copy";

// Elements of one row: the axes from `axis` on.
function rowLength(t: Tensor, axis: i32): i32 {
  let length = 1;
  for (let i = axis; i < t.rank; i++) length *= dim(t, i);
  return length;
}

export function moveNanoseconds(y: Tensor, job: Job): f64 {
  return <f64>y.size * (job == Job.Forward ? 0.3 : 0.5);
}

export function sliceForward(y: Tensor, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const begin = Share.begin(y.size, 16, thread, threads);
  const end = Share.end(y.size, 16, thread, threads);
  const width = rowLength(y, y.i0);
  const start = (<usize>(y.i1 * rowLength(y, y.i0 + 1))) << 2;
  moveBlock(false, y.data, width, x.data + start, rowLength(x, y.i0), width, begin, end);
  addWork(thread, end - begin);
}

export function sliceBackward(y: Tensor, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const dx = gradient(x);
  if (dx == 0) return;
  const begin = Share.begin(y.size, 16, thread, threads);
  const end = Share.end(y.size, 16, thread, threads);
  const width = rowLength(y, y.i0);
  const start = (<usize>(y.i1 * rowLength(y, y.i0 + 1))) << 2;
  moveBlock(true, dx + start, rowLength(x, y.i0), y.grad, width, width, begin, end);
  addWork(thread, end - begin);
}

export function concatForward(y: Tensor, thread: i32, threads: i32): void {
  const stride = rowLength(y, y.i0);
  let at = y.data;
  for (let i = 0; i < y.sources; i++) {
    const x = source(y, i);
    const begin = Share.begin(x.size, 16, thread, threads);
    const end = Share.end(x.size, 16, thread, threads);
    const width = rowLength(x, y.i0);
    moveBlock(false, at, stride, x.data, width, width, begin, end);
    at += (<usize>width) << 2;
    addWork(thread, end - begin);
  }
}

export function concatBackward(y: Tensor, thread: i32, threads: i32): void {
  const stride = rowLength(y, y.i0);
  let at = y.grad;
  for (let i = 0; i < y.sources; i++) {
    const x = source(y, i);
    const dx = gradient(x);
    const width = rowLength(x, y.i0);
    if (dx != 0) {
      const begin = Share.begin(x.size, 16, thread, threads);
      const end = Share.end(x.size, 16, thread, threads);
      moveBlock(true, dx, width, at, stride, width, begin, end);
      addWork(thread, end - begin);
    }
    at += (<usize>width) << 2;
  }
}
