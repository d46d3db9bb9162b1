// What an adapter method adds to one module: the interface that forward, merge, files and the tests share. Each method is
// one file that makes such layers (method.ts).

import type { KvCache, LayerCache } from "../nn/cache.ts";
import type { Context } from "../nn/context.ts";
import type { LowRankBranch } from "../tensor/linear.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What is known of a call besides its input. */
export interface Call {
  /** Whether dropout is on. */
  readonly training: boolean;
  /** The tokens of the pass; for attention, blocks and the model. */
  readonly context?: Context | undefined;
  readonly cache?: LayerCache | KvCache | null | undefined;
}

/** The module that an adapter goes around, or the next adapter around it. The context may be another one. */
export type Next = (x: Tensor, context?: Context) => Tensor;

/** A weight and a bias with an adapter merged in. */
export interface Merged {
  readonly weight: Tensor;
  readonly bias: Tensor | null;
}

/** One adapter on one module. It has what its method needs of these. */
export interface AdapterLayer {
  /** A low-rank term of a linear layer's output. It is part of the product; those of several adapters are joined. */
  branch?(training: boolean): LowRankBranch;
  /** What is computed in the place of the module, with its input and the module itself at hand. */
  around?(x: Tensor, next: Next, call: Call): Tensor;
  /** The weight [N, K] and the bias that compute the same alone. Without it the adapter cannot be merged. */
  merged?(weight: Tensor, bias: Tensor | null): Merged;
  /** Tensors in the place of parameters of the module, by their names, as long as the adapter takes part. */
  readonly replaces?: ReadonlyMap<string, Tensor>;
  /** Positions that the adapter puts before each text; on the model only. */
  readonly virtualTokens?: number;
}

/** Whether all that a layer does is a low-rank term, so that others of its kind can be added to it. */
export function isLowRank(layer: AdapterLayer): boolean {
  return layer.branch !== undefined && layer.around === undefined && layer.replaces === undefined;
}
