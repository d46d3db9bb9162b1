// Joins the compiled program into the few files that are published: what an import needs and what the command adds.
// An import of 160 files would take longer than all that lowrank does until its first product.
//   dist/src/index.js, dist/src/cli/main.js --> dist/lib/api/index.js, dist/lib/cli/main.js, dist/lib/chunk/*.js
// Each file lies as deep below the root as its sources, whose relative paths to the package's data therefore hold.
// The engine and the errors are chunks of their own, so that a bundler can leave the engine out. Names of functions,
// classes and whatever stands beside them are kept, so that a stack trace can be read; the names inside of functions are
// shortened, for a runtime reads all of it before the first line runs.
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSync, transformSync } from "esbuild";

const ENTRIES = { "api/index": "index.js", "cli/main": "cli/main.js" };
// What is reached from these becomes a chunk; nobody imports them themselves. Of the index, which is twice an entry, only
// re-exports stay in its file, so that importing one name runs nothing else.
const APART = {
  "apart/engine": "core/engine.js",
  "apart/error": "core/error.js",
  "apart/all": "index.js",
};

/** Writes dist/lib anew. */
export function bundle(root) {
  rmSync(join(root, "dist/lib"), { recursive: true, force: true });
  buildSync({
    absWorkingDir: root,
    entryPoints: Object.entries({ ...ENTRIES, ...APART }).map(([out, source]) => ({
      in: join("dist/src", source),
      out,
    })),
    outdir: "dist/lib",
    chunkNames: "chunk/[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    platform: "neutral",
    external: ["node:*"],
    minifyWhitespace: true,
    minifySyntax: true,
    logLevel: "warning",
  });
  rmSync(join(root, "dist/lib/apart"), { recursive: true });
  const chunks = join(root, "dist/lib/chunk");
  for (const file of readdirSync(chunks)) {
    const path = join(chunks, file);
    writeFileSync(path, withShortLocals(readFileSync(path, "utf8")));
  }
}

// What a chunk may hold besides statements: imports at its head, exports at its end, and its own address.
const PARTS = /^((?:import\{[^}]*\}from"[^"]*";)*)(.*?)(export\{[^}]*\};\s*)$/s;
const ADDRESS = "ADDRESS_OF_THIS_CHUNK";

/** A chunk with short names inside of its functions. Without imports and exports it is a script, whose names are kept. */
function withShortLocals(chunk) {
  const [, head, body, tail] = PARTS.exec(chunk);
  const { code } = transformSync(body.replaceAll("import.meta.url", ADDRESS), {
    target: "es2022",
    minify: true,
  });
  return head + code.trim().replaceAll(ADDRESS, "import.meta.url") + tail;
}
