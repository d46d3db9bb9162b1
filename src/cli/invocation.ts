// How the command was called, so that the commands it proposes can be copied as they stand: by name, through npx, or
// as a file of a clone.

import { basename, relative } from "node:path";
import { shellWord } from "./format.ts";

/**
 * What to write before a subcommand.
 * @param script the path that Node was started with: the file itself, or the link that npm made to it
 * @param directory the working directory; null where it was deleted
 */
export function invocation(script: string, directory: string | null): string {
  const path = script.replaceAll("\\", "/");
  if (path.includes("/node_modules/")) return "npx lowrank";
  if (basename(path).replace(/\.\w+$/, "") === "lowrank") return "lowrank";
  return `node ${shellWord((directory !== null && relative(directory, script)) || script)}`;
}

/** The same for this process. */
export function ownInvocation(): string {
  return invocation(process.argv[1] ?? "lowrank", workingDirectory());
}

function workingDirectory(): string | null {
  try {
    return process.cwd();
  } catch {
    return null;
  }
}
