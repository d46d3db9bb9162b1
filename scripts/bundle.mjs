// Joins the compiled program into the few files that are published: what an import needs and what the command adds.
// An import of 160 files would take longer than all that lowrank does until its first product.
//   dist/src/index.js, dist/src/cli/main.js --> dist/lib/api/index.js, dist/lib/cli/main.js, dist/lib/chunk/*.js
// Each file lies as deep below the root as its sources, whose relative paths to the package's data therefore hold.
// What the two share is one chunk, for each file of an import takes a millisecond, but the errors, so that a bundle which
// needs no more holds no more. Names of functions, classes and whatever stands beside them are kept, so that a stack trace
// can be read; the names inside of functions are shortened, for a runtime reads all of it before the first line runs.
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSync, transformSync } from "esbuild";

// The command with the whole library, so that none of it makes a chunk of its own.
const COMMAND = "cli/whole.js";
const ENTRIES = { "api/index": "index.js", "cli/main": COMMAND };
// Of the index, which is twice an entry, only re-exports stay in its file: the rest becomes the chunk. Nobody imports
// the files that are made apart.
const APART = { "apart/all": "index.js", "apart/error": "core/error.js" };

/** Writes dist/lib anew. */
export function bundle(root) {
  rmSync(join(root, "dist/lib"), { recursive: true, force: true });
  const command = join(root, "dist/src", COMMAND);
  const main = readFileSync(join(root, "dist/src/cli/main.js"), "utf8");
  writeFileSync(command, `${main}export * from "../index.js";\n`);
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
    lineLimit: LINE,
    logLevel: "warning",
  });
  rmSync(command);
  const file = join(root, "dist/lib/cli/main.js");
  writeFileSync(file, readFileSync(file, "utf8").replace(/export\{[^}]*\};\s*$/, ""));
  rmSync(join(root, "dist/lib/apart"), { recursive: true });
  const chunks = join(root, "dist/lib/chunk");
  for (const file of readdirSync(chunks)) {
    const path = join(chunks, file);
    writeFileSync(path, withShortLocals(readFileSync(path, "utf8")));
  }
}

// What a chunk may hold besides statements: imports at its head, exports at its end, and its own address.
const PARTS = /^((?:import\{[^}]*\}from"[^"]*";\s*)*)(.*?)(export\{[^}]*\};\s*)$/s;
const ADDRESS = "ADDRESS_OF_THIS_CHUNK";
// A call that is only for those who use its result.
const EARLY = /=(\s*\w+AtImport\(\))/g;
// Node prints the line that threw above an error that nobody catches: it is to be short enough not to hide the sentence.
const LINE = 500;

/** A chunk with short names inside of its functions. Without imports and exports it is a script, whose names are kept. */
function withShortLocals(chunk) {
  const [, head, body, tail] = PARTS.exec(chunk);
  const { code } = transformSync(body.replaceAll("import.meta.url", ADDRESS), {
    target: "es2022",
    minify: true,
    lineLimit: LINE,
  });
  const marked = code.replace(EARLY, "=/* @__PURE__ */$1").replaceAll(ADDRESS, "import.meta.url");
  return head + marked.trim() + tail;
}
