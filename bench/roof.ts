// Measures kernels against the machine's own roof, in one process and interleaved with it: a clock that drifts
// moves both. A round measures each kernel in a tinybench run of its own, between two measurements of the roof, each
// by its fastest sample. A share counts where both roofs are within 5 % of the best one: else the clock has changed
// meanwhile, or somebody else is using the core. Where fewer than three count, those of the three best roofs do.
//   roof  12 independent chains of mul + add (baseline) or relaxed_madd (relaxed): 96 operations a step
import { readFileSync } from "node:fs";
import v8 from "node:v8";
import { instantiateSync } from "@assemblyscript/loader";
import { Bench } from "tinybench";
import { tileForm } from "../src/core/features.ts";
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
  | "panelFloats"
  | "setTileForm",
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
  const kernels = instantiateSync<Kernels>(bytes, { env: { memory } }).exports;
  kernels.setTileForm(tileForm(name));
  return { name, kernels, memory };
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
  /** Shares of each task that must count (default 8), if they come within 25 seconds. */
  readonly rounds?: number;
  /** Milliseconds a measurement (default 5). */
  readonly window?: number;
}

/** What `againstRoof` found. */
export interface RoofResult {
  /** The best roof, GFLOP/s. */
  readonly roof: number;
  /** Shares at full clock, of the task with the fewest. */
  readonly rounds: number;
  readonly ratios: readonly Ratio[];
}

const FEWEST = 3;
const LONGEST = 25_000;
const RoofSteps = 4000;
// A sample of fewer operations than this (about 0.3 ms) would measure the timer.
const OperationsOfASample = 1e7;

/** Runs all tasks, interleaved with the core's roof. */
export async function againstRoof(
  { kernels }: Core,
  tasks: readonly Task[],
  { rounds = 8, window = 5 }: RoofOptions = {},
): Promise<RoofResult> {
  const roof: Task = {
    name: "roof",
    operations: 96 * RoofSteps,
    run: () => kernels.roof(RoofSteps, 0.5, 0.25),
  };
  // The best speed of a task and of the roof before and after it, in operations a second.
  const measure = (task: Task): number[] => {
    const bench = new Bench({ time: window, iterations: 3, warmup: false, now: cpuTime });
    const three = [roof, task, roof].map(({ operations, run }, i) => {
      const calls = Math.ceil(OperationsOfASample / operations);
      bench.add(String(i), () => {
        for (let call = 0; call < calls; call++) run();
      });
      return operations * calls;
    });
    bench.runSync();
    return bench.tasks.map(({ result }, i) => {
      if (result.state !== "completed") throw new Error(`task ${task.name} did not complete`);
      return (1000 * three[i]!) / result.latency.min;
    });
  };
  // The first calls run in the engine's quick compiler; the better code is ready a moment later.
  for (const task of tasks) measure(task);
  await new Promise((resolve) => setTimeout(resolve, 300));
  let best = 0;
  // Of each task, its shares of the roof, each with the lower one of its two roofs.
  const found = tasks.map((): (readonly [share: number, roof: number])[] => []);
  const good = (i: number): number => found[i]!.filter(([, lower]) => lower >= 0.95 * best).length;
  const counted = (i: number): number[] => {
    const sorted = found[i]!.toSorted((a, b) => b[1] - a[1]);
    return sorted.slice(0, Math.max(FEWEST, good(i))).map(([share]) => share);
  };
  const end = performance.now() + LONGEST;
  while (performance.now() < end && tasks.some((_, i) => good(i) < rounds)) {
    tasks.forEach((task, i) => {
      if (good(i) >= rounds) return;
      const [before, speed, after] = measure(task) as [number, number, number];
      best = Math.max(best, before, after);
      found[i]!.push([(2 * speed) / (before + after), Math.min(before, after)]);
    });
  }
  return {
    roof: best / 1e9,
    rounds: Math.min(...tasks.map((_, i) => good(i))),
    ratios: tasks.map(({ name }, i) => ({ name, figure: figure(counted(i)) })),
  };
}
