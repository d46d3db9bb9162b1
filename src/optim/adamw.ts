// AdamW (Loshchilov & Hutter, arXiv:1711.05101, algorithm 2), with PyTorch's placing of the learning rate:
//   p = p·(1 − lr·wd)
//   m = β1·m + (1−β1)·g,   v = β2·v + (1−β2)·g²
//   p = p − lr/(1−β1^t) · m / (sqrt(v)/sqrt(1−β2^t) + ε)
// Moments are float32; the scalars of a step are computed in float64 and rounded once.

import { UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { expectNotNegative, makeGroups, type Parameters } from "./group.ts";
import type { SlotValues } from "./list.ts";
import { Optimizer } from "./optimizer.ts";

/** AdamW's settings, with PyTorch's defaults. */
export interface AdamWOptions {
  /** Learning rate; default 1e-3. */
  readonly lr?: number;
  /** β1 and β2: how much of the running means is kept in each step; default 0.9 and 0.999. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment; default 1e-8. */
  readonly eps?: number;
  /** Share of each weight that a step takes off, times lr; default 0.01. */
  readonly weightDecay?: number;
}

const ADAMW_OPTIONS: OptionNames<AdamWOptions> = {
  lr: true,
  betas: true,
  eps: true,
  weightDecay: true,
};

function checkBetas(betas: readonly [number, number]): readonly [number, number] {
  const isShare = (beta: unknown): boolean => typeof beta === "number" && beta >= 0 && beta < 1;
  if (Array.isArray(betas) && betas.length === 2 && betas.every(isShare)) return betas;
  const found = Array.isArray(betas) ? `[${betas.map(kindOf).join(",")}]` : kindOf(betas);
  throw new UsageError(`betas are ${found}; both must be at least 0 and below 1.`);
}

/**
 * Adam with decoupled weight decay, for parameters or groups of them. Two moments a parameter, made at its first step.
 * @throws UsageError for parameters that do not train, that come twice, or none; for settings out of range.
 */
export class AdamW extends Optimizer {
  readonly #betas: readonly [number, number];
  #correctedStep = 0;
  #correction1 = 1;
  #rootCorrection = 1;

  constructor(parameters: Parameters, options: AdamWOptions = {}) {
    expectOptions(options, ADAMW_OPTIONS, "AdamW");
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = options;
    const [beta1, beta2] = checkBetas(betas);
    expectNotNegative("eps", eps);
    super("AdamW", makeGroups(parameters, lr, weightDecay), 2);
    this.#betas = [beta1, beta2];
    this.list.setHead("beta1", beta1);
    this.list.setHead("beta2", beta2);
    this.list.setHead("rest1", 1 - beta1);
    this.list.setHead("rest2", 1 - beta2);
    this.list.setHead("eps", eps);
  }

  protected slotValues(lr: number, weightDecay: number, step: number): SlotValues {
    if (step !== this.#correctedStep) {
      const { wasm } = this.engine;
      this.#correction1 = 1 - wasm.f64Pow(this.#betas[0], step);
      this.#rootCorrection = 1 / Math.sqrt(1 - wasm.f64Pow(this.#betas[1], step));
      this.#correctedStep = step;
    }
    return {
      rate: lr / this.#correction1,
      decay: 1 - lr * weightDecay,
      rootCorrection: this.#rootCorrection,
    };
  }

  protected update(list: number): void {
    this.engine.wasm.adamw(list);
  }
}
