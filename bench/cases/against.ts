// This checkout beside an older one that has been built: the same steps, decoding and small ops, each in a process of its
// own checkout, in turns. Everything is measured in two runs, and worse is only what is worse in both: the better run
// counts. A figure is the time now over the time before.

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Case, Entry } from "../entry.ts";
import type { Figure } from "../figure.ts";
import { lowrankCommand } from "../peers/have.ts";
import type { Command, Spec } from "../peers/system.ts";
import { bests, type Contestant, has, overOf, takeTurns } from "../peers/turns.ts";
import { startInTurns } from "../startup.ts";

/** A case of both checkouts: runs in a turn, and the seconds of each of the two runs. */
interface Pair {
  readonly id: string;
  readonly what: string;
  readonly spec: Spec;
  readonly calls: number;
  readonly seconds: number;
}

const ROUNDS = 40;
const START_ROUNDS = 20;
const WORKER = "dist/bench/peers/lowrank.js";

const step = (size: "S" | "M" | "L", spec: Partial<Spec> = {}): Spec => ({
  kind: "step",
  size,
  method: "lora",
  threads: 1,
  check: 3,
  ...spec,
});

const PAIRS: readonly Pair[] = [
  { id: "step-S", what: "LoRA step of S", spec: step("S"), calls: 10, seconds: 8 },
  { id: "step-M", what: "LoRA step of M", spec: step("M"), calls: 2, seconds: 12 },
  { id: "step-L", what: "LoRA step of L", spec: step("L"), calls: 1, seconds: 25 },
  {
    id: "step-M-baseline",
    what: "LoRA step of M, baseline build",
    spec: step("M", { build: "baseline" }),
    calls: 2,
    seconds: 12,
  },
  {
    id: "step-M-2",
    what: "LoRA step of M, two threads",
    spec: step("M", { threads: 2 }),
    calls: 2,
    seconds: 12,
  },
  {
    id: "full-M",
    what: "full step of M",
    spec: step("M", { method: "full" }),
    calls: 2,
    seconds: 15,
  },
  {
    id: "decode-M",
    what: "decoding of M",
    spec: { kind: "decode", size: "M", threads: 1, check: 8 },
    calls: 1,
    seconds: 12,
  },
  {
    id: "op-eager",
    what: "one small op with its gradient, eager",
    spec: { kind: "op", threads: 1, check: 0 },
    calls: 2000,
    seconds: 6,
  },
  {
    id: "op-replayed",
    what: "one small op with its gradient, replayed",
    spec: { kind: "op", threads: 1, check: 0, replayed: true },
    calls: 4000,
    seconds: 6,
  },
];

const ownRoot = fileURLToPath(new URL("../../..", import.meta.url));

/** @throws Error where the directory holds no checkout that has been built */
export function expectCheckout(directory: string): string {
  const root = resolve(directory);
  if (existsSync(join(root, WORKER))) return root;
  throw new Error(`${root} is no checkout that has been built: run npm install there first.`);
}

function contestant(name: string, root: string, { spec, calls }: Pair): Contestant {
  const command = async (): Promise<Command> => {
    const own = await lowrankCommand();
    return { ...own, arguments: [...own.arguments.slice(0, -1), join(root, WORKER)] };
  };
  return { name, command, spec, calls };
}

/** The better of two runs. */
function better(figures: readonly Figure[]): Figure | undefined {
  return figures.toSorted((a, b) => a.best - b.best)[0];
}

function pairCase(pair: Pair, root: string): Case {
  const id = `against-${pair.id}`;
  return {
    name: id,
    ids: [id],
    run: async (missing) => {
      const runs = [];
      for (let i = 0; i < 2; i++) {
        const both = [contestant("now", ownRoot, pair), contestant("before", root, pair)];
        const turns = await takeTurns(
          i === 0 ? both : both.toReversed(),
          { rounds: ROUNDS, seconds: pair.seconds },
          missing,
        );
        if (has(turns, "now", "before")) runs.push(turns);
      }
      const figure = better(runs.map((turns) => overOf(turns, "now", "before")));
      if (figure === undefined || runs.length < 2) return [];
      const measured = Object.fromEntries(
        runs.flatMap((turns, i) =>
          Object.entries(bests(turns)).map(([name, time]) => [`${name}Run${i + 1}`, time]),
        ),
      );
      const what = `${pair.what}, now over before, the better of two runs`;
      return [{ id, what, unit: "ratio", figure, measured } satisfies Entry];
    },
  };
}

function startCase(root: string): Case {
  const id = "against-start";
  return {
    name: id,
    ids: [id],
    run: async () => {
      const figures: Figure[] = [];
      for (let i = 0; i < 2; i++) {
        const [now = [], before = []] = await startInTurns(
          [ownRoot, root].map((checkout) => ({
            program: process.execPath,
            arguments: [join(checkout, "dist/bench/start/product.js")],
          })),
          START_ROUNDS,
        );
        figures.push(differenceOf(now, before));
      }
      const figure = better(figures);
      if (figure === undefined) return [];
      const what = "from process start to the first product, now above before, of two runs";
      return [{ id, what, unit: "ms", figure }];
    },
  };
}

function differenceOf(now: readonly number[], before: readonly number[]): Figure {
  const each = now.map((time, i) => time - (before[i] ?? Number.NaN)).toSorted((a, b) => a - b);
  const at = (share: number): number => each[Math.round(share * (each.length - 1))] ?? Number.NaN;
  return {
    best: Math.min(...now) - Math.min(...before),
    median: at(0.5),
    low: at(0.1),
    high: at(0.9),
    rounds: now.length,
  };
}

/** The cases of `--against DIR`. */
export function againstCases(directory: string): readonly Case[] {
  const root = expectCheckout(directory);
  return [...PAIRS.map((pair) => pairCase(pair, root)), startCase(root)];
}

/** Ids of the figures. */
export const againstIds: readonly string[] = [
  ...PAIRS.map(({ id }) => `against-${id}`),
  "against-start",
];
