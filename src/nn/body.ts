// The body of a Transformer: what maps token ids to hidden states, under the names of its family.
//   h = tokens[ids] (+ positions[p]);   h = block(h) for every layer;   norm(h)

import { add } from "../tensor/elementwise.ts";
import { recompute } from "../tensor/recompute.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Block, makeNorm } from "./block.ts";
import { type KvCache, lengthen } from "./cache.ts";
import type { ModelConfig } from "./config.ts";
import type { Context } from "./context.ts";
import { Embedding } from "./embedding.ts";
import type { Initializer } from "./init.ts";
import type { Layer } from "./layer.ts";
import { Module } from "./module.ts";
import { type FamilyNames, familyNames } from "./names.ts";

/** What a Transformer asks of its body, or of what has replaced it. */
export interface BodyLike extends Module {
  readonly hiddenSize: number;
  /** Positions that are taken before each text. */
  readonly virtualTokens: number;
  /** ids, int32 [B, T], to vectors [B, T, D]. */
  embed(ids: Tensor): Tensor;
  /** Vectors [B, T, D] to hidden states [B, T, D]; appends to the cache. */
  forward(h: Tensor, context: Context, cache: KvCache | null): Tensor;
}

/** Embeddings, blocks and the last norm. */
export class Body extends Module implements BodyLike {
  override readonly kind = "model";
  readonly hiddenSize: number;
  readonly virtualTokens = 0;
  readonly tokens: Embedding;
  readonly #names: FamilyNames;
  readonly #hasPositions: boolean;
  readonly #layers: readonly string[];

  constructor(config: ModelConfig, init: Initializer) {
    super();
    const { hiddenSize } = config;
    this.hiddenSize = hiddenSize;
    const names = familyNames(config.modelType);
    this.#names = names;
    this.tokens = this.addModule(names.tokens, new Embedding(config.vocabSize, hiddenSize, init));
    this.#hasPositions = config.positions === "learned";
    if (this.#hasPositions) {
      this.addModule(names.positions, new Embedding(config.maxPositions, hiddenSize, init));
    }
    this.#layers = Array.from({ length: config.layers }, (_, i) => String(i));
    const list = this.addModule(names.layers, new List());
    for (const name of this.#layers) list.append(name, new Block(config, init));
    this.addModule(names.finalNorm, makeNorm(config, init));
  }

  embed(ids: Tensor): Tensor {
    return (this.child(this.#names.tokens) as Layer).forward(ids);
  }

  forward(embedded: Tensor, context: Context, cache: KvCache | null): Tensor {
    const { positions, layers, finalNorm } = this.#names;
    const part = (name: string): Layer => this.child(name) as Layer;
    let h = embedded;
    if (this.#hasPositions) h = add(h, part(positions).forward(context.positions));
    const list = part(layers);
    const around = context.recompute === true ? recompute : (fn: () => Tensor) => fn();
    this.#layers.forEach((name, i) => {
      const input = h;
      const block = list.child(name) as Layer;
      h = around(() => block.forward(input, context, cache?.layers[i] ?? null));
    });
    if (cache !== null) lengthen(cache, context.blockSize + (context.prefixTokens ?? 0));
    return part(finalNorm).forward(h);
  }
}

/** Numbered modules. */
class List extends Module {
  append(name: string, child: Module): void {
    this.addModule(name, child);
  }
}
