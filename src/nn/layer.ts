// What a Transformer calls of its parts, whatever they are or have been replaced by.

import type { Tensor } from "../tensor/tensor.ts";
import type { KvCache, LayerCache } from "./cache.ts";
import type { Context } from "./context.ts";
import type { Module } from "./module.ts";

/** A module that maps a tensor to a tensor. Attention, and what contains it, is told about the tokens as well. */
export interface Layer extends Module {
  /** D: width of what it maps from. */
  readonly hiddenSize: number;
  forward(x: Tensor, context?: Context, cache?: LayerCache | KvCache | null): Tensor;
}

/** Attention: keys and values have G heads of width d. */
export interface AttentionLike extends Layer {
  readonly kvHeads: number;
  readonly headDim: number;
}
