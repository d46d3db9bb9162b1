// The most resident memory that a LoRA step of L takes: in a process of its own, which also says how fast it was. The
// process imports the library, makes the model from its start values, drops those, and trains for some steps.

import process from "node:process";
import { fileURLToPath } from "node:url";
import { commonSizes } from "../../test/golden/common-model.ts";
import { relaxedFlags } from "../build.ts";
import type { Case } from "../entry.ts";
import { counted } from "../figure.ts";
import { startSystem } from "../peers/system.ts";

const STEPS = 3;

export const memoryCase: Case = {
  name: "memory",
  ids: ["rss-L"],
  run: async () => {
    const worker = fileURLToPath(new URL("../peers/lowrank.js", import.meta.url));
    const system = await startSystem(
      {
        name: "lowrank",
        program: process.execPath,
        arguments: [...relaxedFlags(process.versions.node), "--expose-gc", worker],
      },
      { kind: "step", size: "L", method: "lora", threads: 1, check: 1 },
    );
    const times = await system.run(STEPS);
    const peak = await system.peakMemory();
    await system.close();
    const [found = Number.NaN] = system.ready.losses ?? [];
    const [known = Number.NaN] = commonSizes.L.losses.lora;
    if (!(Math.abs(found - known) <= 1e-5 * known)) {
      throw new Error(`The first loss of L is ${found}; expected ${known}.`);
    }
    return [
      {
        id: "rss-L",
        what: "peak resident memory of a process that trains L with LoRA",
        unit: "MB",
        figure: counted(peak),
        measured: { stepMs: Math.min(...times) },
      },
    ];
  },
};
