// The two builds, as bare binaries for single kernels and as engines for everything else, and their roofs.
//   arithmetic  12 independent chains of mul + add (baseline) or relaxed_madd (relaxed), no memory: 96 operations a step
//   reading     16 bytes at a time through four sums, once over all of the bytes

import { readFileSync } from "node:fs";
import v8 from "node:v8";
import { instantiateSync } from "@assemblyscript/loader";
import { Engine } from "../src/core/engine.ts";
import { tileForm } from "../src/core/features.ts";
import type { Entrant } from "./race.ts";

export type Build = "baseline" | "relaxed";

/** Node 20 has relaxed SIMD behind a flag; newer versions have it and do not know the flag. */
export function relaxedFlags(version: string): string[] {
  return version.startsWith("20.") ? ["--experimental-wasm-relaxed-simd"] : [];
}

for (const flag of relaxedFlags(process.versions.node)) v8.setFlagsFromString(flag);

type Kernel = (...args: number[]) => number;
type Kernels = Record<"roof" | "gemm" | "gemmLowRank" | "setTileForm", Kernel>;

/** A binary, instantiated without an engine, and its memory. */
export interface Core {
  readonly kernels: Kernels;
  readonly memory: WebAssembly.Memory;
}

/** Loads dist/core.wasm or dist/core.relaxed.wasm. */
export function loadCore(build: Build): Core {
  const file = build === "baseline" ? "../core.wasm" : "../core.relaxed.wasm";
  const bytes = readFileSync(new URL(file, import.meta.url));
  const memory = new WebAssembly.Memory({ initial: 1024, maximum: 65536, shared: true });
  const kernels = instantiateSync<Kernels>(bytes, { env: { memory } }).exports;
  kernels.setTileForm(tileForm(build));
  return { kernels, memory };
}

/** An engine of a build. */
export async function openEngine(build: Build, threads: number): Promise<Engine> {
  const engine = await Engine.create({ deterministic: build === "baseline", threads });
  if (engine.build !== build) throw new Error(`Wanted the ${build} build, got ${engine.build}.`);
  if (engine.threads !== threads) {
    throw new Error(`Wanted ${threads} threads, got ${engine.threads}.`);
  }
  return engine;
}

/** Gives engines to `use` and ends them afterwards. */
export async function withEngines<T, Counts extends readonly number[]>(
  build: Build,
  threads: readonly [...Counts],
  use: (...engines: { [I in keyof Counts]: Engine }) => T | Promise<T>,
): Promise<T> {
  const engines: Engine[] = [];
  for (const count of threads) engines.push(await openEngine(build, count));
  try {
    return await use(...(engines as { [I in keyof Counts]: Engine }));
  } finally {
    for (const engine of engines) engine.shutdown();
  }
}

const ROOF_STEPS = 104_167;
/** Floating point operations of one call of an arithmetic roof. */
export const ROOF_WORK: number = 96 * ROOF_STEPS;

/** The arithmetic roof of a binary, some 0.3 ms a call. */
export function arithmeticRoof({ roof }: Pick<Kernels, "roof">): Entrant {
  return {
    name: "roof",
    work: ROOF_WORK,
    calls: 3,
    run: () => void roof(ROOF_STEPS, 0.5, 0.25),
  };
}

/** The binary's exports that the front end has no use for. */
function internals({ wasm }: Engine): Record<"roof" | "readRoof", Kernel> {
  return wasm as unknown as Record<"roof" | "readRoof", Kernel>;
}

export function engineRoof(engine: Engine): Entrant {
  return arithmeticRoof(internals(engine));
}

/** One reading of so many bytes, of a block that is made for it. */
export function readRoof(engine: Engine, bytes: number): Entrant {
  const { readRoof: read } = internals(engine);
  const whole = bytes - (bytes % 128);
  const at = engine.wasm.allocate(whole);
  if (at === 0) engine.outOfMemory("the roof of reading");
  engine.f32.fill(1, at >>> 2, (at + whole) >>> 2);
  return { name: "read", work: whole, calls: 3, run: () => void read(at, whole) };
}
