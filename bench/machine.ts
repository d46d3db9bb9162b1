// Where a benchmark ran: without it, no figure means anything.

import { readFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";

/** The machine, the runtime and the version that was measured. */
export interface Machine {
  readonly cpu: string;
  /** Cores that this process may use. */
  readonly cores: number;
  readonly memoryMB: number;
  readonly system: string;
  readonly runtime: string;
  readonly v8: string;
  readonly lowrank: string;
}

export function thisMachine(): Machine {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryMB: Math.round(totalmem() / 2 ** 20),
    system: `${process.platform}-${process.arch}`,
    runtime: `Node ${process.versions.node}`,
    v8: process.versions.v8,
    lowrank: (JSON.parse(manifest) as { version: string }).version,
  };
}
