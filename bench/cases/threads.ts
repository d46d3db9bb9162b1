// What a second thread gives: the same product on an engine with one thread and on one with two, side by side.
// Wall time, so the machine must have two cores to itself.

import type { Engine } from "../../src/core/engine.ts";
import { matmul } from "../../src/tensor/matmul.ts";
import { normal } from "../../src/tensor/random.ts";
import { noGrad, scope } from "../../src/tensor/scope.ts";
import { withEngines } from "../build.ts";
import { type Cores, FEWEST_CORES, withCores } from "../cores.ts";
import type { Case, Entry } from "../entry.ts";
import { type Entrant, race } from "../race.ts";

const SIZES = [256, 512, 1024];
/** Products of a call take some 10 ms, so that waking the threads is part of it as in a training step. */
const OPERATIONS = 3e8;

function product(engine: Engine, n: number): Entrant {
  const [a, b] = engine.run(() => [1, 2].map((seed) => normal([n, n], { seed })));
  const times = Math.ceil(OPERATIONS / (2 * n ** 3));
  return {
    name: `${engine.threads}`,
    calls: 3,
    run: () => {
      engine.run(() =>
        scope(() =>
          noGrad(() => {
            for (let i = 0; i < times; i++) matmul(a!, b!);
          }),
        ),
      );
    },
  };
}

function measure(cores: Cores, one: Engine, two: Engine): Entry[] {
  return SIZES.map((n) => {
    const run = race([product(one, n), product(two, n), ...cores.entrants], {
      rounds: 20,
      seconds: 3,
    });
    const gain = cores.gain(run).best;
    return {
      id: `threads-gemm-${n}`,
      what: `two threads over one, product of ${n}`,
      unit: "times",
      figure: run.over("1", "2"),
      roof: { speed: gain, unit: "times" },
      measured: { oneMs: run.times("1").best, twoMs: run.times("2").best },
      disturbed: gain < FEWEST_CORES,
    };
  });
}

export const threadsCase: Case = {
  name: "threads",
  ids: SIZES.map((n) => `threads-gemm-${n}`),
  run: () =>
    withCores("relaxed", (cores) =>
      withEngines("relaxed", [1, 2], (one, two) => measure(cores, one, two)),
    ),
};
