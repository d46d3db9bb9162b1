// Leaves in dist/ what belongs to the present sources, and of the declarations those that a reader of the package
// can reach: dist/src/index.d.ts and what it imports. The rest describes insides that no import leads to.
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** Files below a directory, their paths beginning with it; none where it does not exist. */
function filesBelow(directory) {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function reachable(path, found = new Set()) {
  const file = normalize(path);
  if (found.has(file)) return found;
  found.add(file);
  for (const [, target] of readFileSync(file, "utf8").matchAll(
    /(?:from|import)\s*\(?"(\.[^"]+)"/g,
  )) {
    reachable(join(dirname(file), target.replace(/\.[jt]s$/, ".d.ts")), found);
  }
  return found;
}

/** Removes outputs of the compiler that no source or no reader asks for. */
export function pruneOutputs(root) {
  const wanted = reachable(join(root, "dist/src/index.d.ts"));
  for (const folder of ["src", "test", "bench", "examples"]) {
    const output = join(root, "dist", folder);
    for (const file of filesBelow(output)) {
      if (!/\.(js|d\.ts)$/.test(file)) continue;
      const source = join(
        root,
        file.slice(join(root, "dist/").length).replace(/\.(js|d\.ts)$/, ".ts"),
      );
      const isUnread = file.endsWith(".d.ts") && !wanted.has(normalize(file));
      if (!existsSync(source) || isUnread) rmSync(file);
    }
  }
}
