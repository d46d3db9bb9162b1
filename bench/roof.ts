// Measures kernels against the machine's own roof, in one process and interleaved with it: a clock that drifts
// moves both. Each round is a tinybench run of its own over the roof and all kernels, and keeps the fastest sample of
// each; a round whose roof is below 95 % of the best roof is thrown away.
//   roof  12 independent chains of mul + add (baseline) or relaxed_madd (relaxed): 96 operations a step
import { readFileSync } from "node:fs";
import v8 from "node:v8";
import { instantiateSync } from "@assemblyscript/loader";
import { Bench } from "tinybench";
import { type Figure, figure } from "./figure.ts";
import { cpuTime } from "./rounds.ts";

type Kernel = (...args: number[]) => number;
type Kernels = Record<
  | "roof"
  | "gemm"
  | "gemmScratch"
  | "gemmLowRank"
  | "gemmLowRankScratch"
  | "packWeight"
  | "panelFloats",
  Kernel
>;

/** A binary, instantiated without an engine, and its memory. */
export interface Core {
  readonly name: string;
  readonly kernels: Kernels;
  readonly memory: WebAssembly.Memory;
}

/** Loads dist/core.wasm or dist/core.relaxed.wasm; undefined where the runtime does not know relaxed SIMD. */
export function loadCore(name: "baseline" | "relaxed"): Core | undefined {
  if (name === "relaxed" && process.version.startsWith("v20.")) {
    v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
  }
  const file = name === "baseline" ? "../core.wasm" : "../core.relaxed.wasm";
  const bytes = readFileSync(new URL(file, import.meta.url));
  if (!WebAssembly.validate(bytes)) return undefined;
  const memory = new WebAssembly.Memory({ initial: 1024, maximum: 65536, shared: true });
  return { name, kernels: instantiateSync<Kernels>(bytes, { env: { memory } }).exports, memory };
}

/** One thing to measure. */
export interface Task {
  readonly name: string;
  /** Floating point operations of one call. */
  readonly operations: number;
  readonly run: () => void;
}

/** A kernel's speed as a share of the roof. */
export interface Ratio {
  readonly name: string;
  /** Over the rounds that count. */
  readonly figure: Figure;
}

/** How long to measure. */
export interface RoofOptions {
  /** Rounds that must count (default 8); twice as many are tried. */
  readonly rounds?: number;
  /** Milliseconds a task and round (default 10). */
  readonly window?: number;
}

/** What `againstRoof` found. */
export interface RoofResult {
  /** The best roof, GFLOP/s. */
  readonly roof: number;
  /** Rounds that counted. */
  readonly rounds: number;
  readonly ratios: readonly Ratio[];
}

const RoofSteps = 4000;
// A sample of fewer operations than this (about 0.3 ms) would measure the timer.
const OperationsOfASample = 1e7;

/** Runs all tasks, interleaved with the core's roof. */
export async function againstRoof(
  { kernels }: Core,
  tasks: readonly Task[],
  { rounds = 8, window = 10 }: RoofOptions = {},
): Promise<RoofResult> {
  const roof: Task = {
    name: "roof",
    operations: 96 * RoofSteps,
    run: () => kernels.roof(RoofSteps, 0.5, 0.25),
  };
  const all = [roof, ...tasks].map((task) => ({
    ...task,
    calls: Math.ceil(OperationsOfASample / task.operations),
  }));
  // Operations a second of each task.
  const round = (): number[] => {
    const bench = new Bench({ time: window, iterations: 3, warmup: false, now: cpuTime });
    for (const { name, run, calls } of all) {
      bench.add(name, () => {
        for (let call = 0; call < calls; call++) run();
      });
    }
    bench.runSync();
    return bench.tasks.map(({ result }, i) => {
      const { operations, calls } = all[i]!;
      if (result.state !== "completed") throw new Error(`task ${all[i]!.name} did not complete`);
      return (operations * calls) / (result.latency.min / 1000);
    });
  };
  // The first calls run in the engine's quick compiler; the better code is ready a moment later.
  round();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const speeds: number[][] = [];
  let roofBest = 0;
  let counted: number[][] = [];
  // On a busy machine few rounds count: go on until enough do, at most twice as long.
  while (counted.length < rounds && speeds.length < 2 * rounds) {
    speeds.push(round());
    roofBest = Math.max(...speeds.map((speed) => speed[0]!));
    counted = speeds.filter((speed) => speed[0]! >= 0.95 * roofBest);
  }
  return {
    roof: roofBest / 1e9,
    rounds: counted.length,
    ratios: tasks.map(({ name }, i) => ({
      name,
      figure: figure(counted.map((speed) => speed[i + 1]! / speed[0]!)),
    })),
  };
}
