// One of each thing that the public functions take: small, and fresh at every call.

import {
  AdamW,
  type Adapter,
  type BpeTokenizer,
  type Context,
  type Dataset,
  emptyParameter,
  injectLora,
  jsonlDataset,
  type ModelConfig,
  modelFiles,
  PretrainedModel,
  ropeTable,
  type Tensor,
  Trainer,
  tensor,
  textDataset,
  trainTokenizer,
  writeSafetensors,
  writeTokenizerJson,
} from "../../src/index.ts";
import { llamaStyle } from "../support/models.ts";

/** 800 bytes. */
export const text: string = "In the beginning was the word.\n".repeat(26);

export const records: string = '{"prompt": "a", "completion": "b"}\n{"text": "c d"}\n'.repeat(3);

export const tokenizer: BpeTokenizer = trainTokenizer(text, { vocabSize: 270 });

export const config: ModelConfig = { ...llamaStyle, vocabSize: tokenizer.vocabSize, layers: 1 };

const companions = new Map([
  ["tokenizer.json", new TextEncoder().encode(writeTokenizerJson(tokenizer))],
]);

export const model = (): PretrainedModel =>
  new PretrainedModel(config, emptyParameter, { name: "small", companions });

export const adapter = (): Adapter => injectLora(model(), { targetModules: ["q_proj"] });

export const data = (): Dataset => textDataset(tokenizer, text, { batchSize: 2, blockSize: 8 });

export const documents = (): Dataset =>
  jsonlDataset(tokenizer, records, { batchSize: 2, blockSize: 8 });

export const trainer = (): Trainer => new Trainer(adapter().model, data(), { steps: 2 });

export const optimizer = (): AdamW => new AdamW(model().parameters());

/** Numbers of a shape. */
export const x = (...shape: number[]): Tensor =>
  tensor(new Float32Array(shape.reduce((size, side) => size * side, 1)).fill(0.5), { shape });

/** Zeros of a shape, as indices. */
export const ids = (...shape: number[]): Tensor =>
  tensor(new Int32Array(shape.reduce((size, side) => size * side, 1)), { shape });

/** The files of a model by name. */
export const files = (): Record<string, Uint8Array> => Object.fromEntries(modelFiles(model()));

export const bytes = (): Uint8Array => writeSafetensors(new Map());

export const loraShape = { scale: 1, dropout: 0 } as const;

export const layerContext = (): Context => ({
  batchSize: 1,
  blockSize: 3,
  positions: ids(1, 3),
  offset: () => 0,
  rotary: ropeTable(8, config.headDim, 10000),
});

export const llama2cTokens: readonly string[] = Array.from({ length: 260 }, (_, i) =>
  i < 259 ? `<${i}>` : " ",
);
