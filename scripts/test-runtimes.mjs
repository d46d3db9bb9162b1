// Runs the packed package in every runtime that can be had and compares the results, which must be equal to the bit.
//   npm run test:runtimes [-- part of a case's name ...]
// Node, Deno, Bun and workerd come from the npm registry into a cache outside the tree (LOWRANK_RUNTIMES);
// Chromium is used where it is installed (CHROMIUM). What cannot be had is skipped.
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findChromium, runChromium } from "../test/runtimes/chromium.mjs";
import { installed, npm } from "../test/runtimes/install.mjs";
import { runToEnd } from "../test/runtimes/process.mjs";
import * as program from "../test/runtimes/program.mjs";
import { runWorkerd, runWorkerdInHalves } from "../test/runtimes/workerd.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const workspace = mkdtempSync(join(tmpdir(), "lowrank-package-"));

function command(binary, args = [], options = {}) {
  return () => lineOf(binary, [...args, "main.mjs", JSON.stringify(options)]);
}

/** Fifty engines of 512 MB one after the other. */
function fifty(binary, args = []) {
  return () => lineOf(binary, [...args, "engines.mjs"]);
}

/** The object that a program prints last, or what went wrong. */
async function lineOf(binary, args) {
  const limits = { cwd: workspace, seconds: 300 };
  const ended = await runToEnd(binary, args, limits);
  const line = ended.stdout.trim().split("\n").at(-1) ?? "";
  if (ended.status === 0 && line.startsWith("{")) return JSON.parse(line);
  return { error: `ended with ${ended.status}. ${ended.stdout}${ended.stderr}` };
}

const fromNpm = (name, binary, run) => async () => {
  const path = await installed(name, binary);
  return path === null ? null : run(path);
};
const workerd = (options) =>
  fromNpm("workerd", "workerd", (path) => () => runWorkerd(path, workspace, options));
const chromium = (headers) => async () => {
  const path = findChromium();
  return path === null ? null : () => runChromium(path, workspace, headers);
};

const node24 = (options) => fromNpm("node@24", "node", (path) => command(path, [], options));

// threads: what the case gets when it asks for two. error: part of the message that it must end with instead. peak: the most
// bytes of memory. The relaxed build has a hash of its own, the same for all its cases.
const cases = [
  { name: `node ${process.versions.node}`, get: async () => command(process.execPath), threads: 2 },
  { name: "node 24", get: node24(), threads: 2 },
  ...(process.arch === "x64"
    ? [
        { name: "node 24, wideVectors", get: node24({ wideVectors: true }), threads: 2 },
        {
          name: "node 24, relaxed build",
          get: node24({ deterministic: false }),
          threads: 2,
          relaxed: true,
        },
        {
          name: "node 24, relaxed build, wideVectors",
          get: node24({ deterministic: false, wideVectors: true }),
          threads: 2,
          relaxed: true,
        },
      ]
    : []),
  {
    name: "deno",
    get: fromNpm("deno", "deno", (path) => command(path, ["run", "-A"])),
    threads: 2,
  },
  {
    name: "deno without permissions",
    get: fromNpm("deno", "deno", (path) => command(path, ["run", "--no-prompt"])),
    threads: 2,
  },
  { name: "bun", get: fromNpm("bun", "bun", (path) => command(path)), threads: 2 },
  {
    name: `node ${process.versions.node}, fifty engines`,
    get: async () => fifty(process.execPath),
    peak: 1.5e9,
  },
  {
    name: "node 24, fifty engines",
    get: fromNpm("node@24", "node", (path) => fifty(path)),
    peak: 1.5e9,
  },
  {
    name: "deno, fifty engines",
    get: fromNpm("deno", "deno", (path) => fifty(path, ["run", "-A"])),
    peak: 1.5e9,
  },
  { name: "bun, fifty engines", get: fromNpm("bun", "bun", (path) => fifty(path)), peak: 1.5e9 },
  { name: "workerd", get: workerd({ entry: "worker.mjs", date: "2025-06-01" }), threads: 1 },
  {
    name: "workerd, in two processes",
    get: fromNpm("workerd", "workerd", (path) => () => {
      return runWorkerdInHalves(path, workspace, { entry: "worker.mjs", date: "2025-06-01" });
    }),
    threads: 1,
  },
  {
    name: "workerd of an older date, module given",
    get: workerd({ entry: "worker-with-module.mjs", date: "2024-09-01" }),
    threads: 1,
  },
  {
    name: "workerd of an older date",
    get: workerd({ entry: "worker.mjs", date: "2024-09-01" }),
    error: "lowrank/core.wasm",
  },
  { name: "chromium, isolated page", get: chromium({ isolated: true }), threads: 2 },
  { name: "chromium, plain page", get: chromium({ isolated: false }), threads: 1 },
  {
    name: "chromium, policy that forbids data: workers",
    get: chromium({ isolated: true, policy: "script-src 'self' 'wasm-unsafe-eval'" }),
    threads: 1,
  },
  {
    name: "chromium, policy that allows data: workers",
    get: chromium({
      isolated: true,
      policy: "script-src 'self' 'wasm-unsafe-eval'; worker-src data:",
    }),
    threads: 2,
  },
  {
    name: "chromium, policy that forbids WebAssembly",
    get: chromium({ isolated: true, policy: "script-src 'self'" }),
    error: "wasm-unsafe-eval",
  },
];

