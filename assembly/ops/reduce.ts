// y = the sum, mean or maximum of x over a set of axes.
//
//   sum   dx = g, at every element that was added
//   mean  dx = g / n
//   max   dx = g / n at each of the n elements that equal y, 0 elsewhere; n is saved. NaN wins
// A maximum of no elements is refused by the front end; an empty sum is 0 and its mean NaN.

import { Job } from "../threads/job";
import { INFINITE } from "../math/constants";
import { StridedIterator } from "../tensor/strides";
import { accumulates, dim, gradient, requiresGrad, Share, source, Tensor } from "../tensor/tensor";
import { addWork } from "../threads/threads";
import { map } from "./elementwiseLoop";
import { Term } from "./functor";
import { fold, foldGroup } from "./reduceLoop";

/** A record of a reduction. */
// @ts-ignore: decorator
@unmanaged
export class Reduction extends Tensor {
  /** Bit k is set when axis k of x is folded. */
  axes: i32;
  /** How many elements make one of y. */
  count: f32;
}

/** `K` is one of the three kinds below. */
// @ts-ignore: decorator
@unmanaged
export class Reduce<K> extends Reduction {
  nanoseconds(_job: Job): f64 {
    return <f64>source(this, 0).size * 0.3;
  }

  savedBytes(): usize {
    return changetype<K>(0).kind() == Kind.Max ? (<usize>this.size) << 2 : 0;
  }

  scratchBytes(_job: Job, threads: i32): usize {
    return StridedIterator.scratch(threads);
  }

  readsSource(_i: i32): bool {
    return changetype<K>(0).kind() == Kind.Max;
  }

  readsResult(): bool {
    return changetype<K>(0).kind() == Kind.Max;
  }

  storesGradients(): bool {
    return true;
  }

  forward(thread: i32, threads: i32): void {
    reduceForward(this, changetype<K>(0).kind(), thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    reduceBackward(this, changetype<K>(0).kind(), thread, threads);
  }
}

const enum Kind {
  Sum = 0,
  Mean = 1,
  Max = 2,
}

// @ts-ignore: decorator
@unmanaged
export class Sum {
  kind(): Kind {
    return Kind.Sum;
  }
}

// @ts-ignore: decorator
@unmanaged
export class Mean {
  kind(): Kind {
    return Kind.Mean;
  }
}

// @ts-ignore: decorator
@unmanaged
export class Max {
  kind(): Kind {
    return Kind.Max;
  }
}

function isFolded(y: Reduction, axis: i32): bool {
  return ((y.axes >> axis) & 1) != 0;
}

// Do runs of neighbours fold into one element? Folded axes of size 1 at the end do not count, kept ones do: so the
// order of the sums does not depend on how long the kept axes are.
function foldsRows(y: Reduction, x: Tensor): bool {
  let axis = x.rank - 1;
  while (axis >= 0 && isFolded(y, axis) && dim(x, axis) == 1) axis--;
  return axis >= 0 && isFolded(y, axis);
}

function reduceForward(y: Reduction, kind: Kind, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const n = y.size;
  const group = foldGroup(n, threads);
  const begin = Share.begin(n, group, thread, threads);
  const end = Share.end(n, group, thread, threads);
  const kept = StridedIterator.of(thread, 0);
  const folded = StridedIterator.of(thread, 1);
  let xStride = 1;
  for (let axis = x.rank - 1; axis >= 0; axis--) {
    const size = dim(x, axis);
    if (isFolded(y, axis)) {
      folded.add(size, xStride, 0, 0);
    } else {
      kept.add(size, xStride, 0, 0);
      folded.fence();
    }
    xStride *= size;
  }
  const rows = foldsRows(y, x);
  const isMax = kind == Kind.Max;
  const least = isMax ? load<f32>(INFINITE) * -1 : 0;
  fillSlice(y.data, begin, end, least);
  if (x.size > 0) {
    const term = isMax ? Term.Largest : Term.Plain;
    fold(term, rows, y.data, x.data, 0, 0, 0, kept, folded, begin, end);
  }
  if (isMax && requiresGrad(y)) {
    fillSlice(y.saved, begin, end, 0);
    fold(Term.Equal, rows, y.saved, x.data, 0, 0, y.data, kept, folded, begin, end);
  }
  if (kind == Kind.Mean) {
    for (let i = begin; i < end; i++) {
      const at = y.data + ((<usize>i) << 2);
      store<f32>(at, load<f32>(at) / y.count);
    }
  }
  addWork(thread, end - begin);
}

function fillSlice(data: usize, begin: i32, end: i32, value: f32): void {
  for (let i = begin; i < end; i++) store<f32>(data + ((<usize>i) << 2), value);
}

function reduceBackward(y: Reduction, kind: Kind, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const dx = gradient(x);
  if (dx == 0) return;
  const isMax = kind == Kind.Max;
  const strides = StridedIterator.of(thread, 0);
  let xStride = 1;
  let yStride = 1;
  for (let axis = x.rank - 1; axis >= 0; axis--) {
    const size = dim(x, axis);
    const step = isFolded(y, axis) ? 0 : yStride;
    strides.add(size, step, isMax ? step : 0, xStride);
    if (!isFolded(y, axis)) yStride *= size;
    xStride *= size;
  }
  const begin = Share.begin(x.size, 16, thread, threads);
  const end = Share.end(x.size, 16, thread, threads);
  let term = Term.Plain;
  let divisor: usize = 0;
  if (isMax) {
    term = Term.Shared;
    divisor = y.saved;
  } else if (kind == Kind.Mean) {
    term = Term.Div;
    divisor = changetype<usize>(y) + offsetof<Reduction>("count");
  }
  map(term, false, accumulates(x), dx, y.grad, y.data, divisor, x.data, strides, begin, end);
  addWork(thread, end - begin);
}
