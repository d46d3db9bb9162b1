// The same step in Deno and in Bun beside Node.

import type { Case } from "../entry.ts";
import { lowrankCommand, runtimeCommand } from "./have.ts";
import type { Spec } from "./system.ts";
import { bests, has, overOf, takeTurns } from "./turns.ts";

const ROUNDS = 30;

/** Deno and Bun, each beside Node: the same step in the build that is the same everywhere. */
export const runtimeCase: Case = {
  name: "runtimes",
  ids: ["runtime-deno", "runtime-bun"],
  run: async (missing) => {
    const spec: Spec = {
      kind: "step",
      size: "M",
      method: "lora",
      threads: 1,
      build: "baseline",
      check: 5,
    };
    const names = ["deno", "bun"] as const;
    const turns = await takeTurns(
      [
        { name: "node", command: () => lowrankCommand("node"), spec, calls: 1 },
        ...names.map((name) => ({ name, command: () => runtimeCommand(name), spec, calls: 1 })),
      ],
      { rounds: ROUNDS, seconds: 40 },
      missing,
    );
    return names
      .filter((name) => has(turns, "node", name))
      .map((name) => ({
        id: `runtime-${name}`,
        what: `${name}, speed over Node's, LoRA step of M, baseline`,
        unit: "times",
        figure: overOf(turns, "node", name),
        measured: bests(turns),
      }));
  },
};
