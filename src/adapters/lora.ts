// LoRA on one linear layer (Hu et al. 2021, arXiv:2106.09685): y = x·Wᵀ + s·drop(x)·Aᵀ·Bᵀ, ΔW = s·B·A,
// A [r, K], B [N, r], s = alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA.

import { expectOptions, type OptionNames } from "../core/options.ts";
import { expectTensor } from "../tensor/check.ts";
import { zeros } from "../tensor/create.ts";
import type { LowRankBranch } from "../tensor/linear.ts";
import { matmul } from "../tensor/matmul.ts";
import { normal, uniform } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LoraConfig } from "./config.ts";
import type { AdapterLayer } from "./layer.ts";

/** Sizes and scale of LoRA on one linear layer. */
export interface LoraShape {
  /** K: width of the layer's input. */
  readonly inFeatures: number;
  /** N: width of its output. */
  readonly outFeatures: number;
  readonly r: number;
  /** s. */
  readonly scale: number;
  readonly dropout: number;
}

const LORA_SHAPE: OptionNames<LoraShape> = {
  inFeatures: true,
  outFeatures: true,
  r: true,
  scale: true,
  dropout: true,
};

/** LoRA's two factors on one linear layer. */
export class LoraLayer implements AdapterLayer {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly r: number;
  readonly scale: number;
  readonly dropout: number;

  constructor(a: Tensor, b: Tensor, shape: LoraShape) {
    expectTensor("LoraLayer", a);
    expectTensor("LoraLayer", b);
    expectOptions(shape, LORA_SHAPE, "LoraLayer");
    this.a = a;
    this.b = b;
    this.r = shape.r;
    this.scale = shape.scale;
    this.dropout = shape.dropout;
  }

  get tensors(): ReadonlyMap<string, Tensor> {
    return new Map([
      ["lora_A.weight", this.a],
      ["lora_B.weight", this.b],
    ]);
  }

  branch(training: boolean): LowRankBranch {
    return { a: this.a, b: this.b, scale: this.scale, dropout: training ? this.dropout : 0 };
  }

  delta(): Tensor {
    return matmul(this.b, this.a).mul(this.scale);
  }

  dispose(): void {
    this.a.dispose();
    this.b.dispose();
  }
}

/**
 * A fresh layer. `initLoraWeights` as in PEFT: true = A uniform in ±1/sqrt(K) and B zero, "gaussian" = A normal of
 * standard deviation 1/r and B zero, false = B too is uniform, in ±1/sqrt(r).
 */
export function makeLoraLayer(
  shape: LoraShape,
  init: LoraConfig["initLoraWeights"],
  random: { readonly seed: number; readonly stream: number },
): LoraLayer {
  const { inFeatures: k, outFeatures: n, r } = shape;
  const options = { seed: random.seed, persistent: true, requiresGrad: true };
  // A and B have a stream each: 2·stream and 2·stream + 1, modulo 2^32.
  const streamA = (random.stream * 2) >>> 0;
  const spread = (width: number, dims: readonly number[], stream: number): Tensor => {
    const bound = 1 / Math.sqrt(width);
    return uniform(dims, { ...options, stream, low: -bound, high: bound });
  };
  const a =
    init === "gaussian"
      ? normal([r, k], { ...options, stream: streamA, std: 1 / r })
      : spread(k, [r, k], streamA);
  const b =
    init === false
      ? spread(r, [n, r], streamA + 1)
      : zeros([n, r], { persistent: true, requiresGrad: true });
  return new LoraLayer(a, b, shape);
}
