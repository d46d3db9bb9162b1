// Whether a file system takes the names that a save will make, asked before the work whose result is to be saved.

import { basename } from "node:path";
import { UsageError } from "../core/error.ts";
import { absolutePath, exists, kindOfPath, parentOf, temporaryPath } from "../core/files.ts";

/** The paths that exist while a file is saved. */
export function namesOfFile(path: string): string[] {
  return [path, temporaryPath(parentOf(path))];
}

/** The longest paths that exist while a directory of an adapter or a model is saved. */
export function namesOfDirectory(path: string): string[] {
  // Beside each file its sizes and times before and after are noted in a name.
  return [temporaryPath(parentOf(path)), `${temporaryPath(path)}/stamps/${"x".repeat(120)}`];
}

/**
 * Checks the paths of what will be saved in `place`.
 * @throws UsageError if a name of them, or the whole, is longer than the file system takes
 */
export function checkLength(place: string, paths: readonly string[]): void {
  if (paths.every(isTaken)) return;
  throw new UsageError(
    `The path ${JSON.stringify(place)} is too long: the file system does not take what is saved ` +
      "there. Choose a shorter one with --out DIR.",
  );
}

function isTaken(path: string): boolean {
  let above = absolutePath(path);
  const missing: string[] = [];
  try {
    while (!exists(above) && parentOf(above) !== above) {
      missing.push(basename(above));
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
  return (
    error instanceof Error &&
    (error.cause as NodeJS.ErrnoException | undefined)?.code === "ENAMETOOLONG"
  );
}
