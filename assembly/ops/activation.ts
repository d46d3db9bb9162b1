// Functions of one number, applied to every element: y = f(x), dx = g·f'(x); the formulas are in formula.ts.
//
// All loops run over whole 64-byte lines, the pad behind the last element included: no tail, and every element
// takes the same path.
//
// x·c(x), as gelu and silu are, has a derivative that is made of what forward knows anyhow. A captured step in which
// nobody else reads x lets forward write f'(x) over x, and backward is a product (memoryPlan.ts). The bits are the same.

import { Flag, accumulates, gradient, Share, source, Tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { addWork } from "../threads/threads";
import { Gate } from "./gate";

/** `F` is one of the classes of formula.ts. */
// @ts-ignore: decorator
@unmanaged
export class Activation<F> extends Tensor {
  nanoseconds(job: Job): f64 {
    return <f64>this.size * changetype<F>(0).cost(job);
  }

  savedBytes(): usize {
    return 0;
  }

  scratchBytes(_job: Job, _threads: i32): usize {
    return 0;
  }

  readsSource(_i: i32): bool {
    return changetype<F>(0).readsInput();
  }

  readsResult(): bool {
    return changetype<F>(0).readsResult();
  }

  storesGradients(): bool {
    return true;
  }

  replacesInput(): bool {
    return changetype<F>(0).readsInput();
  }

  hasSlope(): bool {
    return isDefined(changetype<F>(0).slope);
  }

  forward(thread: i32, threads: i32): void {
    const from = Share.begin(this.size, 16, thread, threads);
    const to = Share.end(this.size, 16, thread, threads);
    if (from >= to) return;
    const y = this.data + ((<usize>from) << 2);
    const x = source(this, 0).data + ((<usize>from) << 2);
    const end = this.data + ((<usize>((to + 15) & ~15)) << 2);
    addWork(thread, to - from);
    if (this.flags & Flag.LeavesSlope) forwardSlopes<F>(y, x, end);
    else forwardAll<F>(y, x, end);
  }

  backward(thread: i32, threads: i32): void {
    const from = Share.begin(this.size, 16, thread, threads);
    const to = Share.end(this.size, 16, thread, threads);
    const s = source(this, 0);
    if (from >= to || gradient(s) == 0) return;
    const at = (<usize>from) << 2;
    const dx = gradient(s) + at;
    const g = this.grad + at;
    const x = s.data + at;
    const y = this.data + at;
    const end = this.data + ((<usize>((to + 15) & ~15)) << 2);
    const adds = accumulates(s);
    addWork(thread, to - from);
    if (this.flags & Flag.LeavesSlope) slopeBackward(adds, dx, g, x, dx + (end - y));
    else backwardAll<F>(adds, dx, g, x, y, end);
  }
}

// The loops are functions of their own, one an op and direction. Where the loops of several ops meet in one function,
// the optimizer makes them one loop again, which asks for the op at every vector.

/** y = f(x). */
function forwardAll<F>(y: usize, x: usize, end: usize): void {
  const f = changetype<F>(0);
  if (isDefined(f.all)) f.all(y, x, end);
  else if (isDefined(f.gateExponent)) Gate.forward<F>(false, y, x, end);
  else for (; y < end; y += 16, x += 16) v128.store(y, f.at(v128.load(x)));
}

/** y = f(x), and f'(x) in the place of x. */
function forwardSlopes<F>(y: usize, x: usize, end: usize): void {
  const f = changetype<F>(0);
  if (!isDefined(f.slope)) unreachable();
  else if (isDefined(f.gateExponent)) Gate.forward<F>(true, y, x, end);
  else {
    for (; y < end; y += 16, x += 16) {
      const at = v128.load(x);
      const square = f32x4.mul(at, at);
      const share = f.share(at, square);
      v128.store(y, f32x4.mul(at, share));
      v128.store(x, f.slope(at, square, share));
    }
  }
}

/** dx = or += g·f'(x). */
function backwardAll<F>(adds: bool, dx: usize, g: usize, x: usize, y: usize, end: usize): void {
  const f = changetype<F>(0);
  const zero = i32x4.splat(0);
  for (; y < end; y += 16, x += 16, g += 16, dx += 16) {
    let term = v128.load(g);
    if (isDefined(f.slope)) {
      const at = v128.load(x);
      const square = f32x4.mul(at, at);
      term = f32x4.mul(term, f.slope(at, square, f.share(at, square)));
    } else term = f.gradient(term, v128.load(x), v128.load(y));
    // A fresh gradient counts as zeros: −0 becomes 0 in either case.
    v128.store(dx, f32x4.add(adds ? v128.load(dx) : zero, term));
  }
}

/** dx = or += g·slope. */
function slopeBackward(adds: bool, dx: usize, g: usize, slope: usize, end: usize): void {
  const zero = i32x4.splat(0);
  for (; dx < end; dx += 16, g += 16, slope += 16) {
    const term = f32x4.mul(v128.load(g), v128.load(slope));
    v128.store(dx, f32x4.add(adds ? v128.load(dx) : zero, term));
  }
}
