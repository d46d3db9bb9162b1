// The rules that the source keeps, read from the source.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { codeOf, filesIn, linesWith, read } from "./source.ts";

const library = filesIn("src", ".ts");
const engine = filesIn("assembly", ".ts");
const others = ["test", "bench", "examples", "scripts"].flatMap((folder) =>
  filesIn(folder, ".ts", ".mjs"),
);

test("the reader of code blanks comments and strings, and keeps what a template computes", () => {
  const text = [
    'const a = "x // y"; // z',
    ["const b = `p $", "{f({ q: `$", "{r}` }) ** 2} s`; /* t"].join(""),
    "u */ const c = d / e / /v\\/[/]w/.g;",
  ].join("\n");
  const code = codeOf(text);
  assert.is(code.split("\n").length, 3);
  for (const gone of ["x", "y", "z", "p", "s`", "t\n", "u", "v", "w"])
    assert.not.ok(code.includes(gone), gone);
  for (const stays of ["const a", "f({ q:", "r", "** 2", "const c = d / e /", ".g;"]) {
    assert.ok(code.includes(stays), stays);
  }
  assert.is(code.length, text.length);
});

test("outside reference and cli the only Math functions are those that every engine computes alike", () => {
  // Exact by the standard of the language. Others may differ from engine to engine in the last bit.
  const exact = [
    "abs",
    "floor",
    "ceil",
    "trunc",
    "min",
    "max",
    "sqrt",
    "sign",
    "imul",
    "clz32",
    "fround",
  ];
  const constants = ["PI", "LN2"];
  const inexact = new RegExp(
    `\\bMath\\b(?!\\s*\\.\\s*(?:${[...exact, ...constants].join("|")})\\b)|\\*\\*`,
  );
  const found = library
    .filter((path) => !/^src\/(?:reference|cli)\//.test(path))
    .flatMap((path) => linesWith(path, inexact));
  assert.equal(found, []);
});

test("nothing is typed any", () => {
  const anything = /(?:[:<|&]|\bas|=>|\bextends)\s*any\b|,\s*any\s*>|\bany\[\]/;
  const found = [...library, ...others].flatMap((path) => linesWith(path, anything));
  assert.equal(found, []);
});

test("nothing is left to be done: no marks for later", () => {
  const marks = new RegExp(
    `\\b(?:${["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"].join("|")})\\b`,
  );
  const found = [...library, ...engine, ...others].flatMap((path) =>
    linesWith(path, marks, read(path)),
  );
  assert.equal(found, []);
});

test("the engine puts no number of 64 bits together of two attributes", () => {
  // math64.ts makes powers of two of an exponent, and loads nothing.
  const halves = /<[iu]64>\s*\(\s*<[iu]32>|<[iu]64><[iu]32>/;
  assert.equal(
    engine.flatMap((path) => linesWith(path, halves)),
    [],
  );
  const reinterpreted = engine
    .filter((path) => path !== "assembly/math/math64.ts")
    .flatMap((path) => linesWith(path, /reinterpret<[iuf]64>/));
  assert.equal(reinterpreted, []);
});

/** Files above 300 lines, and why they are one file. */
const long: Readonly<Record<string, string>> = {
  "test/adapters/anyMethod.test.ts": "one table, whose columns are the properties",
  "assembly/ops/linear.ts": "one op",
  "assembly/ops/norm.ts": "one op",
  "src/tensor/tensor.ts": "one class, whose methods are the other files' functions",
  "test/ops/shape.test.ts": "seven ops that share their arbitraries",
};

test("a file has at most 300 lines, or a reason and at most 400", () => {
  const lines = (path: string): number => read(path).trimEnd().split("\n").length;
  const found = [...library, ...engine, ...others]
    .map((path) => [path, lines(path)] as const)
    .filter(([path, count]) => count > (path in long ? 400 : 300));
  assert.equal(found, []);
  for (const path of Object.keys(long)) assert.ok(lines(path) > 300, `${path} needs no reason`);
});

test("every file of the library and the engine begins by saying what it is", () => {
  const silent = [...library, ...engine].filter((path) => {
    const text = read(path).replace(/^#!.*\n/, "");
    return !text.startsWith("//") && !text.startsWith("/*");
  });
  assert.equal(silent, []);
});

/** The names that src/index.ts gives to the world: [name in its file, the file]. */
function publicNames(): [string, string][] {
  const index = read("src/index.ts");
  const lists = index.matchAll(/export\s+(?:type\s+)?\{([^}]*)\}\s*from\s*"\.\/([^"]+)"/g);
  return [...lists].flatMap(([, names, file]) =>
    names!
      .split(",")
      .map((name) =>
        name
          .trim()
          .replace(/^type\s+/, "")
          .replace(/\s+as\s.*$/, ""),
      )
      .filter((name) => name !== "")
      .map((name): [string, string] => [name, `src/${file}`]),
  );
}

test("every public name has a comment that says what it is", () => {
  const names = publicNames();
  assert.ok(names.length > 100);
  const bare = names.filter(([name, path]) => {
    const declaration = new RegExp(
      `^export (?:declare |default |abstract |async )*(?:class|function\\*?|const|interface|type) ${name}\\b`,
      "m",
    );
    const text = read(path);
    const at = text.search(declaration);
    if (at < 0) return true;
    return !text.slice(0, at).trimEnd().endsWith("*/");
  });
  assert.equal(
    bare.map(([name, path]) => `${path} ${name}`),
    [],
  );
});

test.run();
