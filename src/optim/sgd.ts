// Stochastic gradient descent in PyTorch's form, with momentum μ:
//   d = g + wd·p,   m = μ·m + d,   p = p − lr·m        (nesterov: p − lr·(d + μ·m); without momentum: p − lr·d)

import { UsageError } from "../core/error.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { expectNotNegative, makeGroups, type Parameters } from "./group.ts";
import type { SlotValues } from "./list.ts";
import { Optimizer } from "./optimizer.ts";

/** SGD's settings, with PyTorch's defaults. */
export interface SGDOptions {
  /** Learning rate; default 1e-3. */
  readonly lr?: number;
  /** Share of the last direction that is kept; default 0. */
  readonly momentum?: number;
  /** Added to the gradient as weightDecay·p; default 0. */
  readonly weightDecay?: number;
  /** Look ahead along the momentum; default false. */
  readonly nesterov?: boolean;
}

const SGD_OPTIONS: OptionNames<SGDOptions> = {
  lr: true,
  momentum: true,
  weightDecay: true,
  nesterov: true,
};

/**
 * Gradient descent, for parameters or groups of them. With momentum, one buffer a parameter, made at its first step.
 * @throws UsageError for parameters that do not train, that come twice, or none; for settings out of range.
 */
export class SGD extends Optimizer {
  constructor(parameters: Parameters, options: SGDOptions = {}) {
    expectOptions(options, SGD_OPTIONS, "SGD");
    const { lr = 1e-3, momentum = 0, weightDecay = 0, nesterov = false } = options;
    expectNotNegative("momentum", momentum);
    if (nesterov && momentum === 0) {
      throw new UsageError("nesterov needs momentum above 0, but momentum is 0.");
    }
    super("SGD", makeGroups(parameters, lr, weightDecay), momentum > 0 ? 1 : 0);
    this.list.setHead("momentum", momentum);
    this.list.setNesterov(nesterov);
  }

  protected slotValues(lr: number, weightDecay: number): SlotValues {
    return { rate: lr, decay: weightDecay };
  }

  protected update(list: number): void {
    this.engine.wasm.sgd(list);
  }
}
