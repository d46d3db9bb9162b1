// What a run of the command costs, measured in a process of its own.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

/** A run that has ended, and the most it took. */
export interface Cost {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Time of all processor cores, which a busy machine stretches less than the clock's. */
  readonly seconds: number;
  /** The largest resident set, in bytes. */
  readonly memory: number;
}

/** Runs `lowrank` with these words to its end. */
export function costOf(words: readonly string[]): Cost {
  const file = join(tmpdir(), `lowrank-cost-${process.pid}`);
  const report = `import { writeFileSync } from "node:fs";
    process.on("exit", () => writeFileSync(${JSON.stringify(file)}, JSON.stringify(process.resourceUsage())));`;
  const hook = `data:text/javascript,${encodeURIComponent(report)}`;
  const run = spawnSync(process.execPath, ["--import", hook, main, ...words], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const usage = JSON.parse(readFileSync(file, "utf8")) as Record<string, number>;
  return {
    code: run.status,
    stdout: run.stdout,
    stderr: run.stderr,
    seconds: ((usage["userCPUTime"] ?? 0) + (usage["systemCPUTime"] ?? 0)) / 1e6,
    memory: (usage["maxRSS"] ?? 0) * 1024,
  };
}
