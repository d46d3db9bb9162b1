// Normalisation of rows, with a learned gain.

import { expectFunction, expectNumber } from "../core/kind.ts";
import { layerNorm, rmsNorm } from "../tensor/norm.ts";
import { allOrNothing } from "../tensor/record.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { emptyParameter, type Initializer } from "./init.ts";
import type { Layer } from "./layer.ts";
import { Module } from "./module.ts";

/** (x − mean) / sqrt(variance + eps) · weight + bias over the last axis (Ba et al. 2016). */
export class LayerNorm extends Module implements Layer {
  override readonly kind = "norm";
  readonly hiddenSize: number;
  readonly eps: number;

  constructor(size: number, eps = 1e-5, init: Initializer = emptyParameter) {
    super();
    expectFunction("The initializer", init);
    expectNumber("eps", eps);
    this.hiddenSize = size;
    this.eps = eps;
    allOrNothing(() => {
      this.addParameter("weight", init([size], "gain"));
      this.addParameter("bias", init([size], "bias"));
    });
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.parameter("weight"), this.parameter("bias"), this.eps);
  }
}

/** x / sqrt(mean(x²) + eps) · weight over the last axis (Zhang & Sennrich 2019). */
export class RmsNorm extends Module implements Layer {
  override readonly kind = "norm";
  readonly hiddenSize: number;
  readonly eps: number;

  constructor(size: number, eps = 1e-6, init: Initializer = emptyParameter) {
    super();
    expectFunction("The initializer", init);
    expectNumber("eps", eps);
    this.hiddenSize = size;
    this.eps = eps;
    this.addParameter("weight", init([size], "gain"));
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.parameter("weight"), this.eps);
  }
}

/** Either norm. */
export type Norm = LayerNorm | RmsNorm;
