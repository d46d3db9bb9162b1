// The tensors of a model or adapter directory: one safetensors file, or shards with an index
//   { "metadata": { "total_size": n }, "weight_map": { "<tensor>": "model-00001-of-00002.safetensors" } }
// Pickled weights are refused, never opened.
import { FormatError } from "../core/error.ts";
import { checkFileName, type FileSource, readRequired, refusePickle } from "./directory.ts";
import { parseJsonObject, quote } from "./json.ts";
import { readSafetensors, type SafetensorsFile } from "./safetensors.ts";

// Asked for by name where a directory cannot be listed.
const PICKLES = ["pytorch_model.bin", "pytorch_model.bin.index.json", "adapter_model.bin"];

/**
 * Reads `<base>.safetensors`, or the shards that `<base>.safetensors.index.json` names.
 * @param base "model" or "adapter_model"
 */
export async function readWeights(source: FileSource, base = "model"): Promise<SafetensorsFile> {
  const single = await source.read(`${base}.safetensors`);
  if (single !== null) return readSafetensors(single, `${source.name}/${base}.safetensors`);
  const indexName = `${base}.safetensors.index.json`;
  const index = await source.read(indexName);
  if (index !== null) return readShards(source, readIndex(index, `${source.name}/${indexName}`));
  for (const file of source.list() ?? []) refusePickle(file);
  if (source.list() === null) {
    for (const file of PICKLES) {
      if ((await source.read(file)) !== null) refusePickle(file.replace(/\.index\.json$/, ""));
    }
  }
  // Nothing of the kind: readRequired says what there is instead.
  return readSafetensors(await readRequired(source, `${base}.safetensors`), base);
}

/** The file of each tensor, as a checked index says. */
export function readIndex(bytes: Uint8Array, file: string): Map<string, string> {
  const map = parseJsonObject(bytes, file).get("weight_map");
  if (!(map instanceof Map)) {
    throw new FormatError(
      `${file}: "weight_map" must be an object from tensor names to file names.`,
    );
  }
  const shards = new Map<string, string>();
  for (const [tensor, shard] of map) {
    if (typeof shard !== "string") {
      throw new FormatError(
        `${file}: the tensor ${quote(tensor)} has no file name in "weight_map".`,
      );
    }
    refusePickle(shard);
    shards.set(tensor, checkFileName(shard, file));
  }
  return shards;
}

async function readShards(
  source: FileSource,
  shardOf: ReadonlyMap<string, string>,
): Promise<SafetensorsFile> {
  const result: SafetensorsFile = { metadata: new Map(), tensors: new Map() };
  for (const shard of new Set(shardOf.values())) {
    const name = `${source.name}/${shard}`;
    const { metadata, tensors } = readSafetensors(await readRequired(source, shard), name);
    for (const [key, value] of metadata) result.metadata.set(key, value);
    for (const [tensor, stored] of tensors) {
      const other = shardOf.get(tensor);
      if (other !== undefined && other !== shard) {
        throw new FormatError(
          `The tensor ${quote(tensor)} lies in ${name}, but the index of the shards places it in ` +
            `${quote(other)}. A tensor must lie in one shard; fetch the files again.`,
        );
      }
      if (other === undefined && result.tensors.has(tensor)) {
        throw new FormatError(
          `The tensor ${quote(tensor)} lies in two shards, ${name} and another.`,
        );
      }
      result.tensors.set(tensor, stored);
    }
  }
  for (const [tensor, shard] of shardOf) {
    if (result.tensors.has(tensor)) continue;
    throw new FormatError(
      `${source.name}/${shard} lacks the tensor ${quote(tensor)}, which the index of the shards places there.`,
    );
  }
  return result;
}
