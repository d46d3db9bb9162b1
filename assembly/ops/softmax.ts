// Softmax and its logarithm over the last axis, x [..., V] -> y [..., V]; m is the largest element of the row.
//   softmax      y = e^(x − m) / Σ e^(x − m)           dx = y·(g − Σ g·y)
//   logSoftmax   y = (x − m) − ln Σ e^(x − m)          dx = g − e^y·Σ g
// Threads share the rows; backward needs y alone.

import { log32, Vec } from "../math/functions";
import { Part, rowDot, rowExp, rowExpSum, rowMax, rowScale, rowSum } from "../math/rowReduce";
import { accumulates, gradient, height, Share, source, Tensor, width } from "../tensor/tensor";
import { Job } from "../threads/job";
import { addWork } from "../threads/threads";

// @ts-ignore: decorator
@unmanaged
export class Softmax extends Tensor {
  nanoseconds(job: Job): f64 {
    return <f64>this.size * (job == Job.Forward ? 1.6 : 0.6);
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
    return true;
  }

  storesGradients(): bool {
    return true;
  }

  forward(thread: i32, threads: i32): void {
    softmaxForward(this, false, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    softmaxBackward(this, false, thread, threads);
  }
}

// @ts-ignore: decorator
@unmanaged
export class LogSoftmax extends Tensor {
  nanoseconds(_job: Job): f64 {
    return <f64>this.size * 1.6;
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
    return true;
  }

  storesGradients(): bool {
    return true;
  }

  forward(thread: i32, threads: i32): void {
    softmaxForward(this, true, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    softmaxBackward(this, true, thread, threads);
  }
}

function softmaxForward(y: Tensor, logarithm: bool, thread: i32, threads: i32): void {
  const n = width(y);
  const bytes = (<usize>n) << 2;
  const rows = height(y);
  const end = Share.end(rows, 1, thread, threads);
  const begin = Share.begin(rows, 1, thread, threads);
  for (let i = begin; i < end; i++) {
    const x = source(y, 0).data + <usize>i * bytes;
    const out = y.data + <usize>i * bytes;
    const greatest = rowMax(x, n);
    if (!logarithm) rowScale(out, n, 1 / rowExp(out, x, n, greatest));
    else lessBoth(out, x, n, greatest, log32(rowExpSum(x, n, greatest)));
  }
  addWork(thread, (end - begin) * n);
}

/** out = (x − a) − b. */
function lessBoth(out: usize, x: usize, n: i32, a: f32, b: f32): void {
  const first = f32x4.splat(a);
  const second = f32x4.splat(b);
  const end = x + ((<usize>n) << 2);
  while (x + 16 <= end) {
    v128.store(out, f32x4.sub(f32x4.sub(v128.load(x), first), second));
    x += 16;
    out += 16;
  }
  const rest = <i32>((end - x) >> 2);
  if (rest > 0) Part.store(out, f32x4.sub(f32x4.sub(Part.load(x, rest), first), second), rest);
}

class Input {
  /** y·(g − total), or g − e^y·total. */
  // @ts-ignore: decorator
  @inline
  static gradient(logarithm: bool, y: v128, g: v128, total: v128): v128 {
    if (logarithm) return f32x4.sub(g, f32x4.mul(Vec.exp(y), total));
    return f32x4.mul(y, f32x4.sub(g, total));
  }

  // @ts-ignore: decorator
  @inline
  static row(logarithm: bool, dx: usize, y: usize, g: usize, n: i32, sum: f32, add: bool): void {
    const total = f32x4.splat(sum);
    const end = y + ((<usize>n) << 2);
    while (y + 16 <= end) {
      const d = Input.gradient(logarithm, v128.load(y), v128.load(g), total);
      v128.store(dx, add ? f32x4.add(v128.load(dx), d) : d);
      y += 16;
      g += 16;
      dx += 16;
    }
    const rest = <i32>((end - y) >> 2);
    if (rest == 0) return;
    const d = Input.gradient(logarithm, Part.load(y, rest), Part.load(g, rest), total);
    Part.store(dx, add ? f32x4.add(Part.load(dx, rest), d) : d, rest);
  }
}

function softmaxBackward(y: Tensor, logarithm: bool, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const dx = gradient(x);
  if (dx == 0) return;
  const n = width(y);
  const add = accumulates(x);
  const rows = height(y);
  const end = Share.end(rows, 1, thread, threads);
  const begin = Share.begin(rows, 1, thread, threads);
  for (let i = begin; i < end; i++) {
    const at = (<usize>i * <usize>n) << 2;
    const out = y.data + at;
    const g = y.grad + at;
    if (!logarithm) Input.row(false, dx + at, out, g, n, rowDot(g, out, n), add);
    else Input.row(true, dx + at, out, g, n, rowSum(g, n), add);
  }
  addWork(thread, (end - begin) * n);
}
