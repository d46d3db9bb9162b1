// lowrank beside others on the same cases, in the order in which they are measured.

import { fileURLToPath } from "node:url";
import { CHAIN } from "../chain.ts";
import { mostTokens } from "../decoding.ts";
import type { Case, Entry } from "../entry.ts";
import { counted, mapped, quotient, timesFigure } from "../figure.ts";
import { type Program, startInTurns } from "../startup.ts";
import type { SizeName } from "../training.ts";
import { lowrankCommand, nodeCommand, peerCommand, runtimeCommand, torchCommand } from "./have.ts";
import { installPeer } from "./packages.ts";
import type { Spec } from "./system.ts";
import { type Contestant, overOf, type Turns, takeTurns } from "./turns.ts";

const SIZES = ["S", "M", "L"] as const;
/** Runs in a turn, and the seconds after which no further round begins. */
const CALLS = { S: 8, M: 2, L: 1 } as const;
const LONGEST = { S: 30, M: 40, L: 50 } as const;
const ROUNDS = 30;

function lowrank(spec: Spec, calls: number): Contestant {
  return { name: "lowrank", command: () => lowrankCommand(), spec, calls };
}

/** Shortest run of each system, in milliseconds. */
function bests({ times }: Turns): Record<string, number> {
  return Object.fromEntries([...times].map(([name, found]) => [`${name}Ms`, Math.min(...found)]));
}

function has({ times }: Turns, ...names: readonly string[]): boolean {
  return names.every((name) => times.has(name));
}

function loraCase(size: SizeName, threads: number): Case {
  const id = `peer-lora-${size}-${threads}`;
  const memoryId = `peer-memory-${size}`;
  const withMemory = size === "L" && threads === 1;
  return {
    name: id,
    ids: [id, ...(withMemory ? [memoryId] : [])],
    run: async (missing) => {
      const spec: Spec = { kind: "step", size, method: "lora", threads, check: 5 };
      const calls = CALLS[size];
      const turns = await takeTurns(
        [
          lowrank(spec, calls),
          { name: "torch", command: () => torchCommand(threads), spec, calls },
        ],
        { rounds: ROUNDS, seconds: LONGEST[size] },
        missing,
      );
      const [mine, theirs] = ["lowrank", "torch"].map((name) => turns.memory.get(name));
      const entries: Entry[] = [];
      if (has(turns, "lowrank", "torch")) {
        const each = threads > 1 ? `${threads} threads each` : "one thread each";
        entries.push({
          id,
          what: `LoRA step of ${size} over PyTorch's, ${each}`,
          unit: "ratio",
          figure: overOf(turns, "lowrank", "torch"),
          measured: bests(turns),
        });
      }
      if (withMemory && mine !== undefined) {
        entries.push({
          id: memoryId,
          what: "peak resident memory of the L LoRA step, in the same run",
          unit: "MB",
          figure: counted(mine),
          ...(theirs === undefined ? {} : { measured: { torchMB: theirs } }),
        });
      }
      return entries;
    },
  };
}

/** A full step beside the JavaScript peers that can train: the fastest of them counts. */
function fullCase(size: SizeName): Case {
  // tfjs takes half a minute for a step of L, and jax-js compiles L for as long before it begins.
  const peers = size === "L" ? ["jax"] : ["jax", "tfjs"];
  const id = `peer-full-${size}`;
  return {
    name: id,
    ids: [id],
    run: async (missing) => {
      const spec: Spec = { kind: "step", size, method: "full", threads: 1, check: 5 };
      const calls = size === "S" ? 2 : 1;
      const check = size === "L" ? 2 : 5;
      const turns = await takeTurns(
        [
          lowrank(spec, calls),
          ...peers.map((name) => ({
            name,
            command: () => peerCommand(name),
            spec: { ...spec, check },
            calls,
          })),
        ],
        { rounds: ROUNDS, seconds: 45 },
        missing,
      );
      const shortest = (name: string): number => Math.min(...(turns.times.get(name) ?? []));
      const there = peers.filter((name) => has(turns, name));
      if (!has(turns, "lowrank") || there.length === 0) return [];
      const fastest = there.reduce((a, b) => (shortest(b) < shortest(a) ? b : a));
      return [
        {
          id,
          what: `full step of ${size} over the fastest JavaScript peer's (${fastest})`,
          unit: "ratio",
          figure: overOf(turns, "lowrank", fastest),
          measured: bests(turns),
        },
      ];
    },
  };
}

function decodeCase(size: "M" | "L"): Case {
  const id = `peer-decode-${size}`;
  return {
    name: id,
    ids: [id],
    run: async (missing) => {
      const spec: Spec = { kind: "decode", size, threads: 1, check: 8 };
      const peers = ["onnx-node", "onnx-web"];
      const turns = await takeTurns(
        [
          lowrank(spec, 1),
          ...peers.map((name) => ({ name, command: () => peerCommand(name), spec, calls: 1 })),
        ],
        { rounds: ROUNDS, seconds: 25 },
        missing,
      );
      if (!has(turns, "lowrank", "onnx-node")) return [];
      const tokens = Object.entries(bests(turns)).map(([name, time]) => [
        name.replace(/Ms$/, "TokensPerSecond"),
        (1000 * mostTokens(size)) / time,
      ]);
      return [
        {
          id,
          what: `greedy decoding of ${size}, speed over onnxruntime-node's`,
          unit: "times",
          figure: overOf(turns, "onnx-node", "lowrank"),
          measured: Object.fromEntries(tokens) as Record<string, number>,
        },
      ];
    },
  };
}

const opCase: Case = {
  name: "peer-op",
  ids: ["peer-op"],
  run: async (missing) => {
    const spec: Spec = { kind: "op", threads: 1, check: 0 };
    const calls = 50;
    const turns = await takeTurns(
      [lowrank(spec, calls), { name: "torch", command: () => torchCommand(1), spec, calls }],
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

const STARTERS = ["jax", "tfjs", "onnx-node"] as const;

const startCase: Case = {
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

/** Deno and Bun, each beside Node: the same step in the build that is the same everywhere. */
const runtimeCase: Case = {
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

export const peerCases: readonly Case[] = [
  ...SIZES.map((size) => loraCase(size, 1)),
  ...SIZES.map((size) => loraCase(size, 2)),
  ...SIZES.map(fullCase),
  ...(["M", "L"] as const).map(decodeCase),
  opCase,
  startCase,
  runtimeCase,
];
