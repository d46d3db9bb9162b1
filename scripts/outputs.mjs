// Leaves in dist/ what belongs to the present sources and has a reader: programs that are not empty. Declarations have
// been joined into one file of their own (declarations.mjs).
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Files below a directory, their paths beginning with it; none where it does not exist. */
function filesBelow(directory) {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Removes outputs of the compiler that no source or no reader asks for. */
export function pruneOutputs(root) {
  for (const folder of ["src", "test", "bench", "examples"]) {
    for (const file of filesBelow(join(root, "dist", folder))) {
      if (!/\.(js|d\.ts)$/.test(file)) continue;
      const source = join(
        root,
        file.slice(join(root, "dist/").length).replace(/\.(js|d\.ts)$/, ".ts"),
      );
      const isUnread = file.endsWith(".d.ts") || readFileSync(file, "utf8") === "export {};\n";
      if (!existsSync(source) || isUnread) rmSync(file);
    }
  }
}
