// Rotary positions (arXiv:2104.09864, eq. 34): in every head of x [B, T, H, D], pair i of numbers is turned by the
// angle a = position·theta^(−2i/D), i < D/2:
//   (u, v) -> (u·cos a − v·sin a, u·sin a + v·cos a)
// A pair is (x[i], x[i + D/2]) in style "half", and (x[2i], x[2i + 1]) in style "interleaved".
// cos a and sin a come from a table [positions, D/2, 2], made once with our own f64 functions. Backward turns by −a.
// Threads share the heads of all tokens. An unknown position (refused by the front end) gives NaN.
//
// Sources: x, table, positions int32 [B, T]

import { Job } from "../threads/job";
import { SIGN } from "../math/constants";
import { f64Cos, f64Pow, f64Sin } from "../math/math64";
import { accumulates, dim, gradient, Share, source, Tensor } from "../tensor/tensor";
import { addWork } from "../threads/threads";

/** table [positions, half, 2] = cos and sin of position·theta^(−i/half). */
export function fillRopeTable(table: usize, positions: i32, half: i32, theta: f64): void {
  for (let i = 0; i < half; i++) {
    const frequency = f64Pow(theta, -(<f64>i / <f64>half));
    let at = table + ((<usize>i) << 3);
    for (let p = 0; p < positions; p++) {
      const angle = <f64>p * frequency;
      store<f32>(at, <f32>f64Cos(angle));
      store<f32>(at, <f32>f64Sin(angle), 4);
      at += (<usize>half) << 3;
    }
  }
}

// @ts-ignore: decorator
@unmanaged
export class Rope extends Tensor {
  /** The style: 1 for interleaved pairs, 0 for halves. */
  interleaved: i32;

  nanoseconds(_job: Job): f64 {
    return <f64>this.size * 0.5;
  }

  savedBytes(): usize {
    return 0;
  }

  scratchBytes(_job: Job, _threads: i32): usize {
    return 0;
  }

  readsSource(i: i32): bool {
    return i > 0;
  }

  readsResult(): bool {
    return false;
  }

  storesGradients(): bool {
    return true;
  }

  forward(thread: i32, threads: i32): void {
    ropeForward(this, thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    ropeBackward(this, thread, threads);
  }
}

class Turn {
  /** u·cos − v·sin. */
  // @ts-ignore: decorator
  @inline
  static first(u: v128, v: v128, cos: v128, sin: v128): v128 {
    return f32x4.sub(f32x4.mul(u, cos), f32x4.mul(v, sin));
  }

  /** u·sin + v·cos. */
  // @ts-ignore: decorator
  @inline
  static second(u: v128, v: v128, cos: v128, sin: v128): v128 {
    return f32x4.add(f32x4.mul(u, sin), f32x4.mul(v, cos));
  }

  // @ts-ignore: decorator
  @inline
  static put(at: usize, value: v128, add: bool): void {
    v128.store(at, add ? f32x4.add(v128.load(at), value) : value);
  }

  // @ts-ignore: decorator
  @inline
  static put1(at: usize, value: f32, add: bool): void {
    store<f32>(at, add ? load<f32>(at) + value : value);
  }
}

/** One head: out [2·half] = or += x turned; `flip` is the sign bit that turns the other way. */
function turnHead(
  out: usize,
  x: usize,
  table: usize,
  half: i32,
  interleaved: bool,
  flip: v128,
  add: bool,
): void {
  const apart: usize = interleaved ? 4 : (<usize>half) << 2;
  let i = 0;
  for (; i + 4 <= half; i += 4) {
    // c0 s0 c1 s1, c2 s2 c3 s3
    const low = v128.load(table);
    const high = v128.load(table, 16);
    const cos = v128.shuffle<f32>(low, high, 0, 2, 4, 6);
    const sin = v128.xor(v128.shuffle<f32>(low, high, 1, 3, 5, 7), flip);
    if (interleaved) {
      const left = v128.load(x);
      const right = v128.load(x, 16);
      const u = v128.shuffle<f32>(left, right, 0, 2, 4, 6);
      const v = v128.shuffle<f32>(left, right, 1, 3, 5, 7);
      const first = Turn.first(u, v, cos, sin);
      const second = Turn.second(u, v, cos, sin);
      Turn.put(out, v128.shuffle<f32>(first, second, 0, 4, 1, 5), add);
      Turn.put(out + 16, v128.shuffle<f32>(first, second, 2, 6, 3, 7), add);
      x += 32;
      out += 32;
    } else {
      const u = v128.load(x);
      const v = v128.load(x + apart);
      Turn.put(out, Turn.first(u, v, cos, sin), add);
      Turn.put(out + apart, Turn.second(u, v, cos, sin), add);
      x += 16;
      out += 16;
    }
    table += 32;
  }
  const step: usize = interleaved ? 8 : 4;
  for (; i < half; i++) {
    const cos = load<f32>(table);
    const sin = f32x4.extract_lane(v128.xor(v128.load32_splat(table + 4), flip), 0);
    const u = load<f32>(x);
    const v = load<f32>(x + apart);
    Turn.put1(out, u * cos - v * sin, add);
    Turn.put1(out + apart, u * sin + v * cos, add);
    x += step;
    out += step;
    table += 8;
  }
}

/** This thread's heads of to = or += from, turned. */
function turnAll(
  y: Rope,
  to: usize,
  from: usize,
  flip: v128,
  add: bool,
  thread: i32,
  threads: i32,
): void {
  const table = source(y, 1);
  const positions = source(y, 2).data;
  const heads = dim(y, 2);
  const d = dim(y, 3);
  const half = d >> 1;
  const n = y.size / d;
  const begin = Share.begin(n, 1, thread, threads);
  const end = Share.end(n, 1, thread, threads);
  for (let i = begin; i < end; i++) {
    const position = load<i32>(positions + ((<usize>(i / heads)) << 2));
    const at = (<usize>i * <usize>d) << 2;
    if (<u32>position >= <u32>dim(table, 0)) {
      for (let j: usize = 0; j < (<usize>d) << 2; j += 4) store<f32>(to + at + j, f32.NaN);
      continue;
    }
    const angles = table.data + ((<usize>position * <usize>d) << 2);
    turnHead(to + at, from + at, angles, half, y.interleaved != 0, flip, add);
  }
  addWork(thread, <u64>(end - begin) * <u64>d);
}

function ropeForward(y: Rope, thread: i32, threads: i32): void {
  turnAll(y, y.data, source(y, 0).data, i32x4.splat(0), false, thread, threads);
}

function ropeBackward(y: Rope, thread: i32, threads: i32): void {
  const x = source(y, 0);
  const dx = gradient(x);
  if (dx != 0) turnAll(y, dx, y.grad, v128.load(SIGN), accumulates(x), thread, threads);
}
