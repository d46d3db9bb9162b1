// How long processes take from their start to their first output, in turns.

import { spawn } from "node:child_process";
import { reasonIn } from "./peers/system.ts";

/** A program that writes something once it is ready. */
export interface Program {
  readonly program: string;
  readonly arguments: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** Milliseconds from the start of a process to its first output. */
export function firstOutput({ program, arguments: args, environment }: Program): Promise<number> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    let found: number | null = null;
    let complaints = "";
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...environment },
    });
    child.stdout.on("data", () => (found ??= performance.now() - start));
    child.stderr.on("data", (chunk) => (complaints = `${complaints}${chunk}`.slice(-600)));
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0 && found !== null) resolve(found);
      else reject(new Error(`${program} ended with ${status}. ${reasonIn(complaints)}`));
    });
  });
}

/** Milliseconds of each program in so many rounds, after one that does not count: [program][round]. */
export async function startInTurns(
  programs: readonly Program[],
  rounds: number,
): Promise<number[][]> {
  const times: number[][] = programs.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [i, program] of programs.entries()) {
      const time = await firstOutput(program);
      if (round > 0) times[i]?.push(time);
    }
  }
  return times;
}
