// Normalisation of the rows of x [..., D], with a gain [D] and, for layer norm, an optional bias [D].
//   layer norm  y = gain ∘ n + bias,  n = (x − mean)·r,  r = 1 / sqrt(mean of (x − mean)² + eps)   arXiv:1607.06450, eq. 4
//   RMS norm    y = gain ∘ n,         n = x·r,           r = 1 / sqrt(mean of x² + eps)            arXiv:1910.07467, eq. 4
// Backward, with h = gain ∘ g:   dx = (h − mean(h) − n·mean(h ∘ n))·r, for RMS norm without the first mean
//   dgain = Σ over rows of g ∘ n     dbias = Σ over rows of g, both in the order of the rows
// Threads share rows for y and dx, columns for dgain and dbias.   saved: | r [rows] | mean [rows], layer norm only |
//
// Sources: x, gain, then bias if there is one

import { Part, rowDot, rowSum } from "../math/rowReduce";
import { Simd } from "../math/simd";
import { bounded } from "../memory/size";
import { accumulates, gradient, height, Share, source, Tensor, width } from "../tensor/tensor";
import { Job } from "../threads/job";
import { addWork, barrier } from "../threads/threads";
import { addRow } from "./copy";

/** A record of a norm. */
// @ts-ignore: decorator
@unmanaged
export class Normalized extends Tensor {
  hasBias: i32;
  eps: f32;
}

/** `K` is one of the two kinds below. */
// @ts-ignore: decorator
@unmanaged
export class Norm<K> extends Normalized {
  nanoseconds(job: Job): f64 {
    return <f64>this.size * (job == Job.Forward ? 0.5 : 0.9);
  }

  savedBytes(): usize {
    return bounded((<u64>height(this)) << (changetype<K>(0).centers() ? 3 : 2));
  }

  scratchBytes(_job: Job, _threads: i32): usize {
    return 0;
  }

  readsSource(i: i32): bool {
    return i < 2;
  }

  readsResult(): bool {
    return false;
  }

  storesGradients(): bool {
    return true;
  }

  forward(thread: i32, threads: i32): void {
    normForward(this, changetype<K>(0).centers(), thread, threads);
  }

  backward(thread: i32, threads: i32): void {
    normBackward(this, changetype<K>(0).centers(), thread, threads);
  }
}

// @ts-ignore: decorator
@unmanaged
export class LayerNorm {
  centers(): bool {
    return true;
  }
}

// @ts-ignore: decorator
@unmanaged
export class RmsNorm {
  centers(): bool {
    return false;
  }
}

class Sums {
  /** Σ (x − mean)², in the pattern of row.ts. */
  static squares(x: usize, n: i32, mean: f32): f32 {
    const end = x + ((<usize>n) << 2);
    const m = f32x4.splat(mean);
    let s0 = i32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    while (x + 64 <= end) {
      const d0 = f32x4.sub(v128.load(x), m);
      const d1 = f32x4.sub(v128.load(x, 16), m);
      const d2 = f32x4.sub(v128.load(x, 32), m);
      const d3 = f32x4.sub(v128.load(x, 48), m);
      s0 = Simd.madd(d0, d0, s0);
      s1 = Simd.madd(d1, d1, s1);
      s2 = Simd.madd(d2, d2, s2);
      s3 = Simd.madd(d3, d3, s3);
      x += 64;
    }
    while (x + 16 <= end) {
      const d = f32x4.sub(v128.load(x), m);
      s0 = Simd.madd(d, d, s0);
      x += 16;
    }
    let sum = Simd.sum(f32x4.add(f32x4.add(s0, s2), f32x4.add(s1, s3)));
    while (x < end) {
      const d = load<f32>(x) - mean;
      sum += d * d;
      x += 4;
    }
    return sum;
  }

  /** Σ h·(x − mean) with h = gain ∘ g. */
  static along(g: usize, gain: usize, x: usize, n: i32, mean: f32): f32 {
    const end = x + ((<usize>n) << 2);
    const m = f32x4.splat(mean);
    let s0 = i32x4.splat(0);
    let s1 = s0;
    while (x + 32 <= end) {
      const h0 = f32x4.mul(v128.load(g), v128.load(gain));
      const h1 = f32x4.mul(v128.load(g, 16), v128.load(gain, 16));
      s0 = Simd.madd(h0, f32x4.sub(v128.load(x), m), s0);
      s1 = Simd.madd(h1, f32x4.sub(v128.load(x, 16), m), s1);
      x += 32;
      g += 32;
      gain += 32;
    }
    let sum = Simd.sum(f32x4.add(s0, s1));
    while (x < end) {
      sum += load<f32>(g) * load<f32>(gain) * (load<f32>(x) - mean);
      x += 4;
      g += 4;
      gain += 4;
    }
    return sum;
  }
}

