// A table of vectors, looked up by whole numbers.

import { expectFunction } from "../core/kind.ts";
import { embedding } from "../tensor/embedding.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { emptyParameter, type Initializer } from "./init.ts";
import { Module } from "./module.ts";

/** Rows of a table [numEmbeddings, embeddingDim]. */
export class Embedding extends Module {
  override readonly kind = "embedding";
  readonly numEmbeddings: number;
  readonly embeddingDim: number;

  constructor(numEmbeddings: number, embeddingDim: number, init: Initializer = emptyParameter) {
    super();
    expectFunction("The initializer", init);
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    this.addParameter("weight", init([numEmbeddings, embeddingDim], "embedding"));
  }

  get weight(): Tensor {
    return this.parameter("weight");
  }

  /** ids, int32 [...], to [..., embeddingDim]. */
  forward(ids: Tensor): Tensor {
    return embedding(ids, this.weight);
  }
}
