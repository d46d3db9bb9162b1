// Optimizers, fused: one pass over each parameter, its gradient and its moments, all threads at once, each element
// updated by one thread. They work on a list that the front end lays out in memory:
//   | count, β1, β2, 1−β1, 1−β2, ε, momentum, nesterov, factor | slot 0 | slot 1 | ...
// A parameter without a gradient is left alone, moments included, as in PyTorch. No operation is fused, so both
// builds give the same bits.
//
//   AdamW (Loshchilov & Hutter 2019)   m = β1·m + (1−β1)·g;  v = β2·v + (1−β2)·g²
//                                      p = p·(1 − lr·wd) − lr/(1−β1^t) · m / (sqrt(v)/sqrt(1−β2^t) + ε)
//   SGD                                g += wd·p;  m = μ·m + g;  p −= lr · (nesterov ? g + μ·m : μ > 0 ? m : g)
//   global norm                        sqrt(Σ g²), in float64: a sum a tensor, then over the tensors in order

import { allocate } from "../memory/allocate";
import { release } from "../memory/heap";
import { count, Counter } from "../memory/state";
import { Flag, Share, Tensor, tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { addWork } from "../threads/threads";

// @ts-ignore: decorator
@unmanaged
export class List {
  count: i32;
  beta1: f32;
  beta2: f32;
  /** 1 − β, rounded once: in float32 1 − 0.999 would be off by 1e-5. */
  rest1: f32;
  rest2: f32;
  eps: f32;
  momentum: f32;
  nesterov: i32;
  /** What clipping multiplies by. */
  factor: f32;
}

// @ts-ignore: decorator
@unmanaged
export class Slot {
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
  /** Has the last update changed the parameter? Without a gradient it does not. */
  updated: i32;
}

const LIST_BYTES: usize = 64;
const SLOT_BYTES: usize = 40;

export function slot(list: usize, i: i32): Slot {
  return changetype<Slot>(list + LIST_BYTES + <usize>i * SLOT_BYTES);
}

/** A zeroed moment of a parameter of `elements` elements; 0 when memory cannot grow. */
export function allocateMoment(elements: i32): usize {
  const bytes = (<usize>elements) << 2;
  const at = allocate(bytes);
  if (at == 0) return 0;
  memory.fill(at, 0, (bytes + 63) & ~63);
  count(Counter.OptimizerBytes, <f64>bytes);
  return at;
}

/** Frees a moment; `elements` as it was made. */
export function releaseMoment(at: usize, elements: i32): void {
  if (at == 0) return;
  release(at);
  count(Counter.OptimizerBytes, -(<f64>elements * 4));
}

/** Marks the parameters of a list as read by a captured program. */
export function captureList(at: usize): void {
  for (let i = 0; i < changetype<List>(at).count; i++) {
    tensor(slot(at, i).record).flags |= Flag.Captured;
  }
}

/** A thread's share of a job on a list. */
export function optimize(job: Job, at: usize, thread: i32, threads: i32): void {
  if (job == Job.GradientSquares) {
    squaresShare(at, thread, threads);
    return;
  }
  const list = changetype<List>(at);
  for (let i = 0; i < list.count; i++) {
    const s = slot(at, i);
    const t = tensor(s.record);
    if (t.grad == 0) continue;
    const begin = Share.begin(t.size, 16, thread, threads);
    const end = Share.end(t.size, 16, thread, threads);
    if (job == Job.AdamW) adamwShare(list, s, t, begin, end);
    else if (job == Job.Sgd) sgdShare(list, s, t, begin, end);
    else scaleShare(t, list.factor, begin, end);
    addWork(thread, <u64>(end - begin));
  }
}

/** Whole tensors, each to the thread in whose share of all elements its middle lies. */
function squaresShare(at: usize, thread: i32, threads: i32): void {
  const slots = changetype<List>(at).count;
  let all: i64 = 0;
  for (let i = 0; i < slots; i++) all += tensor(slot(at, i).record).size;
  let before: i64 = 0;
  for (let i = 0; i < slots; i++) {
    const s = slot(at, i);
    const t = tensor(s.record);
    const owner = <i32>(((2 * before + t.size) * threads) / max<i64>(2 * all, 1));
    before += t.size;
    if (t.grad == 0 || min(owner, threads - 1) != thread) continue;
    s.squares = squares(t);
    addWork(thread, <u64>t.size);
  }
}

/** Loops run over the pad of a tensor, as blocks are padded to 64 bytes. */
function adamwShare(list: List, s: Slot, t: Tensor, begin: i32, end: i32): void {
  const beta1 = f32x4.splat(list.beta1);
  const beta2 = f32x4.splat(list.beta2);
  const rest1 = f32x4.splat(list.rest1);
  const rest2 = f32x4.splat(list.rest2);
  const eps = f32x4.splat(list.eps);
  const rate = f32x4.splat(s.rate);
  const decay = f32x4.splat(s.decay);
  const root = f32x4.splat(s.rootCorrection);
  for (let i = begin; i < end; i += 4) {
    const at = (<usize>i) << 2;
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
    const at = (<usize>i) << 2;
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
    const at = t.grad + ((<usize>i) << 2);
    v128.store(at, f32x4.mul(v128.load(at), factor));
  }
}

/** Σ g² in float64: element i goes to lane i mod 8, so that additions need not wait for each other; the rest last. */
function squares(t: Tensor): f64 {
  let sum0 = f64x2.splat(0);
  let sum1 = f64x2.splat(0);
  let sum2 = f64x2.splat(0);
  let sum3 = f64x2.splat(0);
  const whole = t.size & ~7;
  for (let i = 0; i < whole; i += 8) {
    const at = t.grad + ((<usize>i) << 2);
    const g0 = f64x2.promote_low_f32x4(v128.load64_zero(at));
    const g1 = f64x2.promote_low_f32x4(v128.load64_zero(at, 8));
    const g2 = f64x2.promote_low_f32x4(v128.load64_zero(at, 16));
    const g3 = f64x2.promote_low_f32x4(v128.load64_zero(at, 24));
    sum0 = f64x2.add(sum0, f64x2.mul(g0, g0));
    sum1 = f64x2.add(sum1, f64x2.mul(g1, g1));
    sum2 = f64x2.add(sum2, f64x2.mul(g2, g2));
    sum3 = f64x2.add(sum3, f64x2.mul(g3, g3));
  }
  const sum = f64x2.add(f64x2.add(sum0, sum1), f64x2.add(sum2, sum3));
  let total = f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
  for (let i = whole; i < t.size; i++) {
    const g = <f64>load<f32>(t.grad + ((<usize>i) << 2));
    total += g * g;
  }
  return total;
}
