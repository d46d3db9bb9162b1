// What the front end tells a step that is being captured (src/tensor/capture.ts): the numbers it takes in, what it
// rests on besides, and what has to be done in TypeScript around each replay. At most one step is captured at a time.

import type { Engine } from "./engine.ts";

/** What is done in TypeScript around a replay. */
export interface Around {
  /** Before: writes what the program reads, a learning rate say. */
  readonly before: () => void;
  /** After; the program may have stopped before its end. */
  readonly after: (complete: boolean) => void;
}

/** A step that is being captured. */
export interface Recording {
  readonly engine: Engine;
  /** A tensor, record at `address`, was made from these numbers. */
  input(data: Float32Array | Int32Array, address: number): void;
  /** The step went this way because of what `probe` gives: replays ask it again, and another answer ends them. */
  depends(probe: () => unknown): void;
  /** Replays ask this once their inputs are written, before anything is computed; false records the step anew. */
  holds(condition: () => boolean): void;
  /** Throws when indices are wrong; called when a replay has stopped at one. */
  check(check: () => void): void;
  /** Brackets replays with `around`; `owner` may do so once a step. */
  around(owner: object, around: Around): void;
  /** The int32 at `address` moves on: each replay begins with writing what `value` gives then. */
  moves(address: number, value: () => number): void;
  /** Is disposed of with the program. */
  owns(resource: { dispose(): void }): void;
}

let active: Recording | null = null;
let changes = 0;

/** The step that is being captured now, if any. */
export function recording(): Recording | null {
  return active;
}

/** Makes `now` the step that is captured while `fn` runs. */
export function record<T>(now: Recording, fn: () => T): T {
  active = now;
  try {
    return fn();
  } finally {
    active = null;
  }
}

/** Says that modules or tensors which a captured step may rest on have been changed or replaced. */
export function structureChanged(): void {
  changes += 1;
}

/** How often `structureChanged` was called. */
export function structureChanges(): number {
  return changes;
}
