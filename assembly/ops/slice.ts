// slice   y = x[start, end) along one axis. dx = g there.
// concat  y = its sources one after the other along one axis. The gradient of each is its slice of g.
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

// @ts-ignore: decorator
@unmanaged
export class Slice extends Tensor {
  axis: i32;
  start: i32;

  nanoseconds(job: Job): f64 {
    return <f64>this.size * (job == Job.Forward ? 0.3 : 0.5);
  }

  savedBytes(): usize {
    return 0;
  }

  scratchBytes(_job: Job, _threads: i32): usize {
    return 0;
  }

  readsSource(_i: i32): bool {
    return false;
  }

  readsResult(): bool {
    return false;
  }

  forward(thread: i32, threads: i32): void {
    sliceForward(this, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    sliceBackward(this, thread, threads);
  }
}

// @ts-ignore: decorator
@unmanaged
export class Concat extends Tensor {
  axis: i32;

  nanoseconds(job: Job): f64 {
    return <f64>this.size * (job == Job.Forward ? 0.3 : 0.5);
  }

  savedBytes(): usize {
    return 0;
  }

  scratchBytes(_job: Job, _threads: i32): usize {
    return 0;
  }

  readsSource(_i: i32): bool {
    return false;
  }

  readsResult(): bool {
    return false;
  }

  forward(thread: i32, threads: i32): void {
    concatForward(this, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    concatBackward(this, thread, threads);
  }
}

function sliceForward(y: Slice, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const begin = Share.begin(y.size, 16, thread, threads);
  const end = Share.end(y.size, 16, thread, threads);
  const width = rowLength(y, y.axis);
  const start = (<usize>(y.start * rowLength(y, y.axis + 1))) << 2;
  moveBlock(false, y.data, width, x.data + start, rowLength(x, y.axis), width, begin, end);
  addWork(thread, end - begin);
}

function sliceBackward(y: Slice, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const dx = gradient(x);
  if (dx == 0) return;
  const begin = Share.begin(y.size, 16, thread, threads);
  const end = Share.end(y.size, 16, thread, threads);
  const width = rowLength(y, y.axis);
  const start = (<usize>(y.start * rowLength(y, y.axis + 1))) << 2;
  moveBlock(true, dx + start, rowLength(x, y.axis), y.grad, width, width, begin, end);
  addWork(thread, end - begin);
}

function concatForward(y: Concat, thread: i32, threads: i32): void {
  const stride = rowLength(y, y.axis);
  let at = y.data;
  for (let i = 0; i < y.sources; i++) {
    const x = source(y, i);
    const begin = Share.begin(x.size, 16, thread, threads);
    const end = Share.end(x.size, 16, thread, threads);
    const width = rowLength(x, y.axis);
    moveBlock(false, at, stride, x.data, width, width, begin, end);
    at += (<usize>width) << 2;
    addWork(thread, end - begin);
  }
}

function concatBackward(y: Concat, thread: i32, threads: i32): void {
  const stride = rowLength(y, y.axis);
  let at = y.grad;
  for (let i = 0; i < y.sources; i++) {
    const x = source(y, i);
    const dx = gradient(x);
    const width = rowLength(x, y.axis);
    if (dx != 0) {
      const begin = Share.begin(x.size, 16, thread, threads);
      const end = Share.end(x.size, 16, thread, threads);
      moveBlock(true, dx, width, at, stride, width, begin, end);
      addWork(thread, end - begin);
    }
    at += (<usize>width) << 2;
  }
}
