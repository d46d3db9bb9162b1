// The public names of lowrank, by theme: each line leads to the file where its code is.

// What the types below mention of the host, for programs without TypeScript's DOM library.
export type {} from "./core/globals.ts";

// The engine: `await init()` comes first.

export {
  current as currentEngine,
  Engine,
  init,
} from "./core/engine.ts";
export type { EngineOptions } from "./core/engineOptions.ts";
export {
  FormatError,
  LowrankError,
  MemoryError,
  ReleasedError,
  ShapeError,
  UsageError,
} from "./core/error.ts";
export { type Feature, hasFeature } from "./core/features.ts";
export type { FileSystem } from "./core/files.ts";
export type { PathLike } from "./core/location.ts";
export { Generator, type GeneratorState } from "./core/random.ts";
export { ENGINE_REVISION } from "./core/revision.ts";

// Tensors: making them, scopes, gradients.

export { type Captured, capture } from "./tensor/capture.ts";
export { arange, full, type Nested, ones, tensor, zeros } from "./tensor/create.ts";
export type { PackOptions, Prepack } from "./tensor/pack.ts";
export { manualSeed, normal, type RandomOptions, uniform } from "./tensor/random.ts";
export { recompute } from "./tensor/recompute.ts";
export type { LeafOptions } from "./tensor/record.ts";
export { noGrad, scope } from "./tensor/scope.ts";
export { listTape, type TapeEntry } from "./tensor/tape.ts";
export { type DType, Tensor, type Values } from "./tensor/tensor.ts";

// Operations on tensors.

export {
  exp,
  type GeluOptions,
  gelu,
  log,
  neg,
  relu,
  sigmoid,
  silu,
  sqrt,
  tanh,
} from "./tensor/activation.ts";
export { type AttentionOptions, attention, writeCache } from "./tensor/attention.ts";
export { type CrossEntropyOptions, crossEntropy } from "./tensor/crossEntropy.ts";
export { type DropoutOptions, dropout } from "./tensor/dropout.ts";
export { add, div, mul, sub } from "./tensor/elementwise.ts";
export { embedding } from "./tensor/embedding.ts";
export { type LowRankBranch, linear } from "./tensor/linear.ts";
export {
  type LinearCrossEntropyOptions,
  linearCrossEntropy,
} from "./tensor/linearCrossEntropy.ts";
export { matmul } from "./tensor/matmul.ts";
export { layerNorm, rmsNorm } from "./tensor/norm.ts";
export { max, mean, type ReduceOptions, sum } from "./tensor/reduce.ts";
export { type RopeStyle, rope, ropeTable } from "./tensor/rope.ts";
export {
  concat,
  gather,
  indexSelect,
  permute,
  reshape,
  slice,
  transpose,
} from "./tensor/shape.ts";
export { logSoftmax, softmax } from "./tensor/softmax.ts";

// Layers and models.

export { SelfAttention } from "./nn/attention.ts";
export type { TokenBatch } from "./nn/batch.ts";
export { Block } from "./nn/block.ts";
export { KvCache, type LayerCache } from "./nn/cache.ts";
export type { Activation, ModelConfig } from "./nn/config.ts";
export type { Context } from "./nn/context.ts";
export { Embedding } from "./nn/embedding.ts";
export { emptyParameter, type Initializer, normalInitializer, type Role } from "./nn/init.ts";
export { Linear, type LinearLike, type LinearOptions } from "./nn/linear.ts";
export { Mlp } from "./nn/mlp.ts";
export { Module, type StateDict } from "./nn/module.ts";
export { LayerNorm, type Norm, RmsNorm } from "./nn/norm.ts";
export { type ForwardOptions, type LossOptions, Transformer } from "./nn/transformer.ts";

// Adapters.

export { Adapter } from "./adapters/adapter.ts";

export {
  disableAdapters,
  type InjectOptions,
  setActiveAdapters,
} from "./adapters/inject.ts";
export type { AdapterLayer } from "./adapters/layer.ts";
export { injectLora, LoraLayer } from "./adapters/lora.ts";
export { type LoraConfig, type LoraOptions, resolveLoraConfig } from "./adapters/loraConfig.ts";
export { type AdapterSet, adaptersOf, baseParameters } from "./adapters/set.ts";

// Optimizers.

export { AdamW, type AdamWOptions } from "./optim/adamw.ts";
export { clipGradNorm } from "./optim/clip.ts";
export type { ParameterGroup, Parameters } from "./optim/group.ts";
export { Optimizer, type OptimizerState, type ParameterState } from "./optim/optimizer.ts";
export {
  constantSchedule,
  cosineSchedule,
  type DecayOptions,
  linearSchedule,
  type Schedule,
  type WarmupOptions,
} from "./optim/schedule.ts";
export { SGD, type SGDOptions } from "./optim/sgd.ts";

// Text, tokens and batches.

export { type Batch, IGNORE_INDEX } from "./data/batch.ts";
export type { AddedToken, BpeDefinition } from "./data/bpeDefinition.ts";
export { BpeTokenizer } from "./data/bpeTokenizer.ts";
export { type Corpus, corpusDataset } from "./data/corpusDataset.ts";
export {
  type BatchRange,
  Dataset,
  type DatasetOptions,
  type DatasetSummary,
} from "./data/dataset.ts";
export { type PromptModel, promptTokens } from "./data/documentTokens.ts";
export { jsonlDataset } from "./data/jsonlDataset.ts";
export { Llama2cTokenizer, readLlama2cTokenizer } from "./data/llama2c.ts";
export { type ReadTokenizerOptions, readTokenizerJson } from "./data/readTokenizerJson.ts";
export { textDataset } from "./data/textDataset.ts";
export {
  type DecodeOptions,
  DecodeStream,
  type EncodeOptions,
  type Tokenizer,
} from "./data/tokenizer.ts";
export { type TrainTokenizerOptions, trainTokenizer } from "./data/trainTokenizer.ts";
export { writeTokenizerJson } from "./data/writeTokenizerJson.ts";

// Training, evaluation and generation.

export { DivergenceError } from "./train/divergence.ts";
export { bitsPerByte, type Evaluation, evaluate } from "./train/evaluate.ts";
export {
  type GenerateOptions,
  generate,
  generateBatch,
  generateTokens,
} from "./train/generate.ts";
export type { ScheduleName, StepReport, TrainerOptions } from "./train/progress.ts";
export { type SampleOptions, sample } from "./train/sample.ts";
export { Trainer } from "./train/trainer.ts";

// Files.

export {
  type AdapterFilesOptions,
  adapterFiles,
  type LoadAdapterOptions,
  loadAdapter,
  type SaveAdapterOptions,
  saveAdapter,
} from "./io/adapter.ts";
export type { FileLocation } from "./io/directory.ts";
export type { Dtype } from "./io/dtype.ts";
export type { JsonObject, JsonValue } from "./io/json.ts";
export { readLlama2c } from "./io/llama2c.ts";
export {
  buildModel,
  type LoadModelOptions,
  loadModel,
  type ModelFilesOptions,
  modelFiles,
  type SaveModelOptions,
  saveModel,
  type WeightType,
} from "./io/model.ts";
export { type ModelOrigin, PretrainedModel } from "./io/pretrained.ts";
export {
  fromFloat32,
  readSafetensors,
  type SafetensorsFile,
  type StoredTensor,
  toFloat32,
  writeSafetensors,
} from "./io/safetensors.ts";
export {
  type LoadTextOptions,
  loadText,
  type TextModel,
  type TrainingRecord,
} from "./io/text.ts";
