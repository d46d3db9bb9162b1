// Training steps beside other systems: with LoRA beside PyTorch, thread for thread, with the memory that both take and
// the least time that the arithmetic of a step takes vectors of 128 bits; and full ones beside the JavaScript peers that
// can train, of which the fastest counts. Both also with lowrank's vectors of 256 bits, an experiment of V8's.

import { commonSizes } from "../../test/golden/common-model.ts";
import { ROOF_WORK } from "../build.ts";
import { coresNow, FEWEST_CORES } from "../cores.ts";
import type { Case, Entry } from "../entry.ts";
import { counted, mapped } from "../figure.ts";
import { loraStepOperations, type SizeName } from "../training.ts";
import type { Spec } from "./system.ts";
import { bests, has, lowrank, lowrankWide, overOf, peer, roof, takeTurns, torch } from "./turns.ts";

const SIZES = ["S", "M", "L"] as const;
const ROUNDS = 30;
/** Runs of the roof in a turn, a quarter of a millisecond each. */
const ROOF_CALLS = 20;
/** Runs in a turn, and the seconds after which no further round begins. */
const CALLS = { S: 8, M: 2, L: 1 } as const;
const LONGEST = { S: 30, M: 40, L: 50 } as const;

function loraCase(size: SizeName, threads: number): Case {
  const id = `peer-lora-${size}-${threads}`;
  const wideId = `peer-lora-wide-${size}-${threads}`;
  const leastId = `peer-least-${size}-${threads}`;
  const memoryId = `peer-memory-${size}`;
  const withMemory = size === "L" && threads === 1;
  return {
    name: id,
    ids: [id, wideId, leastId, ...(withMemory ? [memoryId] : [])],
    run: async (missing) => {
      const spec: Spec = { kind: "step", size, method: "lora", threads, check: 5 };
      const calls = CALLS[size];
      // Two threads need two cores, before the turns and after them.
      const before = threads > 1 ? await coresNow() : null;
      const turns = await takeTurns(
        [lowrank(spec, calls), lowrankWide(spec, calls), torch(spec, calls), roof(ROOF_CALLS)],
        { rounds: ROUNDS, seconds: LONGEST[size] },
        missing,
      );
      const [mine, theirs] = ["lowrank", "torch"].map((name) => turns.memory.get(name));
      const imported = turns.ready.get("torch")?.importMB;
      const each = threads > 1 ? `${threads} threads each` : "one thread each";
      const entries: Entry[] = [];
      const gain = before === null ? null : Math.min(before, await coresNow());
      const cores =
        gain === null
          ? {}
          : ({ roof: { speed: gain, unit: "times" }, disturbed: gain < FEWEST_CORES } as const);
      const overTorch = (name: string, as: string, what: string): void => {
        if (!has(turns, name, "torch")) return;
        const figure = overOf(turns, name, "torch");
        entries.push({ id: as, what, unit: "ratio", figure, measured: bests(turns), ...cores });
      };
      overTorch("lowrank", id, `LoRA step of ${size} over PyTorch's, ${each}`);
      overTorch("lowrankWide", wideId, `LoRA step of ${size} over PyTorch's, wideVectors, ${each}`);
      if (has(turns, "roof", "torch")) {
        // All of a step's operations as fast as registers alone go, on so many threads, and nothing besides.
        const turnsOfRoof = loraStepOperations(commonSizes[size]) / ROOF_WORK / threads;
        entries.push({
          id: leastId,
          what: `least for a LoRA step of ${size} by arithmetic, over PyTorch's step, ${each}`,
          unit: "ratio",
          figure: mapped(overOf(turns, "roof", "torch"), (ratio) => ratio * turnsOfRoof),
        });
      }
      if (withMemory && mine !== undefined) {
        entries.push({
          id: memoryId,
          what: "peak resident memory of the L LoRA step, in the same run",
          unit: "MB",
          figure: counted(mine),
          ...(theirs === undefined
            ? {}
            : { measured: { torchMB: theirs, torchImportMB: imported ?? Number.NaN } }),
        });
      }
      return entries;
    },
  };
}

/** A full step beside the JavaScript peers that can train: the fastest of them counts. */
function fullCase(size: SizeName): Case {
  // tfjs takes two to three times as long as jax-js on S and M: L, of many seconds a step, is left to the faster one.
  const peers = size === "L" ? ["jax"] : ["jax", "tfjs"];
  const id = `peer-full-${size}`;
  const wideId = `peer-full-wide-${size}`;
  return {
    name: id,
    ids: [id, wideId],
    run: async (missing) => {
      const spec: Spec = { kind: "step", size, method: "full", threads: 1, check: 5 };
      const calls = size === "S" ? 2 : 1;
      const check = size === "L" ? 2 : 5;
      const turns = await takeTurns(
        [
          lowrank(spec, calls),
          lowrankWide(spec, calls),
          ...peers.map((name) => peer(name, { ...spec, check }, calls)),
        ],
        { rounds: ROUNDS, seconds: 45 },
        missing,
      );
      const shortest = (name: string): number => Math.min(...(turns.times.get(name) ?? []));
      const there = peers.filter((name) => has(turns, name));
      if (there.length === 0) return [];
      const fastest = there.reduce((a, b) => (shortest(b) < shortest(a) ? b : a));
      const contests = [
        { name: "lowrank", as: id, how: fastest },
        { name: "lowrankWide", as: wideId, how: `${fastest}; wideVectors` },
      ];
      return contests
        .filter(({ name }) => has(turns, name))
        .map(({ name, as, how }) => ({
          id: as,
          what: `full step of ${size} over the fastest JavaScript peer's (${how})`,
          unit: "ratio",
          figure: overOf(turns, name, fastest),
          measured: bests(turns),
        }));
    },
  };
}

export const peerStepCases: readonly Case[] = [
  ...SIZES.map((size) => loraCase(size, 1)),
  ...SIZES.map((size) => loraCase(size, 2)),
  ...SIZES.map(fullCase),
];
