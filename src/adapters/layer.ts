// What an adapter method adds to one linear layer: the small interface that forward, merge, export and the tests
// share. Each method is one file that implements it.

import type { LowRankBranch } from "../tensor/linear.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** One adapter on one linear layer. */
export interface AdapterLayer {
  /** The method's tensors by their key on disk, after the module's path ("lora_A.weight"). */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** What is added to the layer's output; dropout acts while training. */
  branch(training: boolean): LowRankBranch;
  /** What merging adds to the weight, [N, K]. */
  delta(): Tensor;
  dispose(): void;
}
