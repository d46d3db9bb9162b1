// Model directories in Hugging Face's layout: config.json, model.safetensors (or shards with an index), and
// files about the tokenizer and generation. What is not understood is kept and written back as it was.
import { baseParameters, expectModel } from "../adapters/set.ts";
import { type WriteDirectoryOptions, writeDirectory } from "../core/directory-writer.ts";
import { current, Engine } from "../core/engine.ts";
import { UsageError } from "../core/error.ts";
import type { FileSystem } from "../core/files.ts";
import { expectBytes, expectInstance, expectMap, expectText, kindOf } from "../core/kind.ts";
import { isLocation, type PathLike, pathOf } from "../core/location.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { revisionEntry } from "../core/revision.ts";
import { checkConfig, type ModelConfig } from "../nn/config.ts";
import type { Transformer } from "../nn/transformer.ts";
import { allOrNothing } from "../tensor/record.ts";
import { type FileLocation, type FileSource, openSource, readRequired } from "./directory.ts";
import { formatModelConfig, parseModelConfig, type StoredType } from "./huggingface-config.ts";
import type { JsonObject } from "./json.ts";
import { matchModelTensors, transposedNames, transposeMatrix } from "./model-tensors.ts";
import { EMBEDDED_MODEL, openPackaged } from "./packaged.ts";
import { COMPANIONS, type ModelOrigin, PretrainedModel } from "./pretrained.ts";
import { fromFloat32, type StoredTensor, writeSafetensors } from "./safetensors.ts";
import { isUnchanged, marksOf, notePlace } from "./saved-places.ts";
import { readWeights } from "./weights.ts";

/** A type in which weights can be stored. */
export type WeightType = "F32" | "F16" | "BF16";

/** What a config.json calls it. */
const STORED_TYPES: Readonly<Record<WeightType, StoredType>> = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
};

/** What a loaded model is called, and where it lives. */
export interface LoadModelOptions {
  /** Default: the engine that is current when `loadModel` is called. */
  readonly engine?: Engine;
  /** How the model is called in saved adapters (`base_model_name_or_path`). Default: the place it came from. */
  readonly name?: string;
}

type BuildOptions = Partial<ModelOrigin> & { readonly file?: string };

/** How a model's files are written, and which others lie beside them. */
export interface ModelFilesOptions {
  /** How weights are stored; default "F32", which loses nothing. */
  readonly dtype?: WeightType;
  /** More files by name, such as a README.md or the tokenizer.json of a model made from scratch. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
}

/** How a model is saved. */
export interface SaveModelOptions extends ModelFilesOptions {
  /**
   * Replace the model that the directory holds, whoever saved it; default false: then only what this same model
   * object was loaded from or saved to in this process, and nobody has changed since, is replaced. A model is replaced
   * as a whole: its shards, index and tokenizer files go if they are not written anew. Files of other kinds, an
   * adapter's among them, stay as they are either way, unless `files` names them; beside them alone nothing is written
   * without `overwrite`.
   */
  readonly overwrite?: boolean;
}

/**
 * Loads a model: the embedded one, or a Hugging Face directory, a URL below which the files lie, or bytes by file
 * name. All parameters require gradients; `injectLora` and `freeze` change that.
 * @throws FormatError that lists every tensor that does not fit the config; nothing is kept then
 * @example
 * const model = await loadModel("./my-model");
 */
export async function loadModel(
  location?: FileLocation,
  options: LoadModelOptions = {},
): Promise<PretrainedModel> {
  expectOptions(options, LOAD_OPTIONS, "loadModel");
  const { engine = current(), name } = options;
  expectInstance("engine", engine, Engine, "an engine");
  if (name !== undefined) expectText("name", name);
  const source =
    location === undefined
      ? await openPackaged(
          EMBEDDED_MODEL,
          "config.json",
          'Pass the files as bytes: loadModel({ "config.json": …, "model.safetensors": …, "tokenizer.json": … }).',
        )
      : openSource(location);
  const marks = source.directory === undefined ? null : marksOf(source.directory, isModelFile);
  const file = `${source.name}/config.json`;
  const parsed = parseModelConfig(await readRequired(source, "config.json"), file);
  const { tensors } = await readWeights(source);
  const origin = {
    name: name ?? nameOf(location, source, parsed.fields),
    fields: parsed.fields,
    companions: await readCompanions(source),
    warnings: parsed.warnings,
    file: source.name,
  };
  const model = engine.run(() => buildModel(parsed.config, tensors, origin));
  if (source.directory !== undefined && marks !== null) notePlace(model, source.directory, marks);
  return model;
}

const LOAD_OPTIONS: OptionNames<LoadModelOptions> = { engine: true, name: true };
const FILES_OPTIONS: OptionNames<ModelFilesOptions> = { dtype: true, files: true };
const SAVE_OPTIONS: OptionNames<SaveModelOptions> = { ...FILES_OPTIONS, overwrite: true };
const BUILD_OPTIONS: OptionNames<BuildOptions> = {
  name: true,
  fields: true,
  companions: true,
  warnings: true,
  file: true,
};

/** The place that a model came from; bytes come from nowhere, but their config may say what the model is called. */
function nameOf(
  location: FileLocation | undefined,
  source: FileSource,
  fields: JsonObject,
): string {
  if (location === undefined) return EMBEDDED_MODEL.slice(EMBEDDED_MODEL.lastIndexOf("/") + 1);
  if (isLocation(location)) return source.name;
  const name = fields.get("_name_or_path");
  return typeof name === "string" ? name : "";
}

async function readCompanions(source: FileSource): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const read = await Promise.all(COMPANIONS.map((name) => source.read(name)));
  COMPANIONS.forEach((name, i) => {
    const bytes = read[i];
    if (bytes) files.set(name, bytes);
  });
  return files;
}