class Terms {
  /** (x − mean)·r·gain + bias. */
  // @ts-ignore: decorator
  @inline
  static output(x: v128, mean: v128, r: v128, gain: v128, bias: v128): v128 {
    return f32x4.add(f32x4.mul(f32x4.mul(f32x4.sub(x, mean), r), gain), bias);
  }

  /** (gain·g − a − (x − mean)·r·b)·r. */
  // @ts-ignore: decorator
  @inline
  static input(g: v128, gain: v128, x: v128, mean: v128, r: v128, a: v128, b: v128): v128 {
    const h = f32x4.sub(f32x4.mul(g, gain), a);
    const n = f32x4.mul(f32x4.sub(x, mean), r);
    return f32x4.mul(f32x4.sub(h, f32x4.mul(n, b)), r);
  }

  /** dgain + g·(x − mean)·r. */
  // @ts-ignore: decorator
  @inline
  static gain(sum: v128, g: v128, x: v128, mean: v128, r: v128): v128 {
    return f32x4.add(sum, f32x4.mul(g, f32x4.mul(f32x4.sub(x, mean), r)));
  }
}

/** y = (x − mean)·r·gain + bias. The bias 0 is none: address 0 holds a line of zeros, read again and again. */
function rowOutput(y: usize, x: usize, gain: usize, bias: usize, n: i32, mean: f32, r: f32): void {
  const m = f32x4.splat(mean);
  const k = f32x4.splat(r);
  const step = i32(bias != 0);
  const end = x + ((<usize>n) << 2);
  while (x + 64 <= end) {
    const y0 = Terms.output(v128.load(x), m, k, v128.load(gain), v128.load(bias));
    const y1 = Terms.output(v128.load(x, 16), m, k, v128.load(gain, 16), v128.load(bias, 16));
    const y2 = Terms.output(v128.load(x, 32), m, k, v128.load(gain, 32), v128.load(bias, 32));
    const y3 = Terms.output(v128.load(x, 48), m, k, v128.load(gain, 48), v128.load(bias, 48));
    v128.store(y, y0);
    v128.store(y, y1, 16);
    v128.store(y, y2, 32);
    v128.store(y, y3, 48);
    x += 64;
    y += 64;
    gain += 64;
    bias += step << 6;
  }
  while (x + 16 <= end) {
    v128.store(y, Terms.output(v128.load(x), m, k, v128.load(gain), v128.load(bias)));
    x += 16;
    y += 16;
    gain += 16;
    bias += step << 4;
  }
  const rest = <i32>((end - x) >> 2);
  if (rest == 0) return;
  const b = Part.load(bias, rest);
  Part.store(y, Terms.output(Part.load(x, rest), m, k, Part.load(gain, rest), b), rest);
}

function normForward(y: Normalized, isLayer: bool, thread: i32, threads: i32): void {
  const n = width(y);
  const rows = height(y);
  const gain = source(y, 1).data;
  const bias = y.hasBias != 0 ? source(y, 2).data : 0;
  const begin = Share.begin(rows, 1, thread, threads);
  const end = Share.end(rows, 1, thread, threads);
  for (let i = begin; i < end; i++) {
    const at = (<usize>i * <usize>n) << 2;
    const x = source(y, 0).data + at;
    let mean: f32 = 0;
    if (isLayer) {
      mean = rowSum(x, n) / <f32>n;
      store<f32>(y.saved + ((<usize>(rows + i)) << 2), mean);
    }
    const r: f32 = 1 / Simd.sqrt(Sums.squares(x, n, mean) / <f32>n + y.eps);
    store<f32>(y.saved + ((<usize>i) << 2), r);
    rowOutput(y.data + at, x, gain, bias, n, mean, r);
  }
  addWork(thread, <u64>(end - begin) * <u64>n);
}

class Saved {
  // @ts-ignore: decorator
  @inline
  static r(y: Tensor, row: i32): f32 {
    return load<f32>(y.saved + ((<usize>row) << 2));
  }

  // @ts-ignore: decorator
  @inline
  static mean(y: Tensor, isLayer: bool, rows: i32, row: i32): f32 {
    return isLayer ? load<f32>(y.saved + ((<usize>(rows + row)) << 2)) : 0;
  }
}

