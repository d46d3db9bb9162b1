// What the pages say about the project, held against the project.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as lowrank from "../../src/index.ts";
import { codes, fences, page, pages, root, tableBelow } from "./markdown.ts";

const FOLDERS = /^(assembly|bench|data|docs|examples|models|scripts|src|test)\//;

for (const path of pages) {
  test(`every file and folder that ${path} names exists`, () => {
    const named = codes(page(path)).filter((code) => FOLDERS.test(code) && !code.includes(" "));
    const missing = named.filter((name) => !existsSync(join(root, name)));
    assert.equal(missing, []);
  });

  test(`every link of ${path} leads somewhere`, () => {
    const links = [...page(path).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(
      ([, target = ""]) => target,
    );
    const missing = links
      .filter((target) => !/^https?:/.test(target))
      .filter((target) => !existsSync(join(root, dirname(path), target)));
    assert.equal(missing, []);
  });

  test(`every npm script that ${path} names exists`, () => {
    const { scripts } = JSON.parse(page("package.json")) as { scripts: Record<string, string> };
    const named = [...page(path).matchAll(/npm run ([\w:]+)/g)].map(([, name = ""]) => name);
    assert.equal(
      named.filter((name) => !(name in scripts)),
      [],
    );
  });
}

test("the map names every folder of the sources", () => {
  const folders = ["src", "assembly"].flatMap((top) =>
    readdirSync(join(root, top), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${top}/${entry.name}/`),
  );
  const text = page("docs/00-map.md");
  assert.equal(
    folders.filter((folder) => !text.includes(`\`${folder}\``)),
    [],
  );
});

for (const [line = "", ...cells] of tableBelow("docs/00-map.md", "From a line to its kernel")) {
  test(`a reader finds the way from ${line} to the last file of its row`, () => {
    const hops = cells.flatMap(codes);
    assert.ok(hops.length >= 2 && hops.length <= 4);
    hops.slice(1).forEach((next, i) => {
      const here = hops[i] ?? "";
      const source = readFileSync(join(root, here), "utf8");
      const stem = basename(next, ".ts");
      // Within a tree an import leads on, from src into assembly the name of the export.
      const isSameTree = here.split("/")[0] === next.split("/")[0];
      const leads = isSameTree
        ? new RegExp(`from "[^"]*/${stem}(\\.ts)?"`).test(source)
        : new RegExp(stem, "i").test(source);
      assert.ok(leads, `${here} does not lead to ${next}`);
    });
  });
}

test("the table of names has every value that the package exports, and no other", () => {
  const named = tableBelow("README.md", "The names").flatMap(([, names = ""]) => codes(names));
  assert.equal(named.toSorted(), Object.keys(lowrank).toSorted());
});

test("the README's program is examples/quickstart.ts", () => {
  const withoutSpaces = (text: string): string => text.replace(/\s+/g, " ").trim();
  const [program] = fences("README.md").filter(({ language }) => language === "ts");
  const example = page("examples/quickstart.ts").replace(/^(\/\/.*\n)+/, "");
  const body = (text: string): string => withoutSpaces(text.slice(text.indexOf("await init")));
  assert.is(body(program?.text ?? ""), body(example));
  const names = (text: string): string[] =>
    (/import \{(.*?)\}/s.exec(text)?.[1] ?? "")
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "")
      .sort();
  assert.equal(names(program?.text ?? ""), names(example));
});

test("every command that a page shows knows the options that it is shown with", () => {
  const main = join(root, "dist/src/cli/main.js");
  for (const path of pages) {
    const shown = [...page(path).matchAll(/npx lowrank ([a-z]+)([^\n`]*)/g)];
    for (const [whole, command = "", rest = ""] of shown) {
      const help = execFileSync(process.execPath, [main, command, "--help"], { encoding: "utf8" });
      for (const [option] of rest.matchAll(/--[a-z-]+/g)) {
        assert.ok(help.includes(`${option} `), `${path}: ${whole}`);
      }
    }
  }
});

test("what the README says of package.json is so", () => {
  const { engines, type, dependencies, exports } = JSON.parse(page("package.json")) as {
    engines: { node: string };
    type: string;
    dependencies?: unknown;
    exports: Record<string, unknown>;
  };
  assert.is(engines.node, ">=20.16");
  assert.is(type, "module");
  assert.is(dependencies, undefined);
  assert.equal(Object.keys(exports), [".", "./core.wasm", "./package.json"]);
});

test.run();
