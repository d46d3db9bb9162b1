// The code on the pages: it compiles under strict rules against the package's declarations, it runs, and where a block
// of output follows, that is what it prints. In the README every block is a program of its own; a chapter is one
// program, block after block.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fences, pages, root } from "./markdown.ts";

const workspace = mkdtempSync(join(tmpdir(), "lowrank-docs-"));
const require = createRequire(import.meta.url);

interface Program {
  readonly name: string;
  readonly title: string;
  readonly code: string;
  /** What it must print; null: anything. */
  readonly output: string | null;
}

function programsOf(path: string): Program[] {
  const blocks = fences(path);
  const code = blocks.filter(({ language }) => language === "ts");
  const stem = path.replaceAll("/", "-").replace(/\.md$/, "");
  if (path === "README.md") {
    return code.map(({ text, line }) => ({
      name: `${stem}-${line}`,
      title: `the code on line ${line} of ${path}`,
      code: text,
      output: null,
    }));
  }
  if (code.length === 0) return [];
  const output = blocks.filter(({ language }) => language === "text").map(({ text }) => text);
  return [
    {
      name: stem,
      title: `the code of ${path}`,
      code: code.map(({ text }) => text).join("\n"),
      output: output.join(""),
    },
  ];
}

const programs = pages.flatMap(programsOf);

test("the code on the pages compiles under strict rules", () => {
  // The project itself stands in for the installed package, and Node's types for the console.
  const modules = join(workspace, "node_modules");
  mkdirSync(join(modules, "@types"), { recursive: true });
  symlinkSync(root, join(modules, "lowrank"), "dir");
  for (const name of ["@types/node", "undici-types"]) {
    const target = join(root, "node_modules", name);
    if (existsSync(target)) symlinkSync(target, join(modules, name), "dir");
  }
  writeFileSync(join(workspace, "package.json"), '{ "type": "module" }\n');
  const compilerOptions = {
    target: "es2022",
    lib: ["es2024"],
    module: "nodenext",
    types: ["node"],
    outDir: "out",
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    noUnusedLocals: true,
    verbatimModuleSyntax: false,
  };
  writeFileSync(
    join(workspace, "tsconfig.json"),
    JSON.stringify({ compilerOptions, include: ["*.ts"] }),
  );
  for (const { name, code } of programs) writeFileSync(join(workspace, `${name}.ts`), code);
  const tsc = join(dirname(require.resolve("typescript/package.json")), "bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", workspace], {
    encoding: "utf8",
  });
  assert.is(stdout, "");
  assert.is(status, 0);
});

for (const { name, title, output } of programs) {
  test(`${title} runs${output === null ? "" : " and prints what the page says"}`, () => {
    const printed = execFileSync(process.execPath, [join(workspace, "out", `${name}.js`)], {
      cwd: workspace,
      encoding: "utf8",
    });
    if (output !== null) assert.is(printed, output);
  });
}

test("the program in the README's first screen leaves an adapter in PEFT's layout", () => {
  for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
    assert.ok(existsSync(join(workspace, "my-adapter", file)), file);
  }
});

test.after(() => rmSync(workspace, { recursive: true, force: true }));
test.run();
