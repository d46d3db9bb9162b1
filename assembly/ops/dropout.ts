// y = mask ∘ x / (1 − p): an element is dropped with probability p (arXiv:1207.0580, with the scale in training).
//
// The mask is never stored. It is a function of (seed, step, ordinal, element), a counter-based generator
// (random.ts), drawn again in backward: dx = mask ∘ g / (1 − p).

import { Job } from "../threads/job";
import { dropoutMask16, dropoutThreshold } from "../math/random";
import { state } from "../memory/state";
import { gradient, Share, source, Tensor } from "../tensor/tensor";
import { addWork } from "../threads/threads";

/** A number for the next dropout of this scope. Outside of scopes the numbers go on. */
export function nextDropout(): i32 {
  const s = state();
  const ordinal = s.dropoutOrdinal;
  s.dropoutOrdinal = ordinal + 1;
  return ordinal;
}

class Kept {
  /** dst [4] = or += src [4]·scale where the mask is all ones, 0 elsewhere. */
  // @ts-ignore: decorator
  @inline
  static put(adds: bool, dst: usize, src: usize, scale: v128, mask: v128): void {
    const value = v128.and(f32x4.mul(v128.load(src), scale), mask);
    v128.store(dst, adds ? f32x4.add(v128.load(dst), value) : value);
  }
}

/** 1 / (1 − p), rounded once. */
export function dropoutScale(p: f32): f32 {
  return <f32>(1.0 / (1.0 - <f64>p));
}

/**
 * dst[i] = mask[i]·src[i] / (1 − p) for begin <= i < end, or += when `adds`; begin is a multiple of 16, and both
 * point to element 0. Works on whole 64-byte lines, the pad behind the last element included.
 */
export function dropoutRange(
  adds: bool,
  dst: usize,
  src: usize,
  ordinal: i32,
  p: f32,
  begin: i32,
  end: i32,
): void {
  const s = state();
  const threshold = dropoutThreshold(p);
  const scale = f32x4.splat(dropoutScale(p));
  for (let i = begin; i < end; i += 16) {
    const bytes = dropoutMask16(s.seedLow, s.seedHigh, ordinal, s.stepCounter, i >> 2, threshold);
    const low = i16x8.extend_low_i8x16_s(bytes);
    const high = i16x8.extend_high_i8x16_s(bytes);
    const to = dst + ((<usize>i) << 2);
    const from = src + ((<usize>i) << 2);
    Kept.put(adds, to, from, scale, i32x4.extend_low_i16x8_s(low));
    Kept.put(adds, to + 16, from + 16, scale, i32x4.extend_high_i16x8_s(low));
    Kept.put(adds, to + 32, from + 32, scale, i32x4.extend_low_i16x8_s(high));
    Kept.put(adds, to + 48, from + 48, scale, i32x4.extend_high_i16x8_s(high));
  }
}

// @ts-ignore: decorator
@unmanaged
export class Dropout extends Tensor {
  /** Which dropout of its scope this is (nextDropout). */
  ordinal: i32;
  /** 0 <= p < 1. */
  p: f32;

  nanoseconds(_job: Job): f64 {
    return <f64>this.size * 3;
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
    dropoutForward(this, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    dropoutBackward(this, thread, threads);
  }
}

function dropoutForward(y: Dropout, thread: i32, threads: i32): void {
  const begin = Share.begin(y.size, 16, thread, threads);
  const end = Share.end(y.size, 16, thread, threads);
  dropoutRange(false, y.data, source(y, 0).data, y.ordinal, y.p, begin, end);
  addWork(thread, end - begin);
}

function dropoutBackward(y: Dropout, thread: i32, threads: i32): void {
  const dx = gradient(source(y, 0));
  if (dx == 0) return;
  const begin = Share.begin(y.size, 16, thread, threads);
  const end = Share.end(y.size, 16, thread, threads);
  dropoutRange(true, dx, y.grad, y.ordinal, y.p, begin, end);
  addWork(thread, end - begin);
}
