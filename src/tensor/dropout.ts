// Dropout: while training, elements are left out at random and the others scaled up (arXiv:1207.0580).

import type { Engine } from "../core/engine.ts";
import { UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { Op } from "../core/op.ts";
import { expectOptions, NO_OPTIONS, type OptionNames } from "../core/options.ts";
import { apply } from "./apply.ts";
import { expectFloat } from "./check.ts";
import type { Tensor } from "./tensor.ts";

/** How much dropout drops, and whether it does. */
export interface DropoutOptions {
  /** Probability with which an element becomes 0, at least 0 and below 1; default 0.5. */
  readonly p?: number;
  /** Without it, x is returned as it is; default true. */
  readonly training?: boolean;
}

const DROPOUT_OPTIONS: OptionNames<DropoutOptions> = { p: true, training: true };

/** The number by which the engine tells one dropout of a step from another. */
export function nextDropout(engine: Engine): number {
  return engine.wasm.nextDropout();
}

/**
 * x with each element 0 with probability p, and divided by 1 − p otherwise. What is left out depends on the seed
 * (`manualSeed`), the step, which dropout of the step it is, and the element's place: not on threads or machine.
 * @throws UsageError unless 0 <= p < 1.
 */
export function dropout(x: Tensor, options: DropoutOptions = NO_OPTIONS): Tensor {
  expectOptions(options, DROPOUT_OPTIONS, "dropout");
  const { p = 0.5, training = true } = options;
  expectFloat("dropout", x);
  if (!(typeof p === "number" && p >= 0 && p < 1)) {
    throw new UsageError(`dropout got p = ${kindOf(p)}; it must be at least 0 and below 1.`);
  }
  if (!training || p === 0) return x;
  return apply(Op.Dropout, [x], x.shape, { ordinal: nextDropout(x.engine), p });
}
