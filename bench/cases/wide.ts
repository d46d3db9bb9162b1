// What vectors of 256 bits (`init({ wideVectors: true })`) make of a LoRA step: two processes of this Node in turns, since
// V8's flag belongs to a process.

import type { Case } from "../entry.ts";
import { lowrankHere } from "../peers/have.ts";
import type { Spec } from "../peers/system.ts";
import { bests, has, overOf, takeTurns } from "../peers/turns.ts";

const SIZES = ["S", "M"] as const;
const CALLS = { S: 10, M: 2 } as const;

export const wideCase: Case = {
  name: "wide",
  ids: SIZES.map((size) => `wide-${size}`),
  run: async (missing) => {
    if (Number.parseInt(process.versions.v8, 10) < 13) {
      missing("wideVectors", "It needs Node 24 or newer.");
      return [];
    }
    const entries = [];
    for (const size of SIZES) {
      const spec: Spec = { kind: "step", size, method: "lora", threads: 1, check: 5 };
      const turns = await takeTurns(
        [false, true].map((wideVectors) => {
          const name = wideVectors ? "wide" : "plain";
          const command = lowrankHere(name);
          return { name, command, spec: { ...spec, wideVectors }, calls: CALLS[size] };
        }),
        { rounds: 30, seconds: 8 },
        missing,
      );
      if (!has(turns, "plain", "wide")) continue;
      entries.push({
        id: `wide-${size}`,
        what: `LoRA step of ${size}, wideVectors over without`,
        unit: "ratio" as const,
        figure: overOf(turns, "wide", "plain"),
        measured: bests(turns),
      });
    }
    return entries;
  },
};
