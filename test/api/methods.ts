// The methods of the public classes, with arguments that fit.

import * as api from "../../src/index.ts";
import {
  adapter,
  config,
  data,
  documents,
  ids,
  layerContext,
  llama2cTokens,
  loraShape,
  model,
  optimizer,
  text,
  tokenizer,
  trainer,
  x,
} from "./things.ts";

/** An instance, and arguments of its methods that take any; a setter is called as one. */
export interface Methods {
  readonly make: () => object;
  readonly args: Readonly<Record<string, () => readonly unknown[]>>;
}

const batch = (): api.Batch => data().batchAt(0);
const layers = (): readonly unknown[] => [x(1, 3, config.hiddenSize), layerContext(), null];
const tree: Methods["args"] = {
  child: () => ["lm_head"],
  moduleAt: () => ["model.norm"],
  replaceModule: () => ["model.norm", new api.RmsNorm(config.hiddenSize)],
  namedModules: () => ["a"],
  countParameters: () => [{ trainable: true }],
  train: () => [true],
  setRequiresGrad: () => [true],
  freeze: () => [{ prepack: "both" }],
  pack: () => [{ prepack: "both" }],
  loadStateDict: () => [model().stateDict()],
};
const stepping: Methods["args"] = {
  setScheduleFactor: () => [0.5],
  loadStateDict: () => [optimizer().stateDict()],
};

/** The methods of the public classes. */
export const classes: Readonly<Record<string, Methods>> = {
  AdamW: { make: optimizer, args: stepping },
  Adapter: { make: adapter, args: {} },
  AdapterSet: {
    make: () => api.adaptersOf(adapter().model),
    args: {
      add: () => [adapter()],
      remove: () => ["default"],
      activate: () => [["default"]],
      activateBesideMerged: () => ["default"],
      merge: () => [["default"]],
    },
  },
  Block: {
    make: () => new api.Block(config, api.emptyParameter),
    args: { ...tree, child: () => ["mlp"], forward: layers },
  },
  BpeTokenizer: {
    make: () => tokenizer,
    args: {
      encode: () => [text, { allowSpecial: true }],
      decode: () => [[1, 2], { skipSpecialTokens: true }],
      tokenBytes: () => [1],
      addedTokenId: () => ["<|endoftext|>"],
    },
  },
  Dataset: { make: data, args: { batchAt: () => [1], batches: () => [{ steps: 1, from: 2 }] } },
  "Dataset of documents": { make: documents, args: { batchAt: () => [1], batches: () => [2] } },
  DecodeStream: { make: () => new api.DecodeStream(tokenizer), args: { push: () => [1] } },
  Embedding: { make: () => new api.Embedding(4, 3), args: { ...tree, forward: () => [ids(2)] } },
  Generator: {
    make: () => new api.Generator(1),
    args: { integer: () => [5], shuffle: () => [[1, 2, 3]] },
  },
  KvCache: { make: () => new api.KvCache(config, 1, 8), args: {} },
  LayerNorm: { make: () => new api.LayerNorm(3), args: { ...tree, forward: () => [x(2, 3)] } },
  Linear: {
    make: () => new api.Linear(3, 4),
    args: {
      ...tree,
      forward: () => [x(2, 3)],
      loss: () => [x(2, 3), ids(2), { reduction: "sum" }],
      replaceWeight: () => [x(4, 3)],
    },
  },
  Llama2cTokenizer: {
    make: () =>
      new api.Llama2cTokenizer(
        llama2cTokens,
        llama2cTokens.map(() => 0),
      ),
    args: { encode: () => ["a"], decode: () => [[4]] },
  },
  LoraLayer: {
    make: () => new api.LoraLayer(x(2, 4), x(4, 2), loraShape),
    args: { branch: () => [true], merged: () => [x(4, 4), null] },
  },
  Mlp: {
    make: () => new api.Mlp(config, api.emptyParameter),
    args: { ...tree, forward: () => [x(1, 3, config.hiddenSize)] },
  },
  PretrainedModel: {
    make: model,
    args: {
      ...tree,
      forward: () => [ids(1, 3), {}],
      hidden: () => [ids(1, 3), {}],
      loss: () => [batch(), {}],
    },
  },
  RmsNorm: { make: () => new api.RmsNorm(3), args: { ...tree, forward: () => [x(2, 3)] } },
  SGD: { make: () => new api.SGD(model().parameters()), args: stepping },
  SelfAttention: {
    make: () => new api.SelfAttention(config, api.emptyParameter),
    args: { ...tree, child: () => ["q_proj"], forward: layers },
  },
  Tensor: {
    make: () => x(2, 3),
    args: {
      set: () => [[1, 2, 3, 4, 5, 6]],
      pack: () => [{ prepack: "both" }],
      ...Object.fromEntries(["add", "sub", "mul", "div"].map((op) => [op, () => [x(2, 3)]])),
      ...Object.fromEntries(["sum", "mean", "max"].map((op) => [op, () => [{ axes: [0] }]])),
      matmul: () => [x(3, 4)],
      softmax: () => [1],
      logSoftmax: () => [1],
      reshape: () => [[3, 2]],
      transpose: () => [0, 1],
      permute: () => [[1, 0]],
      slice: () => [1, 0, 2],
      requiresGrad: () => [true],
    },
  },
  Trainer: {
    make: trainer,
    args: { loadState: () => [trainer().state(), "the state"] },
  },
};
