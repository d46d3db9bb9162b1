// Actions: what a step does besides making tensors. Each is done by a function that notes itself while a step is
// captured (`note`, record.ts), and done again by `repeat` when the captured step runs again.
// Before an action that reads values, the pending records are run (memoryPlan.ts).

import { weightRows } from "../gemm/weight";
import { count, Counter } from "../memory/state";
import { List, slot } from "../ops/optimizer";
import { Op } from "../tensor/op";
import { dataBytes, Flag, Tensor, tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { availableThreads } from "../threads/threads";
import { backward } from "./backward";
import { launch } from "./launch";
import { flush } from "./flush";
import { note } from "./record";
import { rerun } from "./run";
import { dropGradient } from "./tape";

/** Elements below which one thread updates alone: about 4 µs. The norm and scaling are four times as fast. */
const WORTH_THREADS: i32 = 4096;

/** How the repetition of a record ended. */
export const enum End {
  NoMemory = 0,
  Done = 1,
  /** An index was outside of its range; nothing behind the check has run. */
  Stopped = 2,
}

// @ts-ignore: decorator
@unmanaged
class ExpectInside extends Tensor {
  limit: i32;
  excepts: i32;
  except: i32;
}

// @ts-ignore: decorator
@unmanaged
class ClipGradients extends Tensor {
  maxNorm: f64;
}

/** Runs a job on the parameters of a list. */
function run(job: Job, at: usize): void {
  const list = changetype<List>(at);
  let elements = 0;
  const updates = job == Job.AdamW || job == Job.Sgd;
  for (let i = 0; i < list.count; i++) {
    const s = slot(at, i);
    const t = tensor(s.record);
    elements += t.size;
    if (updates) s.updated = i32(t.grad != 0);
  }
  const worth = updates ? WORTH_THREADS : 4 * WORTH_THREADS;
  const threads = elements < worth ? 1 : availableThreads();
  if (threads > 1) count(Counter.ParallelJobs, 1);
  launch(job, at, threads);
}

/** One AdamW step of all parameters in the list. */
export function adamw(list: usize): void {
  flush();
  note(Op.AdamW, 0, list);
  run(Job.AdamW, list);
}

/** One SGD step of all parameters in the list. */
export function sgd(list: usize): void {
  flush();
  note(Op.Sgd, 0, list);
  run(Job.Sgd, list);
}

/**
 * Multiplies all gradients in the list by min(1, maxNorm / (norm + 1e-6)) and returns their 2-norm before, taken as
 * one vector. With maxNorm 0, or a norm that is not finite, nothing is multiplied. The guard against dividing by
 * zero is PyTorch's.
 */
export function clipGradients(at: usize, maxNorm: f64): f64 {
  const noted = note(Op.ClipGradients, 0, at);
  if (noted != 0) changetype<ClipGradients>(noted).maxNorm = maxNorm;
  const norm = gradientNorm(at);
  const factor = maxNorm / (norm + 1e-6);
  if (maxNorm > 0 && norm <= f64.MAX_VALUE && factor < 1) {
    changetype<List>(at).factor = <f32>factor;
    run(Job.ScaleGradients, at);
  }
  return norm;
}

function gradientNorm(list: usize): f64 {
  run(Job.GradientSquares, list);
  let sum: f64 = 0;
  for (let i = 0; i < changetype<List>(list).count; i++) {
    const s = slot(list, i);
    if (tensor(s.record).grad != 0) sum += s.squares;
  }
  return sqrt<f64>(sum);
}

/**
 * Index of the first element of an int32 tensor (ids, targets, positions) outside [0, limit), −1 when there is
 * none. `except` is accepted too if `excepts` is set.
 */
export function firstOutside(at: usize, limit: i32, excepts: bool, except: i32): i32 {
  const noted = note(Op.ExpectInside, 1, at);
  if (noted != 0) {
    const r = changetype<ExpectInside>(noted);
    r.limit = limit;
    r.excepts = i32(excepts);
    r.except = except;
  }
  const t = tensor(at);
  if (t.data == 0) flush();
  for (let i = 0; i < t.size; i++) {
    const value = load<i32>(t.data + ((<usize>i) << 2));
    if (<u32>value >= <u32>limit && !(excepts && value == except)) return i;
  }
  return -1;
}

function repeatCheck(r: ExpectInside): End {
  return firstOutside(r.s0, r.limit, r.excepts != 0, r.except) < 0 ? End.Done : End.Stopped;
}

/** target = source in rows; both of one shape. */
export function copyDense(target: usize, source: usize): void {
  note(Op.CopyDense, 2, target, source);
  const t = tensor(target);
  const s = tensor(source);
  if (s.data == 0) flush();
  if (s.flags & Flag.Packed) weightRows(t.data, s);
  else memory.copy(t.data, s.data, dataBytes(s));
}

/** Does again what one record of a captured step says. */
export function repeat(t: Tensor): End {
  switch (t.op) {
    case Op.Leaf:
      memory.fill(t.grad, 0, (<usize>t.size) << 2);
      return End.Done;
    case Op.Backward:
      return backward(t.s0) ? End.Done : End.NoMemory;
    case Op.DropGradient:
      dropGradient(t.s0);
      return End.Done;
    case Op.ExpectInside:
      return repeatCheck(changetype<ExpectInside>(t));
    case Op.CopyDense:
      copyDense(t.s0, t.s1);
      return End.Done;
    case Op.ClipGradients:
      clipGradients(t.s0, changetype<ClipGradients>(t).maxNorm);
      return End.Done;
    case Op.AdamW:
      adamw(t.s0);
      return End.Done;
    case Op.Sgd:
      sgd(t.s0);
      return End.Done;
    default:
  }
  return rerun(changetype<usize>(t)) ? End.Done : End.NoMemory;
}
