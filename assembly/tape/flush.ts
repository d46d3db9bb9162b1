// Running what is pending: while a step is captured its ops are recorded, and run when a backward pass, an action or
// the end of the step asks for it.

import { state } from "../memory/state";
import { Flag, tensor } from "../tensor/tensor";
import { Job } from "../threads/job";
import { give, isPlanned, makePlan } from "./memoryPlan";
import { run } from "./run";

function firstPending(): usize {
  const s = state();
  let first: usize = 0;
  for (let r = s.tail; r != s.flushed; r = tensor(r).previous) first = r;
  return first;
}

function anyUnreachable(first: usize): bool {
  for (let r = first; r != 0; r = tensor(r).next)
    if (tensor(r).flags & Flag.Unreachable) return true;
  return false;
}

function runPending(first: usize): bool {
  for (let r = first; r != 0; r = tensor(r).next) {
    const t = tensor(r);
    if (isPlanned(t) && t.size > 0 && !run(t, Job.Forward)) return false;
  }
  return true;
}

/**
 * Gives the pending records of the step that is being captured memory, and runs them. Memory is planned for those alone
 * that nothing reads later, but the backward pass from `loss` if it is not 0. False when out of memory.
 */
function flushWith(loss: usize, plans: bool): bool {
  const s = state();
  const first = firstPending();
  const planned = plans && anyUnreachable(first);
  if (planned) {
    if (!makePlan(first, loss)) return false;
    for (let r = first; r != 0; r = tensor(r).next) {
      if (tensor(r).flags & Flag.Unreachable) tensor(r).flags |= Flag.Reused;
    }
  } else {
    for (let r = first; r != 0; r = tensor(r).next) if (!give(tensor(r), 0)) return false;
  }
  s.flushed = s.tail;
  return runPending(first);
}

/** Runs the pending records, for a backward pass from `loss`. False when out of memory. */
export function flushFor(loss: usize): bool {
  return state().recording == 0 || flushWith(loss, true);
}

/** Runs the pending records, behind which no pass comes. False when out of memory. */
export function flushLast(): bool {
  return flushWith(0, true);
}

/** Runs the pending records, whose values all stay; when out of memory the capture will fail. */
export function flush(): void {
  const s = state();
  if (s.recording == 1 && !flushWith(0, false)) s.recording = 2;
}
