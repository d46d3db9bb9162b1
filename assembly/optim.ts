// Optimizers, fused: one pass over each parameter, its gradient and its moments, all threads at once, each element
// updated by one thread. They work on a list that the front end lays out in memory:
//   | count, β1, β2, ε, momentum, nesterov, factor | slot 0 | slot 1 | ...
// A parameter without a gradient is left alone, moments included, as in PyTorch.
//
//   AdamW (Loshchilov & Hutter 2019)   m = β1·m + (1−β1)·g;  v = β2·v + (1−β2)·g²
//                                      p = p·(1 − lr·wd) − lr/(1−β1^t) · m / (sqrt(v)/sqrt(1−β2^t) + ε)
//   SGD                                g += wd·p;  m = μ·m + g;  p −= lr · (nesterov ? g + μ·m : μ > 0 ? m : g)
//   global norm                        sqrt(Σ g²), in float64: a sum a tensor, then over the tensors in order

import { Job } from "./job";
import { addWork, availableThreads, launch } from "./parallel";
import { Share, Tensor, tensor } from "./tensor";

// @ts-ignore: decorator
@unmanaged
class List {
  count: i32;
  beta1: f32;
  beta2: f32;
  eps: f32;
  momentum: f32;
  nesterov: i32;
  /** What `scaleGradients` multiplies by. */
  factor: f32;
}

// @ts-ignore: decorator
@unmanaged
class Slot {
  /** The parameter's record. */
  record: usize;
  /** First moment or momentum buffer, and second moment; as large as the parameter. */
  m: usize;
  v: usize;
  /** AdamW: lr / (1 − β1^t). SGD: lr. */
  rate: f32;
  /** AdamW: 1 − lr·wd. SGD: wd. */
  decay: f32;
  /** AdamW: 1 / sqrt(1 − β2^t). */
  rootCorrection: f32;
  /** Σ g². */
  squares: f64;
}

const LIST_BYTES: usize = 64;
const SLOT_BYTES: usize = 32;
/** Elements below which one thread does it alone. */
const WORTH_THREADS: i32 = 4096;

/** Bytes of a list of `count` slots. */
export function optimizerListBytes(count: i32): usize {
  return LIST_BYTES + <usize>count * SLOT_BYTES;
}

function slot(list: usize, i: i32): Slot {
  return changetype<Slot>(list + LIST_BYTES + <usize>i * SLOT_BYTES);
}

function run(job: Job, at: usize): void {
  const list = changetype<List>(at);
  let elements = 0;
  for (let i = 0; i < list.count; i++) elements += tensor(slot(at, i).record).size;
  launch(job, at, elements < WORTH_THREADS ? 1 : availableThreads());
}

/** One AdamW step of all parameters in the list. */
export function adamw(list: usize): void {
  run(Job.AdamW, list);
}

/** One SGD step of all parameters in the list. */
export function sgd(list: usize): void {
  run(Job.Sgd, list);
}

/** The 2-norm of all gradients in the list taken as one vector. */
export function gradientNorm(list: usize): f64 {
  run(Job.GradientSquares, list);
  let sum: f64 = 0;
  for (let i = 0; i < changetype<List>(list).count; i++) {
    const s = slot(list, i);
    if (tensor(s.record).grad != 0) sum += s.squares;
  }
  return sqrt<f64>(sum);
}

/** Multiplies all gradients in the list by the list's factor. */
export function scaleGradients(list: usize): void {
  run(Job.ScaleGradients, list);
}

/** A thread's share of a job on a list. */
export function optimize(job: Job, at: usize, thread: i32, threads: i32): void {
  const list = changetype<List>(at);
  for (let i = 0; i < list.count; i++) {
    const s = slot(at, i);
    const t = tensor(s.record);
    if (t.grad == 0) continue;
    if (job == Job.GradientSquares) {
      if (i % threads == thread) s.squares = squares(t);
      continue;
    }
    const begin = Share.begin(t.size, 16, thread, threads);
    const end = Share.end(t.size, 16, thread, threads);
    if (job == Job.AdamW) adamwShare(list, s, t, begin, end);
    else if (job == Job.Sgd) sgdShare(list, s, t, begin, end);
    else scaleShare(t, list.factor, begin, end);
    addWork(thread, <u64>(end - begin));
  }
}

/** Loops run over the pad of a tensor, as blocks are padded to 64 bytes. */
function adamwShare(list: List, s: Slot, t: Tensor, begin: i32, end: i32): void {
  const beta1 = f32x4.splat(list.beta1);
  const beta2 = f32x4.splat(list.beta2);
  const rest1 = f32x4.splat(1 - list.beta1);
  const rest2 = f32x4.splat(1 - list.beta2);
  const eps = f32x4.splat(list.eps);
  const rate = f32x4.splat(s.rate);
  const decay = f32x4.splat(s.decay);
  const root = f32x4.splat(s.rootCorrection);
  for (let i = begin; i < end; i += 4) {
    const at = <usize>i << 2;
    const g = v128.load(t.grad + at);
    const m = f32x4.add(f32x4.mul(beta1, v128.load(s.m + at)), f32x4.mul(rest1, g));
    const v = f32x4.add(f32x4.mul(beta2, v128.load(s.v + at)), f32x4.mul(rest2, f32x4.mul(g, g)));
    const below = f32x4.add(f32x4.mul(f32x4.sqrt(v), root), eps);
    const p = f32x4.mul(v128.load(t.data + at), decay);
    v128.store(s.m + at, m);
    v128.store(s.v + at, v);
    v128.store(t.data + at, f32x4.sub(p, f32x4.mul(rate, f32x4.div(m, below))));
  }
}

function sgdShare(list: List, s: Slot, t: Tensor, begin: i32, end: i32): void {
  const momentum = f32x4.splat(list.momentum);
  const rate = f32x4.splat(s.rate);
  const decay = f32x4.splat(s.decay);
  for (let i = begin; i < end; i += 4) {
    const at = <usize>i << 2;
    const p = v128.load(t.data + at);
    const g = f32x4.add(v128.load(t.grad + at), f32x4.mul(decay, p));
    let direction = g;
    if (s.m != 0) {
      const m = f32x4.add(f32x4.mul(momentum, v128.load(s.m + at)), g);
      v128.store(s.m + at, m);
      direction = list.nesterov ? f32x4.add(g, f32x4.mul(momentum, m)) : m;
    }
    v128.store(t.data + at, f32x4.sub(p, f32x4.mul(rate, direction)));
  }
}

function scaleShare(t: Tensor, by: f32, begin: i32, end: i32): void {
  const factor = f32x4.splat(by);
  for (let i = begin; i < end; i += 4) {
    const at = t.grad + (<usize>i << 2);
    v128.store(at, f32x4.mul(v128.load(at), factor));
  }
}

/** Σ g² in float64: lanes 0 and 1 of pairs of elements, then the odd one out. */
function squares(t: Tensor): f64 {
  let sum = f64x2.splat(0);
  const n = t.size;
  const even = n & ~1;
  for (let i = 0; i < even; i += 2) {
    const g = f64x2.promote_low_f32x4(v128.load64_zero(t.grad + (<usize>i << 2)));
    sum = f64x2.add(sum, f64x2.mul(g, g));
  }
  let total = f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
  if (even < n) {
    const g = <f64>load<f32>(t.grad + (<usize>even << 2));
    total += g * g;
  }
  return total;
}
