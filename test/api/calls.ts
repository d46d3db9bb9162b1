// Every public function, constructor and method with arguments that fit. The tests of this folder put others in their
// place; a public name that is missing here fails them.

import { mkdirSync } from "node:fs";
import * as api from "../../src/index.ts";
import { temporaryPaths } from "../support/temporary.ts";
import {
  adapter,
  bytes,
  config,
  data,
  files,
  ids,
  llama2cTokens,
  loraShape,
  model,
  records,
  text,
  tokenizer,
  x,
} from "./things.ts";

const place = temporaryPaths("lowrank-calls");
// A text in the place of a directory is one to write to.
const here = place();
mkdirSync(here);
process.chdir(here);

/** A call: what runs, and arguments that fit, made anew each time. */
export interface Call {
  readonly run: (...args: never[]) => unknown;
  readonly args: () => readonly unknown[];
}

const call = (
  run: (...args: never[]) => unknown,
  args: () => readonly unknown[] = () => [],
): Call => ({
  run,
  args,
});

const make = (kind: new (...args: never[]) => object, args: () => readonly unknown[]): Call =>
  call((...given) => new kind(...given), args);

const rows = { batchSize: 2, blockSize: 8 };
const everyRow = { ...rows, seed: 1, validation: 0.2 };
const drawing = { maxNewTokens: 1, temperature: 1, topK: 2, topP: 0.5, seed: 1, stopTokens: [3] };
const lora = {
  r: 2,
  loraAlpha: 4,
  loraDropout: 0,
  targetModules: ["q_proj"],
  excludeModules: null,
  layersToTransform: 0,
  layersPattern: "layers",
  rankPattern: { q_proj: 2 },
  alphaPattern: { q_proj: 2 },
  useRslora: false,
  initLoraWeights: true,
  bias: "none",
  fanInFanOut: false,
  prepack: "forward",
};
const everySetting = {
  steps: 2,
  lr: 1,
  schedule: "linear",
  warmupSteps: 1,
  weightDecay: 0,
  betas: [0.9, 0.99],
  gradientAccumulation: 1,
  maxGradNorm: 1,
  gradientCheckpointing: false,
  full: true,
  seed: 1,
};
const stored = (): api.StoredTensor => api.fromFloat32(new Float32Array(2), [2]);
const one = (run: (x: api.Tensor) => unknown): Call => call(run, () => [x(2, 3)]);
const two = (run: (a: api.Tensor, b: api.Tensor) => unknown): Call =>
  call(run, () => [x(2, 3), x(2, 3)]);

