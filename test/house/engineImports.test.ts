// Who may know whom in the engine: the layers of assembly/, read from its import lines. A test also shows that the
// finder of circles finds them.
//   entries → tape → ops → gemm → weights → tensor → math → threads → memory

import { test } from "uvu";
import * as assert from "uvu/assert";
import { circlesIn, filesIn, importsOf, resolved } from "./source.ts";

const files = filesIn("assembly", ".ts");

/** Folders from the ground up. */
const LAYERS: readonly string[] = [
  "memory",
  "threads",
  "math",
  "tensor",
  "weights",
  "gemm",
  "ops",
  "tape",
];

/** Modules of their own: what is compiled. */
const ENTRIES: readonly string[] = ["index.ts", "ladder.ts", "decompress.ts"];

const levelOf = (path: string): number => LAYERS.indexOf(path.split("/").at(1) ?? "");

const edges = files.flatMap((from) =>
  importsOf(from).map((name) => [from, `${resolved(from, name)}.ts`] as const),
);

test("every file of the engine lies in a folder of the plan, or is one of its modules", () => {
  const outside = files.filter(
    (path) => levelOf(path) < 0 && !ENTRIES.includes(path.slice("assembly/".length)),
  );
  assert.equal(outside, []);
});

test("every import names a file that exists", () => {
  const all = new Set(files);
  assert.equal(
    edges.filter(([, to]) => !all.has(to)),
    [],
  );
});

test("imports point down", () => {
  const up = edges.filter(([from, to]) => levelOf(from) >= 0 && levelOf(to) > levelOf(from));
  assert.equal(up, []);
  assert.equal(
    edges.filter(([, to]) => levelOf(to) < 0),
    [],
  );
});

test("no file needs itself", () => {
  assert.equal(circlesIn(edges), []);
});

test("circles are found: of one file, of two, of three, and what leads to them is not one", () => {
  const found = circlesIn([
    ["a", "b"],
    ["b", "c"],
    ["c", "b"],
    ["c", "d"],
    ["e", "e"],
    ["f", "g"],
    ["g", "h"],
    ["h", "f"],
  ]);
  assert.equal(found, [["b", "c"], ["e"], ["f", "g", "h"]]);
});

test("files have one style of names", () => {
  assert.equal(
    files.filter((path) => !/^assembly\/(?:[a-z]+\/)*[a-z][a-zA-Z0-9]*\.ts$/.test(path)),
    [],
  );
});

test.run();