/**
 * Makes a model of stored tensors, after checking that they are exactly the parameters of the config.
 * @param file how errors call the place of the tensors
 * @throws FormatError that lists every tensor that does not fit; nothing is kept then
 */
export function buildModel(
  config: ModelConfig,
  tensors: ReadonlyMap<string, StoredTensor>,
  options: BuildOptions = {},
): PretrainedModel {
  checkConfig(config);
  expectMap("The tensors", tensors, "a Map from names to tensors");
  expectOptions(options, BUILD_OPTIONS, "buildModel");
  const { file = "The tensors", ...origin } = options;
  expectText("file", file);
  const matched = matchModelTensors(config, tensors, file);
  const warnings = [...(origin.warnings ?? []), ...matched.warnings];
  return allOrNothing(() => new PretrainedModel(config, matched.init, { ...origin, warnings }));
}

/**
 * The files of a model, by name: config.json, model.safetensors, and those that came with it. Where adapters are
 * merged the weights are the merged ones; adapters themselves are not part of the files.
 * @throws UsageError for a model that no Hugging Face config describes, or values that "F16" cannot hold
 */
export function modelFiles(
  model: Transformer,
  options: ModelFilesOptions = {},
): Map<string, Uint8Array> {
  expectModel(model);
  expectOptions(options, FILES_OPTIONS, "modelFiles");
  const { dtype = "F32", files = new Map<string, Uint8Array>() } = options;
  expectMap("files", files, "a Map from names to bytes");
  for (const [name, bytes] of files) {
    expectText("The name of a file", name);
    expectBytes(name, bytes);
  }
  if (typeof dtype !== "string" || !Object.hasOwn(STORED_TYPES, dtype)) {
    throw new UsageError(`dtype is ${kindOf(dtype)}; expected "F32", "F16" or "BF16".`);
  }
  const transposed = transposedNames(model);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, parameter] of baseParameters(model)) {
    const values = parameter.toArray() as Float32Array;
    tensors.set(name, store(name, values, parameter.shape, transposed.has(name), dtype));
  }
  // A tied head has no weight of its own, unless an adapter was merged into it.
  const untied = tensors.has(`${model.headPath}.weight`);
  const config = untied ? { ...model.config, tieWordEmbeddings: false } : model.config;
  const origin = model instanceof PretrainedModel ? model : null;
  const text = formatModelConfig(config, {
    ...(origin?.fields ? { fields: origin.fields } : {}),
    dtype: STORED_TYPES[dtype],
  });
  return new Map<string, Uint8Array>([
    ["config.json", new TextEncoder().encode(text)],
    // "format" is what transformers requires of a file of PyTorch's layout.
    ["model.safetensors", writeSafetensors(tensors, new Map([["format", "pt"], revisionEntry()]))],
    ...(origin?.companions ?? []),
    ...files,
  ]);
}

function store(
  name: string,
  values: Float32Array,
  shape: readonly number[],
  transposed: boolean,
  dtype: WeightType,
): StoredTensor {
  const [rows = 0, columns = 0] = shape;
  const data = transposed ? transposeMatrix(values, rows, columns) : values;
  // From 65520 on a number becomes infinite in float16.
  if (dtype === "F16" && data.some((value) => Math.abs(value) >= 65520 && Number.isFinite(value))) {
    throw new UsageError(
      `${name} holds values that float16 cannot; save the model as BF16 or F32.`,
    );
  }
  return fromFloat32(data, transposed ? shape.toReversed() : shape, dtype);
}

/**
 * Saves a model as a directory that `loadModel` and transformers read, all or nothing: what was there before
 * stays whole if anything fails, and a process that is killed leaves the old model or the new one to `loadModel`.
 * @throws UsageError when the directory holds what `overwrite` would have to allow, LowrankError when it cannot be
 *   written; then nothing has changed
 */
export async function saveModel(
  model: Transformer,
  directory: PathLike,
  options: SaveModelOptions = {},
  fs?: FileSystem,
): Promise<void> {
  expectModel(model);
  expectOptions(options, SAVE_OPTIONS, "saveModel");
  const { overwrite = false, ...content } = options;
  const path = pathOf(directory, "The directory to save the model to");
  const files = modelFiles(model, content);
  const rules: WriteDirectoryOptions = {
    noun: "model",
    owns: isModelFile,
    mayReplace: isUnchanged(model, path, fs),
    overwrite,
  };
  writeDirectory(path, files, rules, fs);
  const isOwn = (name: string) => isModelFile(name) || files.has(name);
  notePlace(model, path, marksOf(path, isOwn, fs), fs);
}

function isModelFile(name: string): boolean {
  return (
    name === "config.json" ||
    /^model(-\d{5}-of-\d{5})?\.safetensors$/.test(name) ||
    name === "model.safetensors.index.json" ||
    COMPANIONS.includes(name)
  );
}
