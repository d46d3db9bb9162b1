// Measures things side by side: each round runs all of them in turn, so that a clock that drifts from round to round
// moves all alike and ratios within a round stay what they are. Where there is a roof, it is measured before and after
// each entrant. Each measurement is a tinybench run of its own, of which the fastest call counts.

import { Bench } from "tinybench";
import { type Figure, quotient, timesFigure } from "./figure.ts";

/** One thing to measure. */
export interface Entrant {
  readonly name: string;
  readonly run: () => void;
  /** Operations, or bytes read, of one call: needed where it is set beside a roof. */
  readonly work?: number;
  /** Calls in a round, at least (default 1). */
  readonly calls?: number;
}

/** How long to measure. */
export interface RaceOptions {
  readonly rounds: number;
  /** Rounds end after so many seconds (default 10), but not before the third. */
  readonly seconds?: number;
  /** Milliseconds that a measurement lasts at least (default 0). */
  readonly window?: number;
  /** Milliseconds of the clock: wall time by default. */
  readonly now?: () => number;
  /** What the machine can do at most. */
  readonly roof?: Entrant;
  /** Only rounds count that ran at full clock: with a roof within 5 % of the best one. Default false. */
  readonly fullClock?: boolean;
}

const FEWEST = 3;
/** A call of less work than this is repeated within a sample, of a third of a millisecond then: the timer is coarse. */
const WORK_OF_A_SAMPLE = 1e7;
const FULL_CLOCK = 0.95;

/** CPU time of the process in milliseconds: one thread's work, whatever else the machine is doing. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Stands still: better code for what has just run is compiled on other threads meanwhile. */
function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** Fastest call of an entrant, in milliseconds. */
function lap({ name, run, work, calls = 1 }: Entrant, { window = 0, now }: RaceOptions): number {
  const repeats = work === undefined ? 1 : Math.max(1, Math.ceil(WORK_OF_A_SAMPLE / work));
  const bench = new Bench({
    time: window,
    iterations: calls,
    warmup: false,
    ...(now === undefined ? {} : { now }),
  });
  const repeated = (): void => {
    for (let i = 0; i < repeats; i++) run();
  };
  // Left to find out for itself whether the function is asynchronous, the Bench would call it once more.
  bench.add(name, repeated, { async: false });
  bench.runSync();
  const result = bench.tasks[0]?.result;
  if (result?.state === "completed") return result.latency.min / repeats;
  throw result?.state === "errored" ? result.error : new Error(`${name} did not complete.`);
}

/** What a race found. */
export class Race {
  readonly #entrants: readonly Entrant[];
  readonly #options: RaceOptions;
  /** Milliseconds of a call: [entrant][round]. */
  readonly #times: number[][];
  /** Milliseconds that the roofs beside an entrant took, before and after: [entrant][round]. */
  readonly #roofs: (readonly [number, number])[][];

  constructor(entrants: readonly Entrant[], options: RaceOptions) {
    this.#entrants = entrants;
    this.#options = options;
    this.#times = entrants.map(() => []);
    this.#roofs = entrants.map(() => []);
  }

  run(): this {
    const { rounds, seconds = 10, roof } = this.#options;
    for (const entrant of this.#entrants) lap(entrant, { ...this.#options, window: 0 });
    pause(300);
    const end = performance.now() + 1000 * seconds;
    while (Math.min(...this.#entrants.map((_, i) => this.#counted(i))) < rounds) {
      if (this.rounds >= FEWEST && performance.now() > end) break;
      let before = roof === undefined ? 0 : lap(roof, this.#options);
      this.#entrants.forEach((entrant, i) => {
        this.#times[i]?.push(lap(entrant, this.#options));
        const after = roof === undefined ? 0 : lap(roof, this.#options);
        this.#roofs[i]?.push([before, after]);
        before = after;
      });
    }
    return this;
  }

  get rounds(): number {
    return this.#times[0]?.length ?? 0;
  }

  /** Whether too few rounds ran at full clock, so that slower ones had to count. */
  get isDisturbed(): boolean {
    return this.#entrants.some((_, i) => this.#counted(i) < FEWEST);
  }

  /** Work of the roof in a second. */
  get roof(): number {
    const { roof } = this.#options;
    return (1000 * (roof?.work ?? Number.NaN)) / Math.min(...this.#roofs.flat(2));
  }

  /** Milliseconds of a call. */
  times(name: string): Figure {
    return timesFigure(this.#times[this.#index(name)]!);
  }

  /** Milliseconds of one entrant over those of another. */
  over(name: string, other: string): Figure {
    const [a, b] = [this.#index(name), this.#index(other)];
    const [first, second] = [this.#countedRounds(a), this.#countedRounds(b)];
    const both = first.map((counts, round) => counts && second[round] === true);
    const counts = both.filter(Boolean).length < FEWEST ? first.map(() => true) : both;
    return quotient(this.#times[a]!, this.#times[b]!, counts);
  }

  /** An entrant's speed as a share of the roof's. */
  share(name: string): Figure {
    const at = this.#index(name);
    const { roof } = this.#options;
    const factor = (this.#entrants[at]!.work ?? Number.NaN) / (roof?.work ?? Number.NaN);
    // The time that the roof would take for this work. Its best is one of two neighbours, not their mean.
    const mean = this.#roofs[at]!.map(([before, after]) => (factor * (before + after)) / 2);
    const figure = quotient(mean, this.#times[at]!, this.#countedRounds(at));
    const best = (factor * Math.min(...this.#roofs.flat(2))) / Math.min(...this.#times[at]!);
    return { ...figure, best };
  }

  #index(name: string): number {
    const found = this.#entrants.findIndex((entrant) => entrant.name === name);
    if (found < 0) throw new Error(`There is no ${name} in this race.`);
    return found;
  }

  #isFullClock(entrant: number): boolean[] {
    const slowest = Math.min(...this.#roofs.flat(2)) / FULL_CLOCK;
    return this.#roofs[entrant]!.map((pair) => Math.max(...pair) <= slowest);
  }

  #counted(entrant: number): number {
    if (this.#options.fullClock !== true) return this.#times[entrant]!.length;
    return this.#isFullClock(entrant).filter(Boolean).length;
  }

  /** The rounds at full clock; where they are too few, all of them. */
  #countedRounds(entrant: number): boolean[] {
    const all = this.#times[entrant]!.map(() => true);
    if (this.#options.fullClock !== true || this.#counted(entrant) < FEWEST) return all;
    return this.#isFullClock(entrant);
  }
}

/** Runs all entrants in interleaved rounds. */
export function race(entrants: readonly Entrant[], options: RaceOptions): Race {
  return new Race(entrants, options).run();
}
