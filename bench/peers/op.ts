// The cost of one small op with its gradient beside PyTorch's: the same chain in both.

import { CHAIN } from "../chain.ts";
import type { Case } from "../entry.ts";
import { mapped, timesFigure } from "../figure.ts";
import type { Spec } from "./system.ts";
import { has, lowrank, overOf, takeTurns, torch } from "./turns.ts";

const ROUNDS = 30;

export const peerOpCase: Case = {
  name: "peer-op",
  ids: ["peer-op"],
  run: async (missing) => {
    const spec: Spec = { kind: "op", threads: 1, check: 0 };
    const calls = 50;
    const turns = await takeTurns(
      [lowrank(spec, calls), torch(spec, calls)],
      { rounds: ROUNDS, seconds: 10 },
      missing,
    );
    if (!has(turns, "lowrank", "torch")) return [];
    const micros = [...turns.times].map(([name, times]) => [
      `${name}Micros`,
      mapped(timesFigure(times), (time) => (1000 * time) / CHAIN).best,
    ]);
    return [
      {
        id: "peer-op",
        what: "one small op with its gradient, eager, over PyTorch's",
        unit: "ratio",
        figure: overOf(turns, "lowrank", "torch"),
        measured: Object.fromEntries(micros) as Record<string, number>,
      },
    ];
  },
};
