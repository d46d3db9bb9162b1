// The worker's side of bench/peers/system.ts, for systems in JavaScript.

import process from "node:process";
import { createInterface } from "node:readline";
import type { Ready, Spec } from "./system.ts";

/** A built case: what was checked, and one run of it. */
export interface Built extends Ready {
  readonly run: () => unknown;
}

function say(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Builds the case that the last argument asks for, and answers until the input ends. */
export async function serve(build: (spec: Spec) => Promise<Built>): Promise<void> {
  try {
    const { run, ...ready } = await build(JSON.parse(process.argv.at(-1) ?? "") as Spec);
    say(ready);
    for await (const line of createInterface({ input: process.stdin })) {
      const [verb, count] = line.split(" ");
      if (verb === "memory") say({ peakMB: process.resourceUsage().maxRSS / 1024 });
      if (verb !== "run") continue;
      const times: number[] = [];
      for (let i = 0; i < Number(count); i++) {
        const start = performance.now();
        await run();
        times.push(performance.now() - start);
      }
      say({ times });
    }
  } catch (error) {
    say({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
  process.exit();
}
