// Whether a file system takes the names that a save will make, asked before the work whose result is to be saved.

import { UsageError } from "../core/error.ts";
import {
  absolutePath,
  exists,
  kindOfPath,
  nameOf,
  parentOf,
  temporaryPath,
} from "../core/files.ts";

// As long as what a save makes below a directory of its own while it is on its way.
const ON_THE_WAY = `stamps/${"x".repeat(120)}`;

/** The longest paths that exist while a file is saved. */
export function namesOfFile(path: string): string[] {
  return [path, temporaryPath(parentOf(path))];
}

/** The longest paths that exist while an adapter or a model is saved into a directory. */
export function namesOfDirectory(path: string): string[] {
  return [`${temporaryPath(parentOf(path))}/${ON_THE_WAY}`, `${temporaryPath(path)}/${ON_THE_WAY}`];
}

/**
 * Checks the paths of what will be saved in `place`.
 * @throws UsageError if a name of them, or the whole, is longer than the file system takes
 */
export function checkLength(place: string, paths: readonly string[]): void {
  if ([place, ...paths].every(isTaken)) return;
  throw new UsageError(
    `The path ${JSON.stringify(place)} is too long for the file system, with the names of what is saved there. Choose ` +
      "a shorter one with --out DIR.",
  );
}

function isTaken(path: string): boolean {
  let above = absolutePath(path);
  const missing: string[] = [];
  try {
    while (!exists(above) && parentOf(above) !== above) {
      missing.push(nameOf(above));
      above = parentOf(above);
    }
    // Looking below a directory that is not there tells nothing: each name is tried in the nearest one that is.
    for (const name of missing) kindOfPath(`${above}/${name}`);
    return true;
  } catch (error) {
    if (isTooLong(error)) return false;
    throw error;
  }
}

function isTooLong(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : null;
  return (cause as NodeJS.ErrnoException | null)?.code === "ENAMETOOLONG";
}
