// The files that come with the package, the embedded model and the bundled text: they lie three folders above the
// compiled code. A bundle or an edge worker has none of them, and the error says what to do.
import { UsageError } from "../core/error.ts";
import { messageOf } from "../core/realm.ts";
import { type FileSource, openSource } from "./directory.ts";
import { quote } from "./json.ts";

/** The directory of the embedded base model. */
export const EMBEDDED_MODEL = "models/lowrank-sotu";

/** The text to fine-tune on by default. */
export const BUNDLED_TEXT = { directory: "data", file: "king-james.txt" } as const;

/**
 * Opens a directory of the package.
 * @param probe a file that must be in it
 * @param advice what to do where the package's files are out of reach
 * @throws UsageError with the advice
 */
export async function openPackaged(
  directory: string,
  probe: string,
  advice: string,
): Promise<FileSource> {
  const unreachable = (reason: string, cause?: unknown) =>
    new UsageError(
      `The package's own ${directory}/${probe} cannot be reached: ${reason} Bundles and edge workers have no ` +
        `files beside the code. ${advice}`,
      { cause },
    );
  // Not in one expression with import.meta.url: bundlers would take the directory for an asset.
  const base: string | undefined = import.meta.url;
  let source: FileSource;
  let found: Uint8Array | null;
  try {
    source = openSource(new URL(`../../../${directory}/`, base));
    found = await source.read(probe);
  } catch (error) {
    throw unreachable(messageOf(error), error);
  }
  if (found === null) throw unreachable(`there is no ${quote(probe)} in ${source.name}.`);
  // Without a directory: no save goes there unasked.
  const { name, list, read, readParts } = source;
  return { name, list, read, readParts };
}
