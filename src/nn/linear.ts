// A linear layer, y = x·Wᵀ + b.

import { expectFunction } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { expectTensor } from "../tensor/check.ts";
import { type CrossEntropyOptions, crossEntropy } from "../tensor/crossEntropy.ts";
import { linear } from "../tensor/linear.ts";
import { linearCrossEntropy } from "../tensor/linearCrossEntropy.ts";
import { allOrNothing } from "../tensor/record.ts";
import { composite } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { emptyParameter, type Initializer } from "./init.ts";
import { Module } from "./module.ts";

/** What a linear layer may have or share. */
export interface LinearOptions {
  /** Default true. */
  readonly bias?: boolean;
  /** Files hold the weight as [in, out] (GPT-2's Conv1D); in memory it is [out, in] all the same. */
  readonly storedTransposed?: boolean;
  /** Shares this weight instead of making one (a head tied to the embedding). */
  readonly weight?: Tensor;
}

const LINEAR_OPTIONS: OptionNames<LinearOptions> = {
  bias: true,
  storedTransposed: true,
  weight: true,
};

/** What a layer offers that maps [..., inFeatures] to [..., outFeatures]. */
export interface LinearLike extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** Files hold the weight as [in, out]. */
  readonly storedTransposed: boolean;
  /** W [outFeatures, inFeatures]. */
  readonly weight: Tensor;
  /** b [outFeatures], or null. */
  readonly bias: Tensor | null;
  forward(x: Tensor): Tensor;
  /** The cross-entropy of `forward(x)` as logits. */
  loss(x: Tensor, targets: Tensor, options?: CrossEntropyOptions): Tensor;
}

/** Whether a module is a linear layer, or stands for one. */
export function isLinear(module: Module): module is LinearLike {
  return module.kind === "linear";
}

/** y = x·Wᵀ + b with W [outFeatures, inFeatures]. */
export class Linear extends Module implements LinearLike {
  override readonly kind = "linear";
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly hasBias: boolean;
  readonly storedTransposed: boolean;

  constructor(
    inFeatures: number,
    outFeatures: number,
    options: LinearOptions = {},
    init: Initializer = emptyParameter,
  ) {
    super();
    expectOptions(options, LINEAR_OPTIONS, "Linear");
    expectFunction("The initializer", init);
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    this.hasBias = options.bias ?? true;
    this.storedTransposed = options.storedTransposed ?? false;
    allOrNothing(() => {
      this.addParameter("weight", options.weight ?? init([outFeatures, inFeatures], "weight"));
      if (this.hasBias) this.addParameter("bias", init([outFeatures], "bias"));
    });
  }

  /** W [outFeatures, inFeatures]. */
  get weight(): Tensor {
    return this.parameter("weight");
  }

  /** b [outFeatures], or null. */
  get bias(): Tensor | null {
    return this.hasBias ? this.parameter("bias") : null;
  }

  /** Puts another weight of the same shape in place; the old one is not disposed of. */
  replaceWeight(weight: Tensor): void {
    this.replaceParameter("weight", weight);
  }

  /** The cross-entropy of `forward(x)` as logits; without a bias they are not stored. See `linearCrossEntropy`. */
  loss(x: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor {
    if (!this.hasBias) return linearCrossEntropy(x, this.weight, targets, options);
    expectTensor("Linear", x);
    return composite(x, () => crossEntropy(this.forward(x), targets, options));
  }

  protected override *linearWeights(): Generator<Tensor> {
    yield* super.linearWeights();
    yield this.weight;
  }

  /** x [..., inFeatures] to [..., outFeatures]. */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }
}
