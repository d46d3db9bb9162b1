// One layer of a pre-norm Transformer: h += attention(norm(h)), then h += mlp(norm(h)).

import { expectFunction } from "../core/kind.ts";
import { allOrNothing } from "../tensor/apply.ts";
import { expectTensor } from "../tensor/check.ts";
import { add } from "../tensor/elementwise.ts";
import { composed } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Context, SelfAttention } from "./attention.ts";
import type { LayerCache } from "./cache.ts";
import { checkConfig, type ModelConfig } from "./config.ts";
import type { Initializer } from "./init.ts";
import { Mlp } from "./mlp.ts";
import { Module } from "./module.ts";
import { familyNames } from "./names.ts";
import { LayerNorm, type Norm, RmsNorm } from "./norm.ts";

/** The norm that `config` asks for. */
export function makeNorm(config: ModelConfig, init: Initializer): Norm {
  const Kind = config.norm === "rms" ? RmsNorm : LayerNorm;
  return new Kind(config.hiddenSize, config.normEps, init);
}

/** One layer of a Transformer: attention and MLP, each behind a norm and added to the residual. */
export class Block extends Module {
  readonly #attentionNorm: Norm;
  readonly #attention: SelfAttention;
  readonly #mlpNorm: Norm;
  readonly #mlp: Mlp;

  constructor(config: ModelConfig, init: Initializer) {
    super();
    checkConfig(config);
    expectFunction("The initializer", init);
    const names = familyNames(config.modelType);
    [this.#attentionNorm, this.#attention, this.#mlpNorm, this.#mlp] = allOrNothing(
      () =>
        [
          this.addModule(names.attentionNorm, makeNorm(config, init)),
          this.addModule(names.attention, new SelfAttention(config, init)),
          this.addModule(names.mlpNorm, makeNorm(config, init)),
          this.addModule(names.mlp, new Mlp(config, init)),
        ] as const,
    );
  }

  /** h [B, T, D] to [B, T, D]. */
  forward(h: Tensor, context: Context, cache: LayerCache | null): Tensor {
    expectTensor("Block", h);
    return composed(h, () => this.#compute(h, context, cache));
  }

  #compute(h: Tensor, context: Context, cache: LayerCache | null): Tensor {
    const attended = add(
      h,
      this.#attention.forward(this.#attentionNorm.forward(h), context, cache),
    );
    return add(attended, this.#mlp.forward(this.#mlpNorm.forward(attended)));
  }
}
