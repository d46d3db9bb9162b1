// A linear layer with adapters. Low-rank terms are part of its product, those of several adapters as one.

import { UsageError } from "../core/error.ts";
import { optionName } from "../core/wording.ts";
import type { LinearLike } from "../nn/linear.ts";
import { type CrossEntropyOptions, crossEntropy } from "../tensor/crossEntropy.ts";
import { type LowRankBranch, linear } from "../tensor/linear.ts";
import { linearCrossEntropy } from "../tensor/linearCrossEntropy.ts";
import { composite } from "../tensor/scope.ts";
import { concat } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { AdaptedModule } from "./adaptedModule.ts";
import { type AdapterLayer, isLowRank } from "./layer.ts";

/** Stands for a linear layer. */
export class AdaptedLinear extends AdaptedModule<LinearLike> implements LinearLike {
  get inFeatures(): number {
    return this.base.inFeatures;
  }

  get outFeatures(): number {
    return this.base.outFeatures;
  }

  get storedTransposed(): boolean {
    return this.base.storedTransposed;
  }

  get weight(): Tensor {
    return this.base.weight;
  }

  get bias(): Tensor | null {
    return this.base.bias;
  }

  /** The weight in use, and the module's own. */
  protected override *linearWeights(): Generator<Tensor> {
    yield* super.linearWeights();
    yield this.weight;
    yield this.original("weight");
  }

  loss(x: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor {
    const layers = this.taking();
    if (layers.length === 0) return this.base.loss(x, targets, options);
    return composite(x, () => {
      if (this.bias !== null || !layers.every(isLowRank)) {
        return crossEntropy(this.forward(x), targets, options);
      }
      const lowRank = joined(this.#branches(layers));
      return linearCrossEntropy(x, this.weight, targets, { ...options, lowRank });
    });
  }

  protected override compute(x: Tensor, layers: readonly AdapterLayer[]): Tensor {
    const branches = this.#branches(layers);
    if (branches.length === 0) return this.base.forward(x);
    return linear(x, this.weight, this.bias, joined(branches));
  }

  #branches(layers: readonly AdapterLayer[]): LowRankBranch[] {
    return layers.flatMap((layer) => layer.branch?.(this.training) ?? []);
  }
}

/** Several branches as one: ranks concatenated, scales folded into B. */
function joined(branches: readonly LowRankBranch[]): LowRankBranch {
  const [first] = branches;
  if (first !== undefined && branches.length === 1) return first;
  const dropout = first?.dropout ?? 0;
  if (branches.some((branch) => (branch.dropout ?? 0) !== dropout)) {
    throw new UsageError(
      `The active adapters have different ${optionName("loraDropout")}, so they cannot train together. Activate one, or give them the same.`,
    );
  }
  return {
    a: concat(
      branches.map(({ a }) => a),
      0,
    ),
    b: concat(
      branches.map(({ b, scale }) => b.mul(scale)),
      1,
    ),
    scale: 1,
    dropout,
  };
}
