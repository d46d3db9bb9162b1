// Files against those of other programs, and of lowrank before its files named the engine's revision.
import { ENGINE_REVISION } from "../../src/core/revision.ts";
import { readSafetensors, writeSafetensors } from "../../src/io/safetensors.ts";

const KEY = "lowrank_engine_revision";

/** A safetensors file as it would be if its metadata did not name the revision, which it must. */
export function withoutRevision(file: Uint8Array): Uint8Array {
  const { tensors, metadata } = readSafetensors(file, "the file");
  const rest = new Map(metadata);
  if (rest.get(KEY) !== String(ENGINE_REVISION) || !rest.delete(KEY)) {
    throw new Error(`The file names the revision ${metadata.get(KEY)}.`);
  }
  return writeSafetensors(tensors, rest);
}
