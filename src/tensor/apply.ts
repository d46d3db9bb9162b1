// Ops: the one place where an op is checked against its sources, brought what it cannot read, and recorded.

import { current } from "../core/engine.ts";
import { ReleasedError, UsageError } from "../core/error.ts";
import type { Attributes, OpOf } from "../core/op.ts";
import { recording } from "../core/recording.ts";
import { copyOf, recorded } from "./record.ts";
import { composite } from "./scope.ts";
import type { DType, Tensor } from "./tensor.ts";

/**
 * Runs `op` on `sources` and records it if a scope is open. The result is of `dtype`.
 * @throws ReleasedError for a source that is gone, MemoryError when memory cannot grow.
 */
export function apply<Int extends string, Float extends string>(
  op: OpOf<Int, Float>,
  sources: readonly Tensor[],
  shape: readonly number[],
  attributes: Attributes<Int | Float>,
  dtype: DType = "float32",
): Tensor {
  const engine = sources[0]?.engine ?? current();
  const captured = recording() !== null;
  for (let i = 0; i < sources.length; i++) {
    const source = sources[i]!;
    if (source.engine !== engine) {
      source.engine.expectOpen();
      throw new UsageError("The tensors belong to two engines; an op works within one.");
    }
    if (source.packed && engine.wasm.readsPanels(op.code, i) === 0) {
      const dense = () => sources.with(i, copyOf(source));
      return composite({ engine }, () => apply(op, dense(), shape, attributes, dtype));
    }
    if (captured) expectOwn(source);
  }
  return recorded(engine, op, sources, shape, attributes, dtype);
}

/** Throws for what is gone in a captured step, and for a result of another one, which would not see it go. */
function expectOwn(source: Tensor): void {
  if (source.isGone) {
    throw new ReleasedError(
      `A tensor of shape [${source.shape}] that a module of a captured step made on the way to its result was used after backward(). ` +
        "Use it before, or let the module return it.",
    );
  }
  if (!source.isResult || source.engine.scopes.some((scope) => source.belongsTo(scope))) return;
  throw new UsageError(
    `A captured function uses a tensor of shape [${source.shape}] that another captured step gave. ` +
      "Copy it with clone() outside of the function.",
  );
}
