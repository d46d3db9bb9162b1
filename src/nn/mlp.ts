// The feed-forward part of a block: down(act(gate(x)) ∘ up(x)) (SwiGLU, Shazeer 2020), or down(act(up(x))).

import { expectFunction } from "../core/kind.ts";
import { gelu, relu, silu } from "../tensor/activation.ts";
import { expectTensor } from "../tensor/check.ts";
import { mul } from "../tensor/elementwise.ts";
import { allOrNothing } from "../tensor/record.ts";
import { composite } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Activation, checkConfig, type ModelConfig } from "./config.ts";
import type { Initializer } from "./init.ts";
import type { Layer } from "./layer.ts";
import { Linear, type LinearLike } from "./linear.ts";
import { Module } from "./module.ts";

const ACTIVATIONS: Readonly<Record<Activation, (x: Tensor) => Tensor>> = {
  gelu: (x) => gelu(x),
  geluTanh: (x) => gelu(x, { approximate: "tanh" }),
  silu,
  relu,
};

/** The MLP of one layer, gated or plain. */
export class Mlp extends Module implements Layer {
  override readonly kind = "mlp";
  readonly hiddenSize: number;
  readonly #activation: (x: Tensor) => Tensor;
  readonly #gated: boolean;
  readonly #up: string;
  readonly #down: string;

  constructor(config: ModelConfig, init: Initializer) {
    super();
    checkConfig(config);
    expectFunction("The initializer", init);
    this.hiddenSize = config.hiddenSize;
    this.#activation = ACTIVATIONS[config.activation];
    this.#gated = config.gated;
    const gpt2 = config.modelType === "gpt2";
    [this.#up, this.#down] = gpt2 ? ["c_fc", "c_proj"] : ["up_proj", "down_proj"];
    const { hiddenSize: d, intermediateSize: f } = config;
    const options = { bias: config.mlpBias, storedTransposed: gpt2 };
    allOrNothing(() => {
      if (this.#gated) this.addModule("gate_proj", new Linear(d, f, options, init));
      this.addModule(this.#up, new Linear(d, f, options, init));
      this.addModule(this.#down, new Linear(f, d, options, init));
    });
  }

  #project(name: string, x: Tensor): Tensor {
    return (this.child(name) as LinearLike).forward(x);
  }

  /** x [B, T, D] to [B, T, D]. */
  forward(x: Tensor): Tensor {
    expectTensor("Mlp", x);
    return composite(x, () => this.#compute(x));
  }

  #compute(x: Tensor): Tensor {
    const up = this.#project(this.#up, x);
    const inner = this.#gated
      ? mul(this.#activation(this.#project("gate_proj", x)), up)
      : this.#activation(up);
    return this.#project(this.#down, inner);
  }
}
