// What the front end asks of an op's operands before the engine sees them.

import { ShapeError, UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { recording } from "../core/recording.ts";
import { Tensor } from "./tensor.ts";

/** Throws unless `x` is a tensor. */
export function expectTensor(op: string, x: unknown): asserts x is Tensor {
  if (x instanceof Tensor) return;
  throw new UsageError(
    `${op} got ${kindOf(x)}, but needs a tensor; tensor(...) makes one of numbers.`,
  );
}

/** Throws unless `x` is a float32 tensor; int32 tensors are indices, and nothing else. */
export function expectFloat(op: string, x: Tensor): void {
  if (x instanceof Tensor && x.dtype === "float32") return;
  expectTensor(op, x);
  throw new ShapeError(
    `${op} got an ${x.dtype} tensor of shape [${x.shape}], but needs float32. Integers serve as indices only.`,
  );
}

/** The axis counted from the front; negative axes count from the back, as in PyTorch. */
export function axisOf(op: string, axis: number, x: Tensor): number {
  expectTensor(op, x);
  const { rank } = x;
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    throw new ShapeError(
      rank === 0
        ? `${op} got axis ${kindOf(axis)}, but its tensor is a single number and has no axes.`
        : `${op} got axis ${kindOf(axis)} for the shape [${x.shape}]; give one from ${-rank} to ${rank - 1}.`,
    );
  }
  return axis < 0 ? axis + rank : axis;
}

/** Numbers of a list as an error shows them, whatever stands among them. */
export function shown(list: readonly unknown[]): string {
  return list.map(kindOf).join(",");
}

/** Throws unless the value is a list of sizes or axes; what they may be is another question. */
export function expectList(op: string, what: string, value: unknown): void {
  if (Array.isArray(value)) return;
  throw new UsageError(
    `${op} got ${kindOf(value)} as ${what}, but needs an array of whole numbers.`,
  );
}

/**
 * The shape that two shapes broadcast to: aligned at their last axes, with sizes of 1 (or none) repeated. `misfit`
 * makes the error of an axis whose sizes m and n do not go together.
 */
export function broadcastShape(
  a: readonly number[],
  b: readonly number[],
  misfit: (m: number, n: number, axis: number) => ShapeError,
): readonly number[] {
  if (a.length === b.length && a.every((n, axis) => n === b[axis])) return a;
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const m = a[axis - rank + a.length] ?? 1;
    const n = b[axis - rank + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1) throw misfit(m, n, axis);
    return m === 1 ? n : m;
  });
}

/** Throws while a step is captured: what TypeScript does with numbers, a replay would not do. */
export function expectNotCaptured(
  tensor: Tensor,
  what: "read" | "written" | "frozen or unfrozen",
): void {
  if (recording() === null) return;
  throw new UsageError(
    `A tensor of shape [${tensor.shape}] was ${what} by a captured function, which would happen in its first run only. ` +
      "Return tensors to read them, and give arrays as arguments to write them.",
  );
}

/** Throws unless `backward` can start from this tensor. */
export function expectDifferentiable(loss: Tensor): void {
  if (loss.persistent) {
    throw new UsageError(
      "backward() works inside a scope only, because ops outside record nothing. Wrap forward and backward in scope(() => { ... }), with several engines inside engine.run().",
    );
  }
  if (loss.engine.inSegment) {
    throw new UsageError(
      "backward() was called by a function given to recompute(), which backward passes run again. Return the loss, and call backward() on it outside.",
    );
  }
  if (loss.size !== 1) {
    throw new ShapeError(
      `backward() starts from a tensor of one element, but the shape is [${loss.shape}]. Reduce it with sum() or mean() first.`,
    );
  }
  if (!loss.requiresGrad) {
    throw new UsageError(
      "backward() found nothing to differentiate: no tensor with requiresGrad led to this one, or it was made under noGrad().",
    );
  }
}
