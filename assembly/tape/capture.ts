// Programs: a step that was captured once and runs again as one call. The step's scope is not closed; it is put
// aside with an arena of its own, and what it recorded (ops, and the actions between them) is the program:
//
//   capture   begin · the front end runs the step, every op and action appends a record · end
//   replay    the arena is put in place, and the records are run in order, on inputs that were written anew
//
// The records of a program keep their addresses and buffers, so a replay allocates nothing that outlives it; it does
// the same work in the same order as the step itself, and so gives the same bits.

import { End, repeat } from "./actions";
import { allocate } from "../memory/allocate";
import { releaseIdleChunks } from "../memory/chunks";
import { release } from "../memory/heap";
import { count, counted, Counter, state } from "../memory/state";
import { captureList } from "../ops/optimizer";
import { Op } from "../tensor/op";
import { Flag, source, tensor } from "../tensor/tensor";
import { flushLast } from "./flush";
import { closeScope, openScope } from "./tape";

/** What of the engine's state belongs to a program. While it is in place, the fields hold what it stands in for. */
// @ts-ignore: decorator
@unmanaged
class Program {
  firstChunk: usize;
  chunk: usize;
  cursor: usize;
  mark: usize;
  tail: usize;
  depth: i32;
  /** Dropouts of one run: what is drawn after it goes on from there. */
  dropouts: u32;
  bytes: f64;
}

/** Exchanges the arena and tape in use with those in the program. */
function swap(at: usize): void {
  const s = state();
  const p = changetype<Program>(at);
  const firstChunk = s.firstChunk;
  const chunk = s.chunk;
  const cursor = s.cursor;
  const mark = s.mark;
  const tail = s.tail;
  const depth = s.depth;
  const bytes = counted(Counter.ArenaBytes);
  s.firstChunk = p.firstChunk;
  s.chunk = p.chunk;
  s.cursor = p.cursor;
  s.mark = p.mark;
  s.tail = p.tail;
  s.depth = p.depth;
  s.inProgram ^= 1;
  count(Counter.ArenaBytes, p.bytes - bytes);
  p.firstChunk = firstChunk;
  p.chunk = chunk;
  p.cursor = cursor;
  p.mark = mark;
  p.tail = tail;
  p.depth = depth;
  p.bytes = bytes;
}

/** Opens a scope in an arena of its own, whose records will be a program; 0 when out of memory. */
export function beginProgram(): usize {
  const at = allocate(offsetof<Program>());
  if (at == 0) return 0;
  memory.fill(at, 0, offsetof<Program>());
  // What scopes have left idle serves the program, so that a step needs no second arena.
  releaseIdleChunks();
  swap(at);
  if (!openScope()) {
    swap(at);
    release(at);
    return 0;
  }
  const s = state();
  s.recording = 1;
  s.flushed = 0;
  s.plan = 0;
  s.planBytes = 0;
  return at;
}

/**
 * Runs what is still pending, unless the step was broken off, and puts the program aside; false when memory ran out for
 * one of its records: it must not be run then.
 */
export function endProgram(at: usize, complete: bool): bool {
  const s = state();
  const whole = complete && s.recording == 1 && flushLast();
  changetype<Program>(at).dropouts = s.dropoutOrdinal;
  s.recording = 0;
  for (let r = s.tail; r != 0; r = tensor(r).previous) {
    const t = tensor(r);
    for (let i = 0; i < t.sources; i++) source(t, i).flags |= Flag.Captured;
    if (t.op >= Op.ClipGradients) captureList(t.s0);
  }
  swap(at);
  return whole;
}

/** Frees a program that was put aside, with all its tensors. */
export function releaseProgram(at: usize): void {
  const s = state();
  // Those of an open scope, whose backward will come to them.
  const segments = s.segments;
  swap(at);
  closeScope();
  s.segments = segments;
  releaseIdleChunks();
  swap(at);
  release(at);
}

/** Runs a program again, as one step: its dropout masks are those of the next scope. */
export function runProgram(at: usize): i32 {
  swap(at);
  state().stepCounter += 1;
  state().dropoutOrdinal = changetype<Program>(at).dropouts;
  const end = replay();
  swap(at);
  return end;
}

/** Runs the records in place again, in order; their inputs may have been written anew. */
export function replay(): i32 {
  let first = state().tail;
  if (first == 0) return End.Done;
  while (tensor(first).previous != 0) first = tensor(first).previous;
  for (let r = first; r != 0; r = tensor(r).next) {
    const end = repeat(tensor(r));
    if (end != End.Done) return end;
  }
  return End.Done;
}
