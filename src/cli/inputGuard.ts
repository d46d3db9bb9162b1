// What a command reads must not lie where it writes, whatever names and links lead there: a run would end by writing
// over the model that it started from.

import { type BigIntStats, readdirSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { UsageError } from "../core/error.ts";
import type { RunDirectory } from "./runDirectory.ts";

/**
 * Checks a run's model and text.
 * @throws UsageError
 */
export function guardInputs(
  directory: RunDirectory,
  values: { readonly model: string | undefined; readonly data: string | undefined },
): void {
  for (const [flag, path] of [
    ["--model", values.model],
    ["--data", values.data],
  ] as const) {
    const folder = directory.folders.find((written) => path !== undefined && liesIn(path, written));
    if (folder === undefined) continue;
    throw new UsageError(
      `${flag} ${JSON.stringify(path)} lies in ${JSON.stringify(folder)}, which the run would write over. Nothing was ` +
        "changed. Choose another place with --out DIR.",
    );
  }
}

/** Whether a file or directory, or a file that a directory links to, lies in `folder` or is it. */
export function liesIn(path: string, folder: string): boolean {
  const target = identity(folder);
  if (target === null) return false;
  return [path, ...linksIn(path)].some((input) => isBelow(input, target));
}

function isBelow(path: string, folder: BigIntStats): boolean {
  let at: string;
  try {
    at = realpathSync(path);
  } catch {
    // There is no such file, which its reader says better; or it is a URL.
    return false;
  }
  for (;;) {
    // Numbers, not names: a file system may take two spellings for one name, or show a directory in two places.
    const found = identity(at);
    if (found !== null && found.dev === folder.dev && found.ino === folder.ino) return true;
    const above = dirname(at);
    if (above === at) return false;
    at = above;
  }
}

function identity(path: string): BigIntStats | null {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return null;
  }
}

/** The symbolic links in a directory: stores of models keep files elsewhere and link to them. */
function linksIn(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isSymbolicLink()).map(({ name }) => join(path, name));
  } catch {
    return [];
  }
}
