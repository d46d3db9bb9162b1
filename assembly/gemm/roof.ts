// The roofs that kernels are measured against. Arithmetic: twelve independent chains of Simd.madd, no memory access;
// mul+add in the baseline build, relaxed_madd in the relaxed one: 12·4·2 floating point operations a step.
// Reading: every byte once, through four sums, the least that can be done with a weight.
import { Simd } from "../math/simd";

/** Runs `steps` steps x = x·b + c on twelve accumulators and returns their sum, so that none can be dropped. */
export function roof(steps: i32, b: f32, c: f32): f32 {
  const vb = f32x4.splat(b);
  const vc = f32x4.splat(c);
  let x0 = f32x4.splat(<f32>0);
  let x1 = f32x4.splat(<f32>1);
  let x2 = f32x4.splat(<f32>2);
  let x3 = f32x4.splat(<f32>3);
  let x4 = f32x4.splat(<f32>4);
  let x5 = f32x4.splat(<f32>5);
  let x6 = f32x4.splat(<f32>6);
  let x7 = f32x4.splat(<f32>7);
  let x8 = f32x4.splat(<f32>8);
  let x9 = f32x4.splat(<f32>9);
  let x10 = f32x4.splat(<f32>10);
  let x11 = f32x4.splat(<f32>11);
  let n = steps;
  do {
    x0 = Simd.madd(x0, vb, vc);
    x1 = Simd.madd(x1, vb, vc);
    x2 = Simd.madd(x2, vb, vc);
    x3 = Simd.madd(x3, vb, vc);
    x4 = Simd.madd(x4, vb, vc);
    x5 = Simd.madd(x5, vb, vc);
    x6 = Simd.madd(x6, vb, vc);
    x7 = Simd.madd(x7, vb, vc);
    x8 = Simd.madd(x8, vb, vc);
    x9 = Simd.madd(x9, vb, vc);
    x10 = Simd.madd(x10, vb, vc);
    x11 = Simd.madd(x11, vb, vc);
  } while (--n > 0);
  x0 = f32x4.add(x0, x1);
  x0 = f32x4.add(x0, x2);
  x0 = f32x4.add(x0, x3);
  x0 = f32x4.add(x0, x4);
  x0 = f32x4.add(x0, x5);
  x0 = f32x4.add(x0, x6);
  x0 = f32x4.add(x0, x7);
  x0 = f32x4.add(x0, x8);
  x0 = f32x4.add(x0, x9);
  x0 = f32x4.add(x0, x10);
  x0 = f32x4.add(x0, x11);
  return Simd.sum(x0);
}

/** Reads `bytes` bytes, a multiple of 128 above 0, and returns a sum of them, so that none can be left out. */
export function readRoof(address: usize, bytes: usize): i32 {
  let at = address;
  const end = address + bytes;
  let x0 = i32x4.splat(0);
  let x1 = i32x4.splat(0);
  let x2 = i32x4.splat(0);
  let x3 = i32x4.splat(0);
  do {
    x0 = i32x4.add(x0, v128.load(at));
    x1 = i32x4.add(x1, v128.load(at, 16));
    x2 = i32x4.add(x2, v128.load(at, 32));
    x3 = i32x4.add(x3, v128.load(at, 48));
    x0 = i32x4.add(x0, v128.load(at, 64));
    x1 = i32x4.add(x1, v128.load(at, 80));
    x2 = i32x4.add(x2, v128.load(at, 96));
    x3 = i32x4.add(x3, v128.load(at, 112));
    at += 128;
  } while (at < end);
  return i32x4.extract_lane(i32x4.add(i32x4.add(x0, x1), i32x4.add(x2, x3)), 0);
}
