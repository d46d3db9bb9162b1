// Runs an op and its backward on one engine: y = op(inputs), and the gradients of Σ dy·y.

import type { Engine } from "../../src/core/engine.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

/** One operand. */
export interface Operand {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
  readonly dtype?: "float32" | "int32";
  /** Wants a gradient; float32 operands do unless told otherwise. */
  readonly grad?: boolean;
}

export interface Differentiated<Name extends string> {
  readonly y: Float32Array;
  readonly gradients: Readonly<Record<Name, Float32Array | null>>;
}

/**
 * With `fresh`, operands reach the op through two negations: their gradient buffer then holds nothing when the op's
 * backward begins, which ops may treat otherwise than one to which they add.
 */
export function differentiate<Name extends string>(
  engine: Engine,
  operands: Readonly<Record<Name, Operand>>,
  op: (tensors: Readonly<Record<Name, Tensor>>) => Tensor,
  dy: ArrayLike<number>,
  fresh = false,
): Differentiated<Name> {
  const names = Object.keys(operands) as Name[];
  return engine.run(() =>
    scope(() => {
      const leaves = {} as Record<Name, Tensor>;
      const given = {} as Record<Name, Tensor>;
      for (const name of names) {
        const { shape, data, dtype = "float32", grad = dtype === "float32" } = operands[name];
        const values = dtype === "float32" ? Float32Array.from(data) : Int32Array.from(data);
        leaves[name] = tensor(values, { shape, dtype, requiresGrad: grad });
        given[name] = fresh && grad ? leaves[name].neg().neg() : leaves[name];
      }
      const y = op(given);
      const weights = tensor(Float32Array.from(dy), { shape: y.shape });
      if (y.requiresGrad) y.mul(weights).sum().backward();
      const gradients = {} as Record<Name, Float32Array | null>;
      for (const name of names)
        gradients[name] = leaves[name].requiresGrad ? leaves[name].grad : null;
      return { y: Float32Array.from(y.toArray()), gradients };
    }),
  );
}

/** Does `run` make the engine use more than one thread? */
export function usesThreads(engine: Engine, run: () => void): boolean {
  const before = engine.stats().parallelJobs;
  run();
  return engine.stats().parallelJobs > before;
}
