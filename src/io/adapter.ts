// PEFT adapter directories: adapter_config.json and adapter_model.safetensors. Reading goes config, targets, names
// and shapes of all tensors, and only then touches the model; whatever fails, the model stays as it was.
import { Adapter } from "../adapters/adapter.ts";
import {
  activateOrRemove,
  addAdapter,
  declareTensors,
  expectFreeName,
  modelTypeOf,
  planAdapter,
  type SourceFor,
} from "../adapters/inject.ts";
import type { LoraConfig } from "../adapters/loraConfig.ts";
import { type AnyAdapter, baseParameters, expectModel } from "../adapters/set.ts";
import { noting } from "../adapters/source.ts";
import { defaultTargetsOf } from "../adapters/target.ts";
import { isTargetConfig, savedConfig } from "../adapters/targeting.ts";
import { type WriteDirectoryOptions, writeDirectory } from "../core/directory-writer.ts";
import { UsageError } from "../core/error.ts";
import { type FileSystem, kindOfPath } from "../core/files.ts";
import { expectInstance, expectObject } from "../core/kind.ts";
import { type PathLike, pathOf } from "../core/location.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { isMap } from "../core/realm.ts";
import { revisionEntry } from "../core/revision.ts";
import { withoutSecrets } from "../core/secrets.ts";
import { isLinear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { Transformer } from "../nn/transformer.ts";
import { leaf } from "../tensor/record.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type BaseTensor, matchAdapterTensors, storedAt, storedName } from "./adapter-tensors.ts";
import { type FileLocation, openSource, readRequired } from "./directory.ts";
import { quote } from "./json.ts";
import { transposeMatrix } from "./model-tensors.ts";
import {
  formatPeftConfig,
  inKeysOfFile,
  ofFile,
  type PeftConfig,
  parsePeftConfig,
} from "./peft-config.ts";
import { PretrainedModel } from "./pretrained.ts";
import { fromFloat32, type StoredTensor, toFloat32, writeSafetensors } from "./safetensors.ts";
import { isUnchanged, marksOf, notePlace } from "./saved-places.ts";
import { readWeights } from "./weights.ts";

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";

/** What an adapter's files hold besides its tensors. */
export interface AdapterFilesOptions {
  /** Strings kept in the header of the weights' file, such as the data and seed of the training. */
  readonly metadata?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
}

/** How an adapter is saved. */
export interface SaveAdapterOptions extends AdapterFilesOptions {
  /**
   * Replace the adapter that the directory holds, all of its files, whoever saved it; default false: then only what
   * this same adapter object was loaded from or saved to in this process, and nobody has changed since, is replaced.
   * Files of other kinds, a model's among them, stay as they are either way; beside them alone nothing is written
   * without `overwrite`.
   */
  readonly overwrite?: boolean;
}

/** What a loaded adapter is called, and whether it takes part at once. */
export interface LoadAdapterOptions {
  /** Name among the adapters of the model; default "default". */
  readonly adapterName?: string;
  /** Make it the only active adapter beside those that are merged; default true. */
  readonly activate?: boolean;
}

/** The two files of an adapter, by name, as PEFT writes them; also while it is merged. */
export function adapterFiles(
  adapter: AnyAdapter,
  options: AdapterFilesOptions = {},
): Map<string, Uint8Array> {
  expectAdapter(adapter);
  expectOptions(options, FILES_OPTIONS, "adapterFiles");
  const { metadata = {} } = options;
  expectObject("metadata", metadata, "an object of texts");
  const tensors = new Map<string, StoredTensor>();
  for (const path of [null, ...adapter.layers.keys()]) {
    for (const [key, parameter] of adapter.tensorsOf(path)) {
      const values = parameter.toArray() as Float32Array;
      tensors.set(storedName(path, key), fromFloat32(values, parameter.shape));
    }
  }
  const given: Iterable<[string, string]> = isMap(metadata)
    ? (metadata as ReadonlyMap<string, string>)
    : Object.entries(metadata);
  const header = new Map<string, string>(given);
  for (const [key, value] of header) {
    if (typeof value === "string") continue;
    throw new UsageError(`The metadata ${quote(key)} is ${typeof value}; expected a string.`);
  }
  return new Map([
    [CONFIG, new TextEncoder().encode(formatPeftConfig(describe(adapter)))],
    [WEIGHTS, writeSafetensors(tensors, header.set("format", "pt").set(...revisionEntry()))],
  ]);
}

const FILES_OPTIONS: OptionNames<AdapterFilesOptions> = { metadata: true };
const SAVE_OPTIONS: OptionNames<SaveAdapterOptions> = { ...FILES_OPTIONS, overwrite: true };
const LOAD_OPTIONS: OptionNames<LoadAdapterOptions> = { adapterName: true, activate: true };

function expectAdapter(adapter: unknown): void {
  const advice =
    adapter instanceof Transformer
      ? "A model is saved by saveModel(); injectLora() puts an adapter on it."
      : "injectLora() and loadAdapter() give one.";
  expectInstance("The adapter", adapter, Adapter, "an adapter", advice);
}

/** What adapter_config.json says of an adapter; of one that was loaded, what it said before. */
function describe(adapter: AnyAdapter): PeftConfig {
  const { model, method } = adapter;
  const before = adapter.origin === undefined ? null : (adapter.origin as PeftConfig);
  const own = model instanceof PretrainedModel && model.name !== "" ? model.name : null;
  const base = before?.baseModelNameOrPath ?? own;
  const anyTransposed = [...adapter.layers.keys()].some((path) => isTransposed(model, path));
  return {
    method,
    config: savedConfig(adapter.config, targetNames(adapter), anyTransposed),
    taskType: before === null ? "CAUSAL_LM" : before.taskType,
    // An adapter is made to be shared: it names no user and no token of the base's address.
    baseModelNameOrPath: base === null ? null : withoutSecrets(base),
    revision: before?.revision ?? null,
    ...(before?.fields === undefined ? {} : { fields: before.fields }),
  };
}

const isTransposed = (model: Module, path: string): boolean => {
  const module = model.moduleAt(path);
  return isLinear(module) && module.storedTransposed;
};

/** The names that stand for the adapter's targets: those of PEFT's default where that is what was meant. */
function targetNames({ config, method, model, layers }: AnyAdapter): readonly string[] {
  const isDefault = isTargetConfig(config) && config.targetModules === null;
  const names = isDefault ? defaultTargetsOf(method, modelTypeOf(model)) : undefined;
  return names ?? [...layers.keys()];
}

/**
 * Saves an adapter as a PEFT directory, all or nothing: what was there before stays whole if anything fails, and a
 * process that is killed leaves the old adapter or the new one to `loadAdapter`.
 * @throws UsageError when the directory holds what `overwrite` would have to allow, LowrankError when it cannot be
 *   written; then nothing has changed
 */
export async function saveAdapter(
  adapter: AnyAdapter,
  directory: PathLike,
  options: SaveAdapterOptions = {},
  fs?: FileSystem,
): Promise<void> {
  expectAdapter(adapter);
  expectOptions(options, SAVE_OPTIONS, "saveAdapter");
  const { overwrite = false, ...content } = options;
  const path = pathOf(directory, "The directory to save the adapter to");
  const files = adapterFiles(adapter, content);
  const rules: WriteDirectoryOptions = {
    noun: "adapter",
    owns: isAdapterFile,
    // PEFT keeps adapters of other names in directories of their own below.
    ignores: (name) => kindOfPath(`${path}/${name}/${CONFIG}`, fs) === "file",
    mayReplace: isUnchanged(adapter, path, fs),
    overwrite,
  };
  writeDirectory(path, files, rules, fs);
  notePlace(adapter, path, marksOf(path, isAdapterFile, fs), fs);
}

function isAdapterFile(name: string): boolean {
  return (
    name === CONFIG ||
    /^adapter_model(-\d{5}-of-\d{5})?\.safetensors$/.test(name) ||
    name === "adapter_model.safetensors.index.json"
  );
}

/**
 * Puts an adapter that PEFT or lowrank saved onto a model: a directory, a URL below which its files lie, or bytes
 * by file name. The model's own parameters stop training, as with `injectLora`.
 * @returns the adapter, with remarks on what was ignored in `warnings`
 * @throws FormatError that lists every tensor that does not fit, or says what changes the base and is not supported,
 *   UsageError for a name that is taken; then nothing has changed
 */
export async function loadAdapter<C extends object = LoraConfig>(
  model: Transformer,
  location: FileLocation,
  options: LoadAdapterOptions = {},
): Promise<Adapter<C>> {
  expectModel(model);
  expectOptions(options, LOAD_OPTIONS, "loadAdapter");
  const { adapterName = "default", activate = true } = options;
  const source = openSource(location);
  const marks = source.directory === undefined ? null : marksOf(source.directory, isAdapterFile);
  const file = `${source.name}/${CONFIG}`;
  const parsed = parsePeftConfig(await readRequired(source, CONFIG), file);
  const { tensors } = await readWeights(source, "adapter_model");
  const { method } = parsed.config;
  const { remarks, ...plan } = planOf(model, parsed.config, tensors, file);
  const declared = declareTensors(model, method, plan);
  const expected = { declared, method, base: baseTensors(model) };
  const matched = matchAdapterTensors(tensors, expected, `${source.name}/${WEIGHTS}`);
  const fromFile: SourceFor = (path, made) =>
    noting(made, (key, shape) => {
      const values = toFloat32(storedAt(matched.found, path, key));
      return leaf(shape, (out) => out.set(values), { persistent: true });
    });
  expectFreeName(model, adapterName);
  const adapter = inKeysOfFile(method, () =>
    addAdapter(model, method, {
      ...plan,
      adapterName,
      source: fromFile,
      warnings: [...parsed.warnings, ...remarks, ...matched.warnings],
      origin: parsed.config,
    }),
  );
  if (activate) activateOrRemove(model, adapterName);
  if (source.directory !== undefined && marks !== null) notePlace(adapter, source.directory, marks);
  return adapter as unknown as Adapter<C>;
}

/** The model's own tensors as files hold them, by name. */
function baseTensors(model: Transformer): (name: string) => BaseTensor | null {
  let byName: ReadonlyMap<string, Tensor> | null = null;
  return (name) => {
    byName ??= new Map(baseParameters(model));
    // A tied head has no weight of its own.
    const tied = name === `${model.headPath}.weight` ? model.head.weight : undefined;
    const parameter = byName.get(name) ?? tied;
    if (parameter === undefined) return null;
    const [rows = 0, columns = 0] = parameter.shape;
    const isTransposedHere =
      parameter.rank === 2 && isTransposed(model, name.replace(/\.weight$/, ""));
    const values = (): Float32Array => parameter.toArray() as Float32Array;
    if (!isTransposedHere) return { shape: parameter.shape, values };
    return { shape: [columns, rows], values: () => transposeMatrix(values(), rows, columns) };
  };
}

/** The modules that the config means; when there are none, the tensors say for which model it was made. */
function planOf(
  model: Transformer,
  { method, config }: PeftConfig,
  tensors: ReadonlyMap<string, StoredTensor>,
  file: string,
): ReturnType<typeof planAdapter> {
  const sentence = (message: string): string => {
    const shown = [...tensors]
      .slice(0, 10)
      .map(([name, { shape }]) => `${quote(name).slice(1, -1)} [${shape}]`);
    if (tensors.size > shown.length) shown.push(`and ${tensors.size - shown.length} more`);
    return (
      `${file} does not fit this model: ${message} The adapter's tensors are\n  ${shown.join("\n  ")}\n` +
      "Load it onto the model that it was made for."
    );
  };
  return ofFile(method, () => planAdapter(model, method, config), sentence);
}
