// Greedy decoding with a cache of keys and values, from the common models' untrained base: the first 8 inputs are the
// prompt, and the tokens that follow are known (test/golden/common-model.ts).

import type { Engine } from "../src/core/engine.ts";
import type { Transformer } from "../src/nn/transformer.ts";
import { generate, generateBatch } from "../src/train/generate.ts";
import { commonSizes } from "../test/golden/common-model.ts";
import { modelIn, type SizeName, startOf } from "./training.ts";

export const PROMPT = 8;

/** New tokens until the model's positions are full. */
export function mostTokens(name: SizeName): number {
  return commonSizes[name].length - PROMPT;
}

/** A model that is used and not trained: its weights are packed. */
export function decoderIn(engine: Engine, name: SizeName): Transformer {
  const model = modelIn(engine, name);
  engine.run(() => model.freeze());
  return model;
}

export function promptOf(name: SizeName): number[] {
  return [...startOf(name).x.subarray(0, PROMPT)];
}

/** The tokens that follow, as the library's own `generate` gives them. */
export function decodeOne(model: Transformer, prompt: readonly number[], count: number): number[] {
  return generate(model, prompt, { maxNewTokens: count, temperature: 0 });
}

/** As many equal sequences at once as `rows`; the tokens of each. */
export function decodeMany(
  model: Transformer,
  prompt: readonly number[],
  count: number,
  rows: number,
): number[][] {
  const prompts = Array.from({ length: rows }, () => prompt);
  return generateBatch(model, prompts, { maxNewTokens: count, temperature: 0 });
}

/** Throws unless the tokens begin with the known ones. */
export function expectGreedy(name: SizeName, tokens: readonly number[]): void {
  const known = commonSizes[name].greedy?.slice(0, tokens.length) ?? [];
  const found = tokens.slice(0, known.length);
  if (known.some((token, i) => token !== found[i])) {
    throw new Error(`Decoding ${name} gave ${found.join(" ")}; expected ${known.join(" ")}.`);
  }
}
