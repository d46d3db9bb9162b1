// A training step of one of the common models, as the trainer runs it: captured; forward, backward and AdamW with one
// fixed batch. Floating point operations are those of a full step: 6 for each weight of a product and token, and those
// of attention's two products over the half that is not masked, three times.

import type { Engine } from "../src/core/engine.ts";
import type { Transformer } from "../src/nn/transformer.ts";
import {
  commonAdapter,
  commonBatch,
  commonModel,
  commonStep,
  drawnModel,
} from "../test/golden/common-engine.ts";
import {
  type CommonSize,
  type CommonStart,
  commonRank,
  commonSizes,
  commonStart,
} from "../test/golden/common-model.ts";

export type SizeName = keyof typeof commonSizes;
export type Method = "full" | "lora";

let last: { readonly name: SizeName; readonly start: CommonStart } | null = null;

/** The start values of a size; those asked for last are kept, for L takes seconds. */
export function startOf(name: SizeName): CommonStart {
  if (last?.name !== name) last = { name, start: commonStart(commonSizes[name]) };
  return last.start;
}

/** Forgets start values, which are as large as the model. */
export function forgetStart(): void {
  last = null;
}

/** Numbers in the weights of a model's products: all but the tables of tokens and positions, and the norms. */
export function productWeights({ d, layers, vocab }: CommonSize): number {
  return layers * 12 * d * d + d * vocab;
}

/** Floating point operations of a full step. */
export function fullStepOperations(size: CommonSize): number {
  const { d, layers, length, batch } = size;
  const tokens = batch * length;
  return tokens * (6 * productWeights(size) + 6 * layers * d * length);
}

/**
 * Floating point operations of a LoRA step: 2 for each weight and token forward, 2 for the gradient of its input, but for
 * the q, k and v of the first layer, below which nothing is trained; 6 for each weight of the adapter, but for those 2
 * that would take the same gradient further down; attention as in a full step.
 */
export function loraStepOperations(size: CommonSize): number {
  const { d, layers, length, batch, loraParameters } = size;
  const belowFirst = 3 * d * d + 3 * commonRank * d;
  const each = 4 * productWeights(size) + 6 * loraParameters - 2 * belowFirst;
  return batch * length * (each + 6 * layers * d * length);
}

/** A model with its weights, in an engine. */
export function modelIn(engine: Engine, name: SizeName): Transformer {
  return engine.run(() => commonModel(commonSizes[name], startOf(name)));
}

/**
 * A captured step in an engine: each call trains once and gives the loss before the update. Without `start` its values are
 * drawn anew, into the engine, and held nowhere else.
 */
export function trainingIn(
  engine: Engine,
  name: SizeName,
  method: Method,
  start?: CommonStart,
): () => number {
  const size = commonSizes[name];
  return engine.run(() => {
    const { model, rest } =
      start === undefined ? drawnModel(size) : { model: commonModel(size, start), rest: start };
    if (method === "lora") commonAdapter(model, rest);
    const step = commonStep(model, commonBatch(size, rest));
    return () => engine.run(() => step().item());
  });
}
