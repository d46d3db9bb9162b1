// Runtimes from the npm registry, each in its own directory of a cache outside the tree, installed when first asked for.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runToEnd } from "./process.mjs";

const cache = process.env.LOWRANK_RUNTIMES ?? join(tmpdir(), "lowrank-runtimes");

/** Runs npm: the one that runs this script, or the one on the path. */
export function npm(args, options) {
  const script = process.env.npm_execpath;
  return script?.endsWith(".js")
    ? runToEnd(process.execPath, [script, ...args], options)
    : runToEnd("npm", args, options);
}

/** The path of a runtime's binary, or null when npm cannot get it. */
export async function installed(name, binary) {
  const directory = join(cache, name.replace("@", "-"));
  const path = join(directory, "node_modules/.bin", binary);
  if (existsSync(path)) return path;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "package.json"), '{ "private": true }\n');
  await npm(["install", "--no-audit", "--no-fund", name], { cwd: directory, seconds: 300 });
  return existsSync(path) ? path : null;
}
