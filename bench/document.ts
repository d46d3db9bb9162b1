// The whole result as one value: what `--json` prints, and what the table is made from.
//
//   { schema: 1, machine: {...}, systems: { name: version }, seconds, entries: [
//       { id, what, unit, figure: { best, median, low, high, rounds }, target: { bound, value } | null, met,
//         roof?, measured?, disturbed?, note? } ], missing: [ { what, why } ] }

import type { Entry } from "./entry.ts";
import type { Machine } from "./machine.ts";
import { isMet, targets } from "./targets.ts";

/** An entry beside its target. */
export interface JudgedEntry extends Entry {
  readonly target: { readonly bound: "at least" | "at most"; readonly value: number } | null;
  /** Whether the figure's best keeps the target; null where there is none. */
  readonly met: boolean | null;
}

/** Something that could not be measured. */
export interface Missing {
  readonly what: string;
  readonly why: string;
}

/** What a run of the benchmark gives. Fields keep their names and meaning as long as `schema` is the same. */
export interface BenchDocument {
  readonly schema: 1;
  readonly machine: Machine;
  /** Systems that were measured, and their versions. */
  readonly systems: Readonly<Record<string, string>>;
  readonly seconds: number;
  readonly entries: readonly JudgedEntry[];
  readonly missing: readonly Missing[];
}

/** Entries beside their targets, in the order of the targets; those without a target come last. */
export function judged(entries: readonly Entry[]): JudgedEntry[] {
  const order = Object.keys(targets);
  const place = ({ id }: Entry): number => {
    const at = order.indexOf(id);
    return at < 0 ? order.length : at;
  };
  return entries
    .toSorted((a, b) => place(a) - place(b))
    .map((entry) => {
      const target = targets[entry.id];
      return {
        ...entry,
        target: target === undefined ? null : { bound: target.bound, value: target.value },
        met: isMet(entry.id, entry.figure.best),
      };
    });
}

/** The document as JSON, one entry a line; figures have five digits. */
export function documentJson(document: BenchDocument): string {
  const rounded = (_: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
  const { entries, ...rest } = document;
  const lines = entries.map((entry) => `  ${JSON.stringify(entry, rounded)}`);
  const head = JSON.stringify(rest, rounded).slice(0, -1);
  return `${head},"entries":[\n${lines.join(",\n")}\n]}`;
}
