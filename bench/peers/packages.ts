// Peers from the npm registry, each at one version, in a directory of its own in a cache: node_modules/.cache or
// LOWRANK_PEERS. They are installed when first asked for, and none of their scripts is run.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The packages of each peer; the first has the version that is told. */
const PACKAGES: Readonly<Record<string, readonly (readonly [name: string, version: string])[]>> = {
  jax: [["@jax-js/jax", "0.1.25"]],
  tfjs: [
    ["@tensorflow/tfjs", "4.22.0"],
    ["@tensorflow/tfjs-backend-wasm", "4.22.0"],
  ],
  "onnx-node": [["onnxruntime-node", "1.30.0"]],
  "onnx-web": [["onnxruntime-web", "1.30.0"]],
};

const root = new URL("../../../", import.meta.url);
const cache =
  process.env["LOWRANK_PEERS"] ?? fileURLToPath(new URL("node_modules/.cache/lowrank-peers", root));

interface Install {
  npm(
    args: readonly string[],
    options: { readonly cwd: string; readonly seconds: number },
  ): Promise<{ readonly status: number | null; readonly stderr: string }>;
  installed(name: string, binary: string): Promise<string | null>;
}

/** How the tests of the runtimes get runtimes and call npm. */
export async function installer(): Promise<Install> {
  return (await import(new URL("test/runtimes/install.mjs", root).href)) as Install;
}

function versionIn(directory: string, name: string): string | null {
  const path = join(directory, "node_modules", name, "package.json");
  if (!existsSync(path)) return null;
  return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
}

/** Installs a peer where it is not there yet. */
export async function installPeer(peer: string): Promise<void> {
  const directory = join(cache, peer);
  const wanted = PACKAGES[peer] ?? [];
  const lacking = wanted.filter(([name, version]) => versionIn(directory, name) !== version);
  if (lacking.length === 0) return;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "package.json"), '{ "private": true }\n');
  const names = wanted.map((parts) => parts.join("@"));
  const { npm } = await installer();
  const { status, stderr } = await npm(
    ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", ...names],
    { cwd: directory, seconds: 600 },
  );
  if (status !== 0) throw new Error(`npm could not install ${names.join(" ")}. ${stderr.trim()}`);
}

interface Loaded<T> {
  readonly module: T;
  readonly version: string;
  readonly path: string;
}

function located(peer: string, name: string): { readonly path: string; readonly version: string } {
  const directory = join(cache, peer);
  const version = versionIn(directory, name);
  if (version === null) throw new Error(`${name} is not in ${directory}.`);
  return { path: join(directory, "node_modules", name), version: `${name} ${version}` };
}

/** A peer's first package, an ES module. */
export async function importPeer<T>(peer: string): Promise<Loaded<T>> {
  const { path, version } = located(peer, PACKAGES[peer]?.[0]?.[0] ?? peer);
  const manifest = JSON.parse(readFileSync(join(path, "package.json"), "utf8")) as {
    exports: { ".": { import: string } };
  };
  const entry = pathToFileURL(join(path, manifest.exports["."].import));
  return { module: (await import(entry.href)) as T, version, path };
}

/** One of a peer's packages, a CommonJS module. */
export function requirePeer<T>(peer: string, name: string): Loaded<T> {
  const { version } = located(peer, name);
  const require = createRequire(join(cache, peer, "package.json"));
  return { module: require(name) as T, version, path: require.resolve(name) };
}
