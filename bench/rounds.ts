// Measures things side by side: each round is a tinybench run of its own over all of them, so that a clock that drifts
// from round to round moves all alike, and ratios within a round stay what they are.

import { Bench } from "tinybench";

/** How long to measure. */
export interface RoundOptions {
  /** Rounds, fewer where they take more than ten seconds together, but at least three. */
  readonly rounds: number;
  /** Calls of each task in a round; the fastest counts. */
  readonly calls: number;
  /** Milliseconds of the clock: wall time by default. */
  readonly now?: () => number;
}

const LONGEST = 10_000;
const FEWEST = 3;

/** CPU time of the process in milliseconds: one thread's work, whatever else the machine is doing. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Milliseconds of each task in each round, as [task][round]. */
export function measureRounds(
  tasks: readonly (() => void)[],
  { rounds, calls, now }: RoundOptions,
): number[][] {
  const found: number[][] = tasks.map(() => []);
  const end = performance.now() + LONGEST;
  for (let round = 0; round < rounds; round++) {
    if (round >= FEWEST && performance.now() > end) break;
    const bench = new Bench({
      time: 0,
      iterations: calls,
      warmup: false,
      ...(now === undefined ? {} : { now }),
    });
    tasks.forEach((task, i) => {
      bench.add(String(i), task);
    });
    bench.runSync();
    bench.tasks.forEach(({ result }, i) => {
      if (result.state !== "completed") throw new Error(`task ${i} did not complete`);
      found[i]?.push(result.latency.min);
    });
  }
  return found;
}
