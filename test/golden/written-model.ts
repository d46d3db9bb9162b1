// The start values of a model in test/fixtures/llama.json or gpt2.json, drawn again from its plan.

import type { ModelCase } from "../fixtures/fixture.ts";
import { Generator } from "./generator.ts";

export interface StartTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Tensors by name, in the order of their plan. */
export interface WrittenStart {
  /** Names and shapes as in Hugging Face files: linear weights [out, in], GPT-2's [in, out]. */
  readonly weights: ReadonlyMap<string, StartTensor>;
  /** `<module>.lora_A.weight` [r, in] and `<module>.lora_B.weight` [out, r]. */
  readonly lora: ReadonlyMap<string, StartTensor>;
}

/** Draws what a run of this model starts from; new arrays at every call. */
export function writtenStart(model: ModelCase): WrittenStart {
  const generator = new Generator(model.seed);
  const draw = (plans: ModelCase["plan"]): Map<string, StartTensor> =>
    new Map(plans.map((plan) => [plan.name, { shape: plan.shape, data: generator.tensor(plan) }]));
  const weights = draw(model.plan);
  const lora = draw(model.loraPlan);
  return { weights, lora };
}
