// The ladder to a fast matrix product, measured: from three loops in TypeScript, one idea after another, to the engine's
// own product. All rungs multiply the same 512 x 512 matrices, in turns; each is shown in GFLOP/s, as a share of the
// baseline's roof, and as how many times it is as fast as the rung before. assembly/ladder.ts has the lower rungs.

import { readFileSync } from "node:fs";
import { instantiateSync } from "@assemblyscript/loader";
import { type Core, loadCore } from "./roof.ts";
import { cpuTime, measureRounds } from "./rounds.ts";

type Rung = (m: number, n: number, k: number, a: number, b: number, c: number, s: number) => void;

/** The lower rungs, as assembly/ladder.ts exports them, in its order. */
export const RUNGS = ["dots", "rows", "lanes", "tiles", "panels"] as const;

const WHAT: Readonly<Record<(typeof RUNGS)[number], string>> = {
  dots: "the same in WebAssembly",
  rows: "rows of C at once: all is read in order",
  lanes: "four columns a step: 128-bit SIMD",
  tiles: "4 x 8 elements of C in registers",
  panels: "both operands packed into panels",
};

/** The lower rungs over a core's memory. */
export function loadRungs(core: Core): Readonly<Record<(typeof RUNGS)[number], Rung>> {
  const bytes = readFileSync(new URL("../ladder.wasm", import.meta.url));
  return instantiateSync<Record<(typeof RUNGS)[number], Rung>>(bytes, {
    env: { memory: core.memory },
  }).exports;
}

/** C [n, n] = A [n, n] · B [n, n], as one writes it first. */
export function loops(n: number, a: Float32Array, b: Float32Array, c: Float32Array): void {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < n; p++) {
        sum = Math.fround(sum + Math.fround((a[i * n + p] ?? 0) * (b[p * n + j] ?? 0)));
      }
      c[i * n + j] = sum;
    }
  }
}

const N = 512;
const REGION = 2 ** 24;
const [A, B, C] = [REGION / 4, REGION, 2 * REGION];
const SCRATCH = C + REGION / 2;
const ROOF_STEPS = 400_000;
// Layout numbers of assembly/gemm/policy.ts.
const [ROWS, PANELS] = [0, 2];

function engineProduct({ kernels }: Core, layout: number): () => void {
  return () => kernels.gemm(N, N, N, A, 0, N, B, layout, N, C, N, 0, SCRATCH, 0, 1);
}

function fill(core: Core): void {
  const floats = new Float32Array(core.memory.buffer);
  for (let i = A / 4; i < C / 4; i++) floats[i] = ((i * 7919) % 1024) / 1024 - 0.5;
}

/** Measures and prints the ladder. */
export function benchLadder(): void {
  const core = loadCore("baseline");
  if (core === undefined) throw new Error("This runtime cannot run the baseline build.");
  const relaxed = loadCore("relaxed");
  const rungs = loadRungs(core);
  fill(core);
  const part = (at: number): Float32Array => new Float32Array(core.memory.buffer, at, N * N);
  const tasks: [what: string, run: () => void][] = [
    ["three loops in TypeScript", () => loops(N, part(A), part(B), part(C))],
    ...RUNGS.map((name): [string, () => void] => [
      WHAT[name],
      () => rungs[name](N, N, N, A, B, C, SCRATCH),
    ]),
    ["blocks that stay in the caches", engineProduct(core, ROWS)],
    ["B packed once, as a frozen weight is", engineProduct(core, PANELS)],
  ];
  if (relaxed !== undefined) {
    fill(relaxed);
    tasks.push(["fused multiply-add: the relaxed build", engineProduct(relaxed, PANELS)]);
  }
  const runs = [() => core.kernels.roof(ROOF_STEPS, 0.5, 0.25), ...tasks.map(([, run]) => run)];
  measureRounds(runs.slice(4), { rounds: 1, calls: 10 });
  const found = measureRounds(runs, { rounds: 8, calls: 3, now: cpuTime });
  const [roof = 0, ...speeds] = found.map((times, i) => {
    const operations = i === 0 ? 96 * ROOF_STEPS : 2 * N ** 3;
    return operations / Math.min(...times) / 1e6;
  });
  console.log(
    `${N} x ${N} x ${N} on one thread; the baseline's roof is ${roof.toFixed(1)} GFLOP/s`,
  );
  tasks.forEach(([what], i) => {
    const speed = speeds[i] ?? 0;
    const before = speeds[i - 1];
    const times = before === undefined ? "" : `${(speed / before).toFixed(2)} times the one before`;
    const share = `${((100 * speed) / roof).toFixed(0)} %`;
    console.log(
      `  ${what.padEnd(42)} ${speed.toFixed(2).padStart(6)} GFLOP/s ${share.padStart(6)}   ${times}`,
    );
  });
}
