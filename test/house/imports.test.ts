// Who may know whom: the layers of the library, read from its import lines.
//   cli → train → io → {data, optim, adapters} → nn → tensor → core;   reference stands alone

import { builtinModules } from "node:module";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { circlesIn, filesIn, importsOf, linesWith, resolved, runtimeImportsOf } from "./source.ts";

const files = filesIn("src", ".ts");

/** Folders from the ground up; those of one line do not know each other. */
const LAYERS: readonly (readonly string[])[] = [
  ["core"],
  ["tensor"],
  ["nn"],
  ["data", "optim", "adapters"],
  ["io"],
  ["train"],
  ["cli"],
];

const folderOf = (path: string): string => path.split("/").at(1) ?? "";
const levelOf = (folder: string): number => LAYERS.findIndex((layer) => layer.includes(folder));

/** All [file, file that it imports] within src. */
const edges = files.flatMap((from) =>
  importsOf(from)
    .map((name) => resolved(from, name))
    .filter((to) => to !== null)
    .map((to) => [from, to] as const),
);

test("every file of src lies in a folder of the plan", () => {
  const known = [...LAYERS.flat(), "reference", "index.ts"];
  assert.equal(
    files.filter((path) => !known.includes(folderOf(path))),
    [],
  );
});

test("every import names a file that exists, with its ending", () => {
  const all = new Set(files);
  const wrong = edges.filter(([, to]) => !all.has(to) && !to.startsWith("src/core/binary/"));
  assert.equal(wrong, []);
});

test("imports point down", () => {
  const up = edges.filter(([from, to]) => {
    const [mine, other] = [folderOf(from), folderOf(to)];
    if (mine === other || mine === "index.ts" || mine === "reference") return false;
    if (other === "reference" || other === "index.ts")
      return mine !== "cli" || other === "reference";
    return levelOf(other) >= levelOf(mine);
  });
  assert.equal(up, []);
});

test("no file of src needs itself to run, but for the methods of a tensor", () => {
  const circles = (ignored: string): string[][] =>
    circlesIn(
      files
        .filter((from) => from !== ignored)
        .flatMap((from) =>
          runtimeImportsOf(from).map((name) => [from, resolved(from, name) ?? name]),
        ),
    );
  // `x.matmul(w)` is the function of another file, which makes tensors.
  const methods = "src/tensor/tensor.ts";
  assert.equal(circles(methods), []);
  assert.ok(circles("").every((group) => group.includes(methods)));
});

test("the reference imports nothing but itself", () => {
  const out = files
    .filter((path) => folderOf(path) === "reference")
    .flatMap((path) => importsOf(path).map((name) => [path, resolved(path, name) ?? name] as const))
    .filter(([, to]) => !to.startsWith("src/reference/"));
  assert.equal(out, []);
});

test("models work without adapters: nothing that nn needs lies in adapters", () => {
  const reached = new Set(files.filter((path) => folderOf(path) === "nn"));
  for (const path of reached) {
    for (const [from, to] of edges) if (from === path) reached.add(to);
  }
  const folders = new Set([...reached].map(folderOf));
  assert.equal([...folders].sort(), ["core", "nn", "tensor"]);
});

test("the command is not part of the library", () => {
  assert.equal(
    edges.filter(([from, to]) => folderOf(to) === "cli" && folderOf(from) !== "cli"),
    [],
  );
});

test("only the command imports modules of Node, and nothing imports a package", () => {
  const outside = files.flatMap((path) =>
    importsOf(path)
      .filter((name) => !name.startsWith("."))
      .map((name) => [path, name] as const),
  );
  const wrong = outside.filter(([path, name]) => {
    const isNode = name.startsWith("node:") && builtinModules.includes(name.slice(5));
    return !(isNode && folderOf(path) === "cli");
  });
  assert.equal(wrong, []);
});

test("only the command prints or ends the process", () => {
  const prints = /\bconsole\s*\.|\bprocess\s*\.\s*(?:exit|stdout|stderr|abort|kill)\b|\balert\s*\(/;
  const found = files
    .filter((path) => folderOf(path) !== "cli")
    .flatMap((path) => linesWith(path, prints));
  assert.equal(found, []);
});

test("the command prints through its terminal alone", () => {
  const streams = /\bconsole\b|\bprocess\s*\.\s*(?:stdout|stderr|emitWarning|_rawDebug)\b/;
  const found = files
    .filter((path) => folderOf(path) === "cli" && path !== "src/cli/main.ts")
    .flatMap((path) => linesWith(path, streams));
  assert.equal(found, []);
});

test("only core and the command know runtimes", () => {
  const runtime = /\b(?:process|Deno|Bun|navigator|Worker|SharedArrayBuffer|WebAssembly|Atomics)\b/;
  const found = files
    .filter((path) => !["core", "cli"].includes(folderOf(path)))
    .flatMap((path) => linesWith(path, runtime));
  assert.equal(found, []);
});

test.run();
