// One line of the benchmark's table, and the case that measures it. The JSON document holds entries as they are here:
// names of fields are stable, and further ones may be added.

import type { Figure } from "./figure.ts";

/**
 * share: of the roof, 1 is all of it; excess: 0.03 is 3 % more; ratio: time over time; times: so many times as fast;
 * the others are quantities.
 */
export type Unit =
  | "share"
  | "excess"
  | "ratio"
  | "times"
  | "ms"
  | "µs"
  | "MB"
  | "tokens/s"
  | "elements/ns";

/** What the machine could do at most, measured beside the figure. */
export interface Roof {
  readonly speed: number;
  /** times: what a second core gave to plain registers. */
  readonly unit: "GFLOP/s" | "GB/s" | "times";
  /** How much of it was reached, where the work is known. */
  readonly share?: number;
  /** What reached it, where that is not the entry itself. */
  readonly of?: string;
}

/** One measured figure. */
export interface Entry {
  /** The same in every run; a target with this id is the target of the figure. */
  readonly id: string;
  readonly what: string;
  readonly unit: Unit;
  readonly figure: Figure;
  readonly roof?: Roof;
  /** What the figure was made from: milliseconds, bytes, tokens a second, named with their unit. */
  readonly measured?: Readonly<Record<string, number>>;
  /** The machine did other work meanwhile: fewer than three rounds ran at full clock. */
  readonly disturbed?: boolean;
  readonly note?: string;
}

/** What is measured together. */
export interface Case {
  readonly name: string;
  /** Ids of the entries that it gives. */
  readonly ids: readonly string[];
  /** Measured only when its name is given. */
  readonly onRequest?: boolean;
  /** Entries, or fewer of them where something could not be had: then `missing` was told why. */
  run(missing: (what: string, why: string) => void): Promise<readonly Entry[]>;
}

/** Cases whose name or one of whose ids matches; without a pattern, all but those that want to be asked for. */
export function chosenCases(cases: readonly Case[], only: RegExp | null): Case[] {
  return cases.filter(({ name, ids, onRequest }) =>
    only === null ? onRequest !== true : [name, ...ids].some((id) => only.test(id)),
  );
}
