// From the start of a process to its first product of 64: lowrank's and the peers', in turns.

import { fileURLToPath } from "node:url";
import type { Case } from "../entry.ts";
import { quotient } from "../figure.ts";
import { type Program, startInTurns } from "../startup.ts";
import { nodeCommand, torchCommand } from "./have.ts";
import { installPeer } from "./packages.ts";
import type { Spec } from "./system.ts";

const STARTERS = ["jax", "tfjs", "onnx-node"] as const;

export const peerStartCase: Case = {
  name: "peer-start",
  ids: [...STARTERS, "torch"].map((name) => `peer-start-${name}`),
  run: async (missing) => {
    const [program = "", ...flags] = await nodeCommand();
    const script = (name: string, ...more: string[]): Program => ({
      program,
      arguments: [
        ...flags,
        fileURLToPath(new URL(`../start/${name}.js`, import.meta.url)),
        ...more,
      ],
    });
    const programs = new Map<string, Program>([["lowrank", script("product")]]);
    const have = async (name: string, made: () => Program | Promise<Program>): Promise<void> => {
      try {
        const one = await made();
        await startInTurns([one], 0);
        programs.set(name, one);
      } catch (error) {
        missing(`start of ${name}`, error instanceof Error ? error.message : String(error));
      }
    };
    for (const name of STARTERS) {
      await have(name, async () => {
        await installPeer(name);
        return script("peer", name);
      });
    }
    await have("torch", () => {
      const { program, arguments: args, environment = {} } = torchCommand(1);
      const spec: Spec = { kind: "start", threads: 1, check: 0 };
      return { program, arguments: [...args, JSON.stringify(spec)], environment };
    });
    const names = [...programs.keys()];
    const times = await startInTurns([...programs.values()], 8);
    const [mine = []] = times;
    return names.slice(1).map((name, i) => ({
      id: `peer-start-${name}`,
      what: `from process start to the first product, over ${name}'s`,
      unit: "ratio",
      figure: quotient(mine, times[i + 1] ?? []),
      measured: { lowrankMs: Math.min(...mine), peerMs: Math.min(...(times[i + 1] ?? [])) },
    }));
  },
};
