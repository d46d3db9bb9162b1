// The ladder to a fast matrix product, measured: from three loops in TypeScript, one idea after another, to the engine's
// own product. All rungs multiply the same 512 x 512 matrices, in turns; each is a share of the baseline's roof, and
// stands beside how many times it is as fast as the rung before.

import { arithmeticRoof, type Core, loadCore } from "../build.ts";
import type { Case, Entry } from "../entry.ts";
import { loadRungs, loops, RUNGS } from "../ladder.ts";
import { cpuTime, type Entrant, race } from "../race.ts";

/** The idea of each of the lower rungs. */
const WHAT: Readonly<Record<(typeof RUNGS)[number], string>> = {
  dots: "the same in WebAssembly",
  rows: "rows of C at once: all is read in order",
  lanes: "four columns a step: 128-bit SIMD",
  tiles: "4 x 8 elements of C in registers",
  panels: "both operands packed into panels",
};

const N = 512;
const WORK = 2 * N ** 3;
const REGION = 2 ** 24;
const [A, B, C] = [REGION / 4, REGION, 2 * REGION];
const SCRATCH = C + REGION / 2;
// Layout numbers of assembly/gemm/blocking.ts.
const [ROWS, PANELS] = [0, 2];

function engineProduct({ kernels }: Core, layout: number): () => void {
  return () => void kernels.gemm(N, N, N, A, 0, N, B, layout, N, C, N, 0, SCRATCH, 0, 1);
}

function filled(core: Core): Core {
  const floats = new Float32Array(core.memory.buffer);
  for (let i = A / 4; i < C / 4; i++) floats[i] = ((i * 7919) % 1024) / 1024 - 0.5;
  return core;
}

function measure(): Entry[] {
  const core = filled(loadCore("baseline"));
  const rungs = loadRungs(core);
  const part = (at: number): Float32Array => new Float32Array(core.memory.buffer, at, N * N);
  const ladder: Entrant[] = (
    [
      ["three loops in TypeScript", () => loops(N, part(A), part(B), part(C))],
      ...RUNGS.map((name) => [WHAT[name], () => rungs[name](N, N, N, A, B, C, SCRATCH)] as const),
      ["blocks that stay in the caches", engineProduct(core, ROWS)],
      ["B packed once, as a frozen weight is", engineProduct(core, PANELS)],
      ["fused multiply-add: the relaxed build", engineProduct(filled(loadCore("relaxed")), PANELS)],
    ] as const
  ).map(([name, run]) => ({ name, run, work: WORK, calls: 3 }));
  const run = race(ladder, {
    rounds: 8,
    seconds: 30,
    now: cpuTime,
    roof: arithmeticRoof(core.kernels),
  });
  const timeOf = (rung: Entrant): number => run.times(rung.name).best;
  return ladder.map((rung, i) => {
    const before = ladder[i - 1];
    return {
      id: `ladder-${i}`,
      what: `ladder: ${rung.name}`,
      unit: "share",
      figure: run.share(rung.name),
      roof: { speed: run.roof / 1e9, unit: "GFLOP/s" },
      measured: {
        gigaflops: WORK / timeOf(rung) / 1e6,
        ...(before === undefined ? {} : { timesTheOneBefore: timeOf(before) / timeOf(rung) }),
      },
    };
  });
}

export const ladderCase: Case = {
  name: "ladder",
  ids: Array.from({ length: RUNGS.length + 4 }, (_, i) => `ladder-${i}`),
  onRequest: true,
  run: async () => measure(),
};
