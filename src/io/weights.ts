// The tensors of a model or adapter directory: one safetensors file, or shards with an index
//   { "metadata": { "total_size": n }, "weight_map": { "<tensor>": "model-00001-of-00002.safetensors" } }
// The header of a file is checked before its data is read. Pickled weights are refused, never opened.
import { FormatError } from "../core/error.ts";
import { checkFileName, type FileSource, readRequired, refusePickle } from "./directory.ts";
import { JsonText, parseJsonObject, quote } from "./json.ts";
import { HeaderGate, type StoredTensor } from "./safetensors.ts";
import type { FileTensor, SafetensorsHeader } from "./safetensors-header.ts";

// Asked for by name where a directory cannot be listed.
const PICKLES = ["pytorch_model.bin", "pytorch_model.bin.index.json", "adapter_model.bin"];
/** More shards than any model has. */
const MAX_SHARDS = 10_000;

/** The tensors of a directory, in the order of their files. */
export interface Weights<T extends StoredTensor = StoredTensor> {
  readonly metadata: Map<string, string>;
  readonly tensors: Map<string, T>;
}

/** How much of the files is read. */
export interface ReadWeightsOptions {
  /** Without data the tensors have sizes and no bytes; default true. */
  readonly data?: boolean;
}

/**
 * Reads `<base>.safetensors`, or the shards that `<base>.safetensors.index.json` names.
 * @param base "model" or "adapter_model"
 */
export async function readWeights(
  source: FileSource,
  base = "model",
  { data = true }: ReadWeightsOptions = {},
): Promise<Weights<FileTensor>> {
  const single = await readFile(source, `${base}.safetensors`, data);
  if (single !== null) return single;
  const indexName = `${base}.safetensors.index.json`;
  const index = await source.read(indexName);
  if (index !== null) {
    return readShards(source, readIndex(index, `${source.name}/${indexName}`), data);
  }
  for (const file of source.list() ?? []) refusePickle(file);
  if (source.list() === null) {
    for (const file of PICKLES) {
      if ((await source.read(file)) !== null) refusePickle(file.replace(/\.index\.json$/, ""));
    }
  }
  return missing(source, `${base}.safetensors`);
}

/** Says what there is instead. */
async function missing(source: FileSource, file: string): Promise<never> {
  await readRequired(source, file);
  throw new FormatError(`${source.name}/${file} came and went while it was read.`);
}

async function readFile(
  source: FileSource,
  file: string,
  data: boolean,
): Promise<SafetensorsHeader | null> {
  const gate = new HeaderGate(`${source.name}/${file}`);
  const parts = await source.readParts(file, gate.pass, data);
  if (parts === null) return null;
  if (parts.rest !== null) gate.header.give(parts.rest);
  return gate.header;
}

/** The file of each tensor, as an index says. It may be long: it is walked through, and not built. */
export class ShardIndex {
  readonly #map: JsonText;
  /** The files, each once, in the order of the index. */
  readonly shards: readonly string[];

  /** @param map the value of "weight_map" */
  constructor(map: JsonText) {
    this.#map = map;
    const shards = new Set<string>();
    for (const [, shard] of this.#entries([])) {
      if (shards.has(shard)) continue;
      refusePickle(shard);
      shards.add(checkFileName(shard, map.reader().file));
      if (shards.size > MAX_SHARDS) {
        throw new FormatError(`${map.reader().file} names more than ${MAX_SHARDS} files.`);
      }
    }
    this.shards = [...shards];
  }

  /** Every tensor with its file. */
  entries(): Iterable<readonly [string, string]> {
    return this.#entries(this.shards);
  }

  *keys(): Generator<string> {
    for (const [tensor] of this.entries()) yield tensor;
  }

  *#entries(shards: readonly string[]): Generator<readonly [string, string]> {
    const reader = this.#map.reader();
    reader.expect("{");
    if (reader.take("}")) return;
    do {
      const tensor = reader.string();
      reader.expect(":");
      if (reader.peek() !== '"') {
        throw new FormatError(
          `${reader.file}: the tensor ${quote(tensor)} has no file name in "weight_map".`,
        );
      }
      yield [tensor, reader.stringAmong(shards)];
    } while (reader.take(","));
  }
}

/** The file of each tensor, as a checked index says. */
export function readIndex(bytes: Uint8Array, file: string): ShardIndex {
  const map = parseJsonObject(bytes, file, ["weight_map"]).get("weight_map");
  if (map instanceof JsonText && map.reader().peek() === "{") return new ShardIndex(map);
  throw new FormatError(`${file}: "weight_map" must be an object from tensor names to file names.`);
}

async function readShards(
  source: FileSource,
  index: ShardIndex,
  data: boolean,
): Promise<Weights<FileTensor>> {
  const result: Weights<FileTensor> = { metadata: new Map(), tensors: new Map() };
  const shardOf = new Map<FileTensor["data"], string>();
  for (const shard of index.shards) {
    const read = (await readFile(source, shard, data)) ?? (await missing(source, shard));
    for (const [key, value] of read.metadata) result.metadata.set(key, value);
    for (const [tensor, stored] of read.tensors) {
      shardOf.set(stored.data, shard);
      if (result.tensors.has(tensor)) {
        for (const [other, place] of index.entries()) {
          if (other === tensor && place !== shard) throw misplaced(tensor, source, shard, place);
        }
        throw new FormatError(
          `The tensor ${quote(tensor)} lies in two shards, ${source.name}/${shard} and another.`,
        );
      }
      result.tensors.set(tensor, stored);
    }
  }
  const named = new Set<FileTensor>();
  for (const [tensor, shard] of index.entries()) {
    const stored = result.tensors.get(tensor);
    if (stored === undefined) {
      throw new FormatError(
        `${source.name}/${shard} lacks the tensor ${quote(tensor)}, which the index of the shards places there.`,
      );
    }
    const place = shardOf.get(stored.data);
    if (place !== shard) throw misplaced(tensor, source, place ?? "", shard);
    if (named.has(stored)) {
      throw new FormatError(
        `The index of the shards of ${source.name} names the tensor ${quote(tensor)} twice.`,
      );
    }
    named.add(stored);
  }
  return result;
}

function misplaced(tensor: string, source: FileSource, found: string, named: string): FormatError {
  return new FormatError(
    `The tensor ${quote(tensor)} lies in ${source.name}/${found}, but the index of the shards places it in ` +
      `${quote(named)}. A tensor must lie in one shard; fetch the files again.`,
  );
}
