// The package as a user gets it: packed by npm, installed into an empty folder without a network.

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the project; tests run in dist/test/package. */
export const root: string = fileURLToPath(new URL("../../..", import.meta.url));

/** How a command ended. */
export interface Ended {
  readonly status: number | null;
  readonly output: string;
}

/** Runs a program to its end; its output is both streams. */
export function run(command: string, words: readonly string[], cwd: string): Ended {
  const shell = process.platform === "win32" && command !== process.execPath;
  const { status, stdout, stderr } = spawnSync(command, words, { cwd, encoding: "utf8", shell });
  return { status, output: `${stdout}${stderr}` };
}

/** A tool of the project, by its package and the path of its script. */
export function tool(name: string, script: string, words: readonly string[], cwd: string): Ended {
  return run(process.execPath, [join(root, "node_modules", name, script), ...words], cwd);
}

export interface Packed {
  readonly path: string;
  /** Bytes of the tarball. */
  readonly size: number;
  readonly files: readonly string[];
}

/** Packs a directory with npm; no script of it runs. */
export function pack(directory: string, to: string): Packed {
  const words = ["pack", "--ignore-scripts", "--json", "--pack-destination", to];
  const { status, stdout, stderr } = spawnSync("npm", words, {
    cwd: directory,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (status !== 0) throw new Error(`npm pack failed: ${stdout}${stderr}`);
  const [packed] = JSON.parse(stdout) as [
    { filename: string; size: number; files: { path: string }[] },
  ];
  return {
    path: join(to, packed.filename),
    size: packed.size,
    files: packed.files.map(({ path }) => path),
  };
}

/** Packs the project as `npm pack` does after its build, from a copy: other tests read the manifest in the root. */
export function packProject(to: string): Packed {
  const copy = join(to, "project");
  const manifest = readFileSync(join(root, "package.json"), "utf8");
  const { files } = JSON.parse(manifest) as { readonly files: readonly string[] };
  for (const name of ["package.json", "README.md", "LICENSE", ...files]) {
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  const strip = [join(root, "scripts/manifest.mjs"), "strip", copy];
  const { status, output } = run(process.execPath, strip, root);
  if (status !== 0) throw new Error(`The manifest was not made: ${output}`);
  return pack(copy, to);
}

/** A temporary directory that `remove` takes away again. */
export function makeWorkspace(name: string): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `lowrank-${name}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Installs a tarball into a new, empty folder below `workspace`, and returns the folder. */
export function install(tarball: string, workspace: string): string {
  const folder = join(workspace, "user");
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  const words = ["install", "--offline", "--no-audit", "--no-fund", tarball];
  const { status, output } = run("npm", words, folder);
  if (status !== 0) throw new Error(`npm install failed: ${output}`);
  return folder;
}
