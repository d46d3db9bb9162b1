// The name of the bits that the engine computes. Files carry it in their metadata, so that whoever finds other bits
// later can tell a changed engine from a changed file.

/**
 * The revision of the engine's arithmetic: two runs of one build and one revision give the same bits. A release that
 * changes any bit of a result raises it.
 */
export const ENGINE_REVISION = 1;

/** The key of the revision in a file's metadata. */
const KEY = "lowrank_engine_revision";

/** The entry with which a file names the revision that wrote it. */
export function revisionEntry(): readonly [string, string] {
  return [KEY, String(ENGINE_REVISION)];
}

/** The revision that wrote a file with this metadata: files from before it was named count as revision 1. */
export function revisionOf(metadata: ReadonlyMap<string, string>): string {
  return metadata.get(KEY) ?? "1";
}