/** This thread's rows of dx. */
function inputGradient(y: Tensor, isLayer: bool, dx: usize, thread: i32, threads: i32): void {
  const n = width(y);
  const rows = height(y);
  const add = accumulates(source(y, 0));
  const end = Share.end(rows, 1, thread, threads);
  for (let i = Share.begin(rows, 1, thread, threads); i < end; i++) {
    const at = (<usize>i * <usize>n) << 2;
    let gain = source(y, 1).data;
    let x = source(y, 0).data + at;
    let g = y.grad + at;
    let out = dx + at;
    const rowMean = Saved.mean(y, isLayer, rows, i);
    const rowScale = Saved.r(y, i);
    const meanH: f32 = isLayer ? rowDot(g, gain, n) / <f32>n : 0;
    const meanHn: f32 = (Sums.along(g, gain, x, n, rowMean) * rowScale) / <f32>n;
    const m = f32x4.splat(rowMean);
    const r = f32x4.splat(rowScale);
    const a = f32x4.splat(meanH);
    const b = f32x4.splat(meanHn);
    const stop = x + ((<usize>n) << 2);
    while (x + 32 <= stop) {
      let d0 = Terms.input(v128.load(g), v128.load(gain), v128.load(x), m, r, a, b);
      let d1 = Terms.input(v128.load(g, 16), v128.load(gain, 16), v128.load(x, 16), m, r, a, b);
      if (add) {
        d0 = f32x4.add(v128.load(out), d0);
        d1 = f32x4.add(v128.load(out, 16), d1);
      }
      v128.store(out, d0);
      v128.store(out, d1, 16);
      x += 32;
      g += 32;
      gain += 32;
      out += 32;
    }
    while (x + 16 <= stop) {
      const d = Terms.input(v128.load(g), v128.load(gain), v128.load(x), m, r, a, b);
      v128.store(out, add ? f32x4.add(v128.load(out), d) : d);
      x += 16;
      g += 16;
      gain += 16;
      out += 16;
    }
    const k = <i32>((stop - x) >> 2);
    if (k > 0) {
      const d = Terms.input(Part.load(g, k), Part.load(gain, k), Part.load(x, k), m, r, a, b);
      Part.store(out, add ? f32x4.add(Part.load(out, k), d) : d, k);
    }
  }
}

/** This thread's columns of dgain and dbias (0: not needed), row after row. */
function parameterGradients(
  y: Tensor,
  isLayer: bool,
  dgain: usize,
  dbias: usize,
  thread: i32,
  threads: i32,
): void {
  const n = width(y);
  const rows = height(y);
  const begin = Share.begin(n, 16, thread, threads);
  const columns = Share.end(n, 16, thread, threads) - begin;
  const offset = (<usize>begin) << 2;
  const bytes = (<usize>columns) << 2;
  if (dgain != 0 && !accumulates(source(y, 1))) memory.fill(dgain + offset, 0, bytes);
  if (dbias != 0 && !accumulates(source(y, 2))) memory.fill(dbias + offset, 0, bytes);
  for (let i = 0; i < rows; i++) {
    const at = (<usize>i * <usize>n + <usize>begin) << 2;
    if (dbias != 0) addRow(dbias + offset, y.grad + at, columns);
    if (dgain == 0) continue;
    const m = f32x4.splat(Saved.mean(y, isLayer, rows, i));
    const r = f32x4.splat(Saved.r(y, i));
    let x = source(y, 0).data + at;
    let g = y.grad + at;
    let out = dgain + offset;
    const stop = x + bytes;
    while (x + 16 <= stop) {
      v128.store(out, Terms.gain(v128.load(out), v128.load(g), v128.load(x), m, r));
      x += 16;
      g += 16;
      out += 16;
    }
    const k = <i32>((stop - x) >> 2);
    if (k > 0) {
      Part.store(out, Terms.gain(Part.load(out, k), Part.load(g, k), Part.load(x, k), m, r), k);
    }
  }
}

function normBackward(y: Normalized, isLayer: bool, thread: i32, threads: i32): void {
  const dx = gradient(source(y, 0));
  const dgain = gradient(source(y, 1));
  const dbias = y.hasBias != 0 ? gradient(source(y, 2)) : 0;
  if (dx != 0) inputGradient(y, isLayer, dx, thread, threads);
  if (dgain != 0 || dbias != 0) {
    // One tensor may be x and gain at once: then rows and columns of one gradient are not to meet.
    if (dx == dgain || dx == dbias) barrier(thread, threads);
    parameterGradients(y, isLayer, dgain, dbias, thread, threads);
  }
  const passes = i32(dx != 0) + i32(dgain != 0) + i32(dbias != 0);
  addWork(thread, (<u64>y.size * <u64>passes) / <u64>threads);
}
