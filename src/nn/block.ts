// One layer of a pre-norm Transformer: h += attention(norm(h)), then h += mlp(norm(h)).

import { expectFunction } from "../core/kind.ts";
import { expectTensor } from "../tensor/check.ts";
import { add } from "../tensor/elementwise.ts";
import { allOrNothing } from "../tensor/record.ts";
import { composite } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { SelfAttention } from "./attention.ts";
import type { LayerCache } from "./cache.ts";
import { checkConfig, type ModelConfig } from "./config.ts";
import type { Context } from "./context.ts";
import type { Initializer } from "./init.ts";
import type { Layer } from "./layer.ts";
import { Mlp } from "./mlp.ts";
import { Module } from "./module.ts";
import { type FamilyNames, familyNames } from "./names.ts";
import { LayerNorm, type Norm, RmsNorm } from "./norm.ts";

/** The norm that `config` asks for. */
export function makeNorm(config: ModelConfig, init: Initializer): Norm {
  const Kind = config.norm === "rms" ? RmsNorm : LayerNorm;
  return new Kind(config.hiddenSize, config.normEps, init);
}

/** One layer of a Transformer: attention and MLP, each behind a norm and added to the residual. */
export class Block extends Module {
  override readonly kind = "block";
  readonly hiddenSize: number;
  readonly #names: FamilyNames;

  constructor(config: ModelConfig, init: Initializer) {
    super();
    checkConfig(config);
    expectFunction("The initializer", init);
    this.hiddenSize = config.hiddenSize;
    const names = familyNames(config.modelType);
    this.#names = names;
    allOrNothing(() => {
      this.addModule(names.attentionNorm, makeNorm(config, init));
      this.addModule(names.attention, new SelfAttention(config, init));
      this.addModule(names.mlpNorm, makeNorm(config, init));
      this.addModule(names.mlp, new Mlp(config, init));
    });
  }

  /** h [B, T, D] to [B, T, D]. */
  forward(h: Tensor, context: Context, cache: LayerCache | null): Tensor {
    expectTensor("Block", h);
    return composite(h, () => this.#compute(h, context, cache));
  }

  #compute(h: Tensor, context: Context, cache: LayerCache | null): Tensor {
    const part = (name: string): Layer => this.child(name) as Layer;
    const { attentionNorm, attention, mlpNorm, mlp } = this.#names;
    const attended = add(
      h,
      part(attention).forward(part(attentionNorm).forward(h), context, cache),
    );
    return add(attended, part(mlp).forward(part(mlpNorm).forward(attended)));
  }
}