async function prepareWorkspace() {
  const limits = { cwd: root, seconds: 120 };
  const packed = await npm(
    ["pack", "--ignore-scripts", "--json", "--pack-destination", workspace],
    limits,
  );
  const tarball = readdirSync(workspace).find((name) => name.endsWith(".tgz"));
  if (tarball === undefined) throw new Error(`npm pack made no tarball. ${packed.stderr}`);
  writeFileSync(join(workspace, "package.json"), '{ "private": true, "type": "module" }\n');
  const installing = await npm(
    ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", `./${tarball}`],
    { cwd: workspace, seconds: 120 },
  );
  if (installing.status !== 0)
    throw new Error(`The tarball was not installed. ${installing.stderr}`);
  for (const name of [
    ...["main.mjs", "worker.mjs", "worker-with-module.mjs", "page.mjs"],
    ...["report.mjs", "program.mjs", "engines.mjs"],
  ]) {
    copyFileSync(join(root, "test/runtimes", name), join(workspace, name));
  }
  const contents = Object.fromEntries(
    program.files.map((path) => [
      path,
      readFileSync(join(workspace, "node_modules/lowrank", path)).toString("base64"),
    ]),
  );
  const text = `export const contents = ${JSON.stringify(contents, null, 1)};\n`;
  writeFileSync(join(workspace, "contents.mjs"), text);
}

/** What is wrong with a case's result, or null. */
function complaint(wanted, result, hash) {
  if (wanted.error !== undefined) {
    if (result.error?.includes(wanted.error)) return null;
    return `expected an error that names ${wanted.error}, got ${JSON.stringify(result)}`;
  }
  if (result.error !== undefined) return result.stack ?? result.error;
  if (wanted.peak !== undefined) {
    return result.peak < wanted.peak ? null : `had ${result.peak} bytes of memory`;
  }
  const [one, two] = result.runs;
  if (one.threads !== 1 || two.threads !== wanted.threads) {
    return `expected 1 and ${wanted.threads} threads, got ${one.threads} and ${two.threads}`;
  }
  for (const { sha256, threads, memory, build } of result.runs) {
    if (build !== (wanted.relaxed ? "relaxed" : "baseline")) return `ran the ${build} build`;
    if (memory > program.memoryLimit) return `took ${memory} bytes of linear memory`;
    if (sha256 !== hash) return `expected the hash ${hash}, got ${sha256} with ${threads} threads`;
  }
  return null;
}

let passed = 0;
let failed = 0;
try {
  await prepareWorkspace();
  const parts = process.argv.slice(2);
  let relaxedHash = null;
  for (const wanted of cases) {
    if (parts.length > 0 && !parts.some((part) => wanted.name.includes(part))) continue;
    const run = await wanted.get();
    if (run === null) {
      console.log(`skipped: ${wanted.name}, which could not be had`);
      continue;
    }
    const result = await run();
    console.log(JSON.stringify({ case: wanted.name, ...result, stack: undefined }));
    if (wanted.relaxed) relaxedHash ??= result.runs?.[0].sha256 ?? null;
    const wrong = complaint(wanted, result, wanted.relaxed ? relaxedHash : program.pinned);
    if (wrong === null) passed++;
    else {
      failed++;
      console.log(`FAIL ${wanted.name}: ${wrong}`);
    }
  }
} finally {
  rmSync(workspace, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
