// Where a tensor's gradient lies.

import type { Engine } from "../core/engine.ts";
import { Field, Flag } from "../core/op.ts";

/**
 * The gradient of a record in the engine's memory, in place: that of its root, or the copy that `retainGrad` asked for.
 * Null until a backward pass has reached it, and after it was dropped.
 */
export function gradientOf(
  { f32, i32 }: Engine,
  record: number,
  size: number,
): Float32Array | null {
  const root = (i32[(record + Field.root) >>> 2] ?? 0) >>> 0;
  const isReached = ((i32[(root + Field.flags) >>> 2] ?? 0) & Flag.HasGrad) !== 0;
  const at = (i32[(root + Field.grad) >>> 2] || i32[(root + Field.retainedGrad) >>> 2] || 0) >>> 2;
  return isReached && at !== 0 ? f32.subarray(at, at + size) : null;
}
