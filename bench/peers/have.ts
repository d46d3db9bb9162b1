// Systems that can be had here, and how each is started: lowrank and the JavaScript peers on Node 24, whether this
// process runs on it or it comes from the npm registry; PyTorch in a Python that has it; Deno and Bun.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { relaxedFlags } from "../build.ts";
import { installer, installPeer } from "./packages.ts";
import type { Command } from "./system.ts";

const found = new Map<string, string>();

/** Systems that took part, and their versions. */
export function foundSystems(): Readonly<Record<string, string>> {
  return Object.fromEntries(found);
}

/** Notes a system's version, the first time that it is told. */
export function noteSystem(name: string, version: string): void {
  if (!found.has(name)) found.set(name, version);
}

function outputOf(program: string, args: readonly string[]): string | null {
  const { status, stdout } = spawnSync(program, args, { encoding: "utf8", timeout: 120_000 });
  return status === 0 ? stdout.trim() : null;
}

function workerPath(name: string): string {
  return fileURLToPath(new URL(`./${name}.js`, import.meta.url));
}

let node: Promise<readonly string[]> | null = null;

/** The Node that systems run on, with the flags that it needs: Node 24, or this one where that cannot be had. */
export function nodeCommand(): Promise<readonly string[]> {
  node ??= (async () => {
    const { versions, execPath } = process;
    const newer = versions.node.startsWith("24.")
      ? execPath
      : await (await installer()).installed("node@24", "node");
    noteSystem("Node", (newer === null ? null : outputOf(newer, ["--version"])) ?? versions.node);
    if (newer !== null) return [newer];
    return [execPath, ...relaxedFlags(versions.node)];
  })();
  return node;
}

/** lowrank as a system, by this name. */
export async function lowrankCommand(name = "lowrank"): Promise<Command> {
  const [program = "", ...flags] = await nodeCommand();
  return { name, program, arguments: [...flags, "--expose-gc", workerPath("lowrank")] };
}

/** lowrank in the Node that runs this, by this name. */
export function lowrankHere(name: string): Command {
  const flags = relaxedFlags(process.versions.node);
  const worker = [...flags, "--expose-gc", workerPath("lowrank")];
  return { name, program: process.execPath, arguments: worker };
}

/** The arithmetic roof as a system. */
export async function roofCommand(): Promise<Command> {
  const [program = "", ...flags] = await nodeCommand();
  return { name: "roof", program, arguments: [...flags, workerPath("roof")] };
}

/** A JavaScript peer, installed. */
export async function peerCommand(name: string): Promise<Command> {
  await installPeer(name);
  const [program = "", ...flags] = await nodeCommand();
  const worker = name.startsWith("onnx") ? [workerPath("onnx"), name] : [workerPath(name)];
  return { name, program, arguments: [...flags, ...worker] };
}

/** lowrank in another runtime from the npm registry. */
export async function runtimeCommand(name: "deno" | "bun"): Promise<Command> {
  const program = await (await installer()).installed(name, name);
  if (program === null) throw new Error(`npm could not get ${name}.`);
  noteSystem(name, outputOf(program, ["--version"])?.split("\n")[0] ?? "unknown");
  const flags = name === "deno" ? ["run", "-A"] : [];
  return { name, program, arguments: [...flags, workerPath("lowrank")] };
}

let python: string | null | undefined;

function pythonWithTorch(): string {
  const candidates = [process.env["PYTHON"], "python3", "python"].filter(
    (one) => one !== undefined,
  );
  python ??=
    candidates.find((one) => outputOf(one, ["-c", "import torch, numpy"]) !== null) ?? null;
  if (python !== null) return python;
  throw new Error(
    `None of ${candidates.join(", ")} has torch and numpy. Set PYTHON to a Python that has them.`,
  );
}

/** PyTorch, whose threads must be set before it starts. */
export function torchCommand(threads: number): Command {
  const count = String(threads);
  return {
    name: "torch",
    program: pythonWithTorch(),
    // The script is not compiled: it lies beside the source of this file.
    arguments: [fileURLToPath(new URL("../../../bench/peers/pytorch.py", import.meta.url))],
    environment: { OMP_NUM_THREADS: count, MKL_NUM_THREADS: count, OPENBLAS_NUM_THREADS: count },
  };
}
