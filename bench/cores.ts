// Whether the machine really gives two cores, which on a shared one it may not: the arithmetic roof on this thread
// alone, and on two threads at once. What a second thread can give is at most what it gives to the roof.

import { Worker } from "node:worker_threads";
import { arithmeticRoof, type Build, loadCore } from "./build.ts";
import { type Figure, mapped } from "./figure.ts";
import { type Entrant, type Race, race } from "./race.ts";

/** Roofs of a call, some 10 ms. */
export const ROOFS = 30;

/** Turns that were asked for, and turns that the other thread has done; -1 ends it. */
export interface CoresData {
  readonly build: Build;
  readonly turns: Int32Array;
}

/** Two entrants for a race, and what they gave there. */
export interface Cores {
  readonly entrants: readonly Entrant[];
  /** Times as fast as one thread. */
  gain(race: Race): Figure;
}

/** With less than this the machine has no second core to give. */
export const FEWEST_CORES = 1.9;

function openCores(build: Build): Cores & { close(): void } {
  const turns = new Int32Array(new SharedArrayBuffer(8));
  const workerData: CoresData = { build, turns };
  new Worker(new URL("./coresWorker.js", import.meta.url), { workerData }).unref();
  const { run } = arithmeticRoof(loadCore(build).kernels);
  const alone = (): void => {
    for (let i = 0; i < ROOFS; i++) run();
  };
  const both = (): void => {
    const turn = Atomics.add(turns, 0, 1) + 1;
    Atomics.notify(turns, 0);
    alone();
    while (Atomics.load(turns, 1) < turn) Atomics.wait(turns, 1, turn - 1);
  };
  return {
    entrants: [
      { name: "one core", calls: 3, run: alone },
      { name: "two cores", calls: 3, run: both },
    ],
    gain: (race) => mapped(race.over("one core", "two cores"), (ratio) => 2 * ratio),
    close: () => {
      Atomics.store(turns, 0, -1);
      Atomics.notify(turns, 0);
    },
  };
}

/** Gives the entrants to `use`, and ends the other thread afterwards. */
export async function withCores<T>(build: Build, use: (cores: Cores) => Promise<T>): Promise<T> {
  const cores = openCores(build);
  try {
    return await use(cores);
  } finally {
    cores.close();
  }
}

/** What a second core gives at this moment, as a rule: the median of a few rounds. */
export function coresNow(): Promise<number> {
  return withCores("baseline", async (cores) => {
    return cores.gain(race(cores.entrants, { rounds: 8 })).median;
  });
}