/** The functions and constructors, by their public names. */
export const functions: Readonly<Record<string, Call>> = {
  AdamW: make(api.AdamW, () => [
    model().parameters(),
    { lr: 1, betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0 },
  ]),
  Adapter: make(api.Adapter, () => []),
  Block: make(api.Block, () => [config, api.emptyParameter]),
  BpeTokenizer: make(api.BpeTokenizer, () => [tokenizer.definition]),
  DecodeStream: make(api.DecodeStream, () => [tokenizer]),
  Embedding: make(api.Embedding, () => [4, 3, api.emptyParameter]),
  Generator: make(api.Generator, () => [1, 2]),
  KvCache: make(api.KvCache, () => [config, 1, 8]),
  LayerNorm: make(api.LayerNorm, () => [4, 1e-5, api.emptyParameter]),
  Linear: make(api.Linear, () => [
    4,
    3,
    { bias: true, storedTransposed: false, weight: x(3, 4) },
    api.emptyParameter,
  ]),
  Llama2cTokenizer: make(api.Llama2cTokenizer, () => [llama2cTokens, llama2cTokens.map(() => 0)]),
  LoraLayer: make(api.LoraLayer, () => [x(2, 4), x(4, 2), loraShape]),
  Mlp: make(api.Mlp, () => [config, api.emptyParameter]),
  PretrainedModel: make(api.PretrainedModel, () => [
    config,
    api.emptyParameter,
    { name: "a", fields: null, companions: new Map(), warnings: [] },
  ]),
  RmsNorm: make(api.RmsNorm, () => [4, 1e-5, api.emptyParameter]),
  SGD: make(api.SGD, () => [
    [{ params: model().parameters(), lr: 1 }],
    { lr: 1, momentum: 0.5, weightDecay: 0, nesterov: true },
  ]),
  SelfAttention: make(api.SelfAttention, () => [config, api.emptyParameter]),
  Trainer: make(api.Trainer, () => [adapter().model, data(), everySetting]),
  Transformer: make(api.Transformer, () => [config, api.emptyParameter]),
  "Engine.create": call(api.Engine.create, () => [
    {
      threads: 1,
      deterministic: true,
      module: undefined,
      maximumMemory: 2 ** 26,
      wideVectors: false,
      workerUrl: undefined,
    },
  ]),
  "Generator.fromState": call(api.Generator.fromState, () => [new api.Generator(1).state()]),
  adapterFiles: call(api.adapterFiles, () => [adapter(), { metadata: { a: "b" } }]),
  adaptersOf: call(api.adaptersOf, () => [model()]),
  add: two(api.add),
  arange: call(api.arange, () => [0, 3, { dtype: "int32", requiresGrad: false, persistent: true }]),
  attention: call(api.attention, () => [
    x(1, 3, 2, 4),
    x(1, 3, 2, 4),
    x(1, 3, 2, 4),
    { scale: 1, starts: ids(1, 3), offset: 0, length: 3 },
  ]),
  baseParameters: call(api.baseParameters, () => [model()]),
  bitsPerByte: call(api.bitsPerByte, () => [{ loss: 1, perplexity: 2, tokens: 3 }, 4]),
  buildModel: call(api.buildModel, () => [
    config,
    new Map(),
    { name: "a", fields: null, companions: new Map(), warnings: [], file: "a" },
  ]),
  capture: call(api.capture, () => [() => 1]),
  clipGradNorm: call(api.clipGradNorm, () => [model().parameters(), 1]),
  concat: call(api.concat, () => [[x(2, 3), x(2, 3)], 0]),
  constantSchedule: call(api.constantSchedule, () => [{ warmupSteps: 1 }]),
  corpusDataset: call(api.corpusDataset, () => [
    tokenizer,
    { train: [text], validation: [text] },
    { ...rows, seed: 1 },
  ]),
  cosineSchedule: call(api.cosineSchedule, () => [{ steps: 3, warmupSteps: 1 }]),
  crossEntropy: call(api.crossEntropy, () => [
    x(2, 3),
    ids(2),
    { reduction: "sum", ignoreIndex: -1, factor: x() },
  ]),
  currentEngine: call(api.currentEngine),
  disableAdapters: call(api.disableAdapters, () => [model()]),
  div: two(api.div),
  dropout: call(api.dropout, () => [x(2, 3), { p: 0.5, training: true }]),
  embedding: call(api.embedding, () => [ids(2), x(4, 3)]),
  emptyParameter: call(api.emptyParameter, () => [[2, 3], "weight"]),
  evaluate: call(api.evaluate, () => [model(), data()]),
  exp: one(api.exp),
  fromFloat32: call(api.fromFloat32, () => [new Float32Array(2), [2], "F32"]),
  full: call(api.full, () => [[2, 3], 1, { persistent: true }]),
  gather: call(api.gather, () => [x(2, 3), 0, ids(2, 3)]),
  gelu: call(api.gelu, () => [x(2, 3), { approximate: "tanh" }]),
  generate: call(api.generate, () => [model(), [1], drawing]),
  generateBatch: call(api.generateBatch, () => [model(), [[1], [2]], drawing]),
  generateTokens: call(api.generateTokens, () => [model(), [1], drawing]),
  hasFeature: call(api.hasFeature, () => ["simd"]),
  indexSelect: call(api.indexSelect, () => [x(2, 3), 0, ids(2)]),
  init: call(api.init, () => [{ threads: 1 }]),
  injectLora: call(api.injectLora, () => [model(), lora, { seed: 1, adapterName: "a" }]),
  jsonlDataset: call(api.jsonlDataset, () => [tokenizer, records, everyRow, "the lines"]),
  layerNorm: call(api.layerNorm, () => [x(2, 3), x(3), x(3), 1e-5]),
  linear: call(api.linear, () => [
    x(2, 3),
    x(4, 3),
    x(4),
    { a: x(2, 3), b: x(4, 2), scale: 1, dropout: 0 },
  ]),
  linearCrossEntropy: call(api.linearCrossEntropy, () => [
    x(2, 3),
    x(4, 3),
    ids(2),
    {
      reduction: "sum",
      ignoreIndex: -1,
      factor: x(),
      lowRank: { a: x(2, 3), b: x(4, 2), scale: 1 },
    },
  ]),
  linearSchedule: call(api.linearSchedule, () => [{ steps: 3, warmupSteps: 1 }]),
  listTape: call(
    (engine: api.Engine) => api.scope(() => api.listTape(engine)),
    () => [api.currentEngine()],
  ),
  loadAdapter: call(api.loadAdapter, () => [
    model(),
    Object.fromEntries(api.adapterFiles(adapter())),
    { activate: true, adapterName: "a" },
  ]),
  loadModel: call(api.loadModel, () => [files(), { name: "small", engine: api.currentEngine() }]),
  loadText: call(api.loadText, () => [
    model(),
    { text, path: undefined, records: undefined, ...everyRow },
  ]),
  log: one(api.log),
  logSoftmax: call(api.logSoftmax, () => [x(2, 3), 1]),
  manualSeed: call(api.manualSeed, () => [1, 2]),
  matmul: call(api.matmul, () => [x(2, 3), x(3, 4)]),
  max: call(api.max, () => [x(2, 3), { axes: [0], keepdim: true }]),
  mean: call(api.mean, () => [x(2, 3), { axes: [0], keepdim: true }]),
  modelFiles: call(api.modelFiles, () => [model(), { dtype: "F16", files: new Map() }]),
  mul: two(api.mul),
  neg: one(api.neg),
  noGrad: call(api.noGrad, () => [() => 1]),
  normal: call(api.normal, () => [[2, 3], { seed: 1, stream: 2, mean: 1, std: 2 }]),
  normalInitializer: call(
    (seed: number, std: number) => api.normalInitializer(seed, std)([2, 3], "weight"),
    () => [1, 0.02],
  ),
  ones: call(api.ones, () => [[2, 3], { persistent: true }]),
  permute: call(api.permute, () => [x(2, 3), [1, 0]]),
  promptTokens: call(api.promptTokens, () => [model(), "In the"]),
  readLlama2c: call(api.readLlama2c, () => [new Uint8Array(28), "model.bin"]),
  readLlama2cTokenizer: call(api.readLlama2cTokenizer, () => [new Uint8Array(28), 300]),
  readSafetensors: call(api.readSafetensors, () => [bytes(), "a.safetensors"]),
  readTokenizerJson: call(api.readTokenizerJson, () => [
    api.writeTokenizerJson(tokenizer),
    { bosToken: null, eosToken: null },
  ]),
  recompute: call(api.recompute, () => [() => x(2)]),
  relu: one(api.relu),
  reshape: call(api.reshape, () => [x(2, 3), [3, 2]]),
  resolveLoraConfig: call(api.resolveLoraConfig, () => [lora]),
  rmsNorm: call(api.rmsNorm, () => [x(2, 3), x(3), 1e-5]),
  rope: call(api.rope, () => [x(1, 3, 2, 4), api.ropeTable(8, 4, 10000), ids(1, 3), "half"]),
  ropeTable: call(api.ropeTable, () => [8, 4, 10000]),
  sample: call(api.sample, () => [
    Float32Array.of(1, 2),
    { temperature: 1, topK: 0, topP: 1 },
    new api.Generator(1),
  ]),
  saveAdapter: call(api.saveAdapter, () => [adapter(), place(), { overwrite: true, metadata: {} }]),
  saveModel: call(api.saveModel, () => [
    model(),
    place(),
    { dtype: "BF16", overwrite: true, files: new Map() },
  ]),
  scope: call(api.scope, () => [() => 1]),
  setActiveAdapters: call(api.setActiveAdapters, () => [adapter().model, ["default"]]),
  sigmoid: one(api.sigmoid),
  silu: one(api.silu),
  slice: call(api.slice, () => [x(2, 3), 1, 0, 2]),
  softmax: call(api.softmax, () => [x(2, 3), 1]),
  sqrt: one(api.sqrt),
  sub: two(api.sub),
  sum: call(api.sum, () => [x(2, 3), { axes: [0], keepdim: true }]),
  tanh: one(api.tanh),
  tensor: call(api.tensor, () => [
    [1, 2],
    { shape: [2], dtype: "float32", requiresGrad: true, persistent: true },
  ]),
  textDataset: call(api.textDataset, () => [tokenizer, text, everyRow, "the text"]),
  toFloat32: call(api.toFloat32, () => [stored()]),
  trainTokenizer: call(api.trainTokenizer, () => [
    text,
    { vocabSize: 260, specialTokens: ["<e>"], minFrequency: 2 },
  ]),
  transpose: call(api.transpose, () => [x(2, 3), 0, 1]),
  uniform: call(api.uniform, () => [[2, 3], { seed: 1, stream: 2, low: 2, high: 3 }]),
  writeCache: call(api.writeCache, () => [api.zeros([1, 8, 2, 4]), x(1, 3, 2, 4), 0]),
  writeSafetensors: call(api.writeSafetensors, () => [new Map([["a", stored()]]), new Map()]),
  writeTokenizerJson: call(api.writeTokenizerJson, () => [tokenizer]),
  zeros: call(api.zeros, () => [[2, 3], { persistent: true }]),
};
