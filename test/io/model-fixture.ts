// What tests of saved models share: the names of the files, what lies in them, and the smallest Llama.

import { readSafetensors, type StoredTensor } from "../../src/io/safetensors.ts";
import type { ModelConfig } from "../../src/nn/config.ts";

export const CONFIG = "config.json";
export const WEIGHTS = "model.safetensors";

/** The tensors of a saved model. */
export function tensorsOf(files: ReadonlyMap<string, Uint8Array>): Map<string, StoredTensor> {
  return readSafetensors(files.get(WEIGHTS)!, "saved").tensors;
}

/** A Llama with the vocabulary of test/fixtures/tokenizer.json. */
export const small: ModelConfig = {
  modelType: "llama",
  vocabSize: 600,
  hiddenSize: 8,
  layers: 1,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  intermediateSize: 12,
  maxPositions: 16,
  norm: "rms",
  normEps: 1e-5,
  activation: "silu",
  gated: true,
  positions: "rope",
  ropeTheta: 10000,
  ropeStyle: "half",
  attentionBias: { qkv: false, out: false },
  mlpBias: false,
  tieWordEmbeddings: true,
  bosTokenId: 599,
  eosTokenId: [599],
};
