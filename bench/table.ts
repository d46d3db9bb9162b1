// The document as a table to read: what was measured, the best against the best, the median of the rounds with the
// 10th and 90th percentile, the target, whether it is met, and the roof.

import type { BenchDocument, JudgedEntry } from "./document.ts";
import type { Unit } from "./entry.ts";

const BOUNDS = { "at least": "≥", "at most": "≤" } as const;

/** A value with its unit: 0.942 as a share is "94.2 %". */
export function formatted(value: number, unit: Unit): string {
  const signed = value < 0 ? "" : "+";
  switch (unit) {
    case "share":
      return `${(100 * value).toFixed(1)} %`;
    case "excess":
      return `${signed}${(100 * value).toFixed(1)} %`;
    case "ratio":
      return value.toFixed(3);
    case "times":
      return `${value.toFixed(2)}x`;
    case "ms":
      return `${value.toFixed(1)} ms`;
    case "µs":
      return `${value.toFixed(2)} µs`;
    case "MB":
      return `${value.toFixed(0)} MB`;
    case "tokens/s":
      return `${value.toFixed(0)}/s`;
    case "elements/ns":
      return `${value.toFixed(2)}/ns`;
  }
}

function spreadOf({ figure, unit }: JudgedEntry): string {
  if (figure.rounds < 2) return "once";
  const part = (value: number): string => formatted(value, unit).replace(/ ?[^\d.]*$/, "");
  const between = `${part(figure.low)} to ${part(figure.high)}`;
  return `${formatted(figure.median, unit)} (${between}; ${figure.rounds})`;
}

function roofOf({ roof }: JudgedEntry): string {
  if (roof === undefined) return "";
  if (roof.unit === "times") return `two cores give ${roof.speed.toFixed(2)}x`;
  const share =
    roof.share === undefined ? "" : `, ${roof.of ?? "this"} at ${(100 * roof.share).toFixed(0)} %`;
  return `${roof.speed.toFixed(1)} ${roof.unit}${share}`;
}

function row(entry: JudgedEntry): string[] {
  const { target, met, disturbed, unit } = entry;
  return [
    `${entry.what}${disturbed === true ? " *" : ""}`,
    formatted(entry.figure.best, unit),
    spreadOf(entry),
    target === null ? "" : `${BOUNDS[target.bound]} ${formatted(target.value, unit)}`,
    met === null ? "" : met ? "met" : "not met",
    roofOf(entry),
  ];
}

/** Columns side by side, each as wide as its widest cell. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((cells) => cells[i]?.length ?? 0)));
  return rows.map((cells) =>
    cells
      .map((cell, i) => cell.padEnd(widths?.[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** What the raw figures were, an entry a line. */
function details(entries: readonly JudgedEntry[]): string[] {
  return entries
    .filter(({ measured, note }) => measured !== undefined || note !== undefined)
    .map(({ id, measured = {}, note }) => {
      const parts = Object.entries(measured).map(
        ([name, value]) => `${name} ${Number(value.toPrecision(4))}`,
      );
      return `  ${id}: ${[...parts, ...(note === undefined ? [] : [note])].join(", ")}`;
    });
}

/** The table as text. */
export function tableText(document: BenchDocument): string {
  const { machine, systems, entries, missing } = document;
  const gated = entries.filter(({ met }) => met !== null);
  const met = gated.filter((entry) => entry.met);
  const gigabytes = (machine.memoryMB / 1024).toFixed(0);
  return [
    `lowrank ${machine.lowrank} on ${machine.cpu}, ${machine.cores} cores, ${gigabytes} GB, ${machine.system}; ` +
      `${machine.runtime} (V8 ${machine.v8})`,
    ...Object.entries(systems).map(([name, version]) => `  ${name}: ${version}`),
    "Builds: relaxed SIMD unless said otherwise; targets are set for Node 24.",
    "",
    ...aligned([
      ["what", "best", "median (10th to 90th percentile; rounds)", "target", "", "roof"],
      ...entries.map(row),
    ]),
    "",
    ...details(entries),
    ...(entries.some(({ disturbed }) => disturbed)
      ? ["", "* The machine did other work meanwhile: take this figure with care."]
      : []),
    ...missing.map(({ what, why }) => `not measured: ${what}. ${why}`),
    "",
    `${met.length} of ${gated.length} targets met, measured in ${document.seconds.toFixed(0)} s.`,
  ].join("\n");
}
