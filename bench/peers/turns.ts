// Systems in turns: each gets a short turn in every round, of which its fastest run counts. A system takes part only
// when it computes what all compute: the losses of the first training steps, or the first tokens, are known.

import { setTimeout as sleep } from "node:timers/promises";
import { commonSizes } from "../../test/golden/common-model.ts";
import { type Figure, quotient } from "../figure.ts";
import { lowrankCommand, noteSystem, peerCommand, roofCommand, torchCommand } from "./have.ts";
import { type Command, type Ready, type Spec, type System, startSystem } from "./system.ts";

/** Losses agree to this share: sums of float32 in another order. */
const TOLERANCE = 1e-4;
/** So that threads which spin for a while after their work are asleep when the next system begins. */
const REST = 30;

/** A system in a case. */
export interface Contestant {
  readonly command: Command | (() => Command | Promise<Command>);
  readonly name: string;
  readonly spec: Spec;
  /** Runs in a turn. */
  readonly calls: number;
}

/** lowrank as a contestant. */
export function lowrank(spec: Spec, calls: number): Contestant {
  return { name: "lowrank", command: () => lowrankCommand(), spec, calls };
}

/** lowrank with vectors of 256 bits. */
export function lowrankWide(spec: Spec, calls: number): Contestant {
  const name = "lowrankWide";
  const wide = { ...spec, wideVectors: true };
  return { name, command: () => lowrankCommand(name), spec: wide, calls };
}

/** The arithmetic roof of one thread as a contestant. */
export function roof(calls: number): Contestant {
  const spec: Spec = { kind: "roof", threads: 1, check: 0 };
  return { name: "roof", command: roofCommand, spec, calls };
}

/** A JavaScript peer as a contestant. */
export function peer(name: string, spec: Spec, calls: number): Contestant {
  return { name, command: () => peerCommand(name), spec, calls };
}

/** PyTorch as a contestant. */
export function torch(spec: Spec, calls: number): Contestant {
  return { name: "torch", command: () => torchCommand(spec.threads), spec, calls };
}

/** Throws unless the system computed what is known. */
export function expectKnown(
  { size, method, check }: Spec,
  system: Pick<System, "name" | "ready">,
): void {
  const { losses, tokens } = system.ready;
  if (size === undefined) return;
  const common = commonSizes[size];
  if (losses !== undefined) {
    const known = common.losses[method ?? "lora"].slice(0, check);
    const agree = known.every((loss, i) => Math.abs((losses[i] ?? 0) - loss) <= TOLERANCE * loss);
    if (!agree) throw new Error(`Its losses are ${losses.join(" ")}, not ${known.join(" ")}.`);
  }
  if (tokens !== undefined) {
    const known = common.greedy?.slice(0, check) ?? [];
    if (known.some((token, i) => token !== tokens[i])) {
      throw new Error(`It decodes ${tokens.join(" ")}, not ${known.join(" ")}.`);
    }
  }
}

/** What a case's turns gave. */
export interface Turns {
  /** The fastest run of each round, in milliseconds, by name; of the systems that took part to the end. */
  readonly times: ReadonlyMap<string, readonly number[]>;
  /** The most resident memory of each, in MB. */
  readonly memory: ReadonlyMap<string, number>;
  /** What each said first. */
  readonly ready: ReadonlyMap<string, Ready>;
}

/** One system's time over another's. */
export function overOf({ times }: Turns, name: string, other: string): Figure {
  return quotient(times.get(name) ?? [], times.get(other) ?? []);
}

/** Runs the contestants in turns; who fails is told to `missing` and left out. */
export async function takeTurns(
  contestants: readonly Contestant[],
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
  missing: (what: string, why: string) => void,
): Promise<Turns> {
  const playing = new Map<Contestant, { system: System; times: number[] }>();
  const drop = async (one: Contestant, error: unknown): Promise<void> => {
    const why = error instanceof Error ? error.message : String(error);
    missing(
      `${one.name}, ${[one.spec.kind, one.spec.size, one.spec.method].join(" ").trim()}`,
      why,
    );
    await playing.get(one)?.system.close();
    playing.delete(one);
  };
  try {
    for (const one of contestants) {
      try {
        const command = typeof one.command === "function" ? await one.command() : one.command;
        const system = await startSystem(command, one.spec);
        playing.set(one, { system, times: [] });
        noteSystem(one.name, system.ready.version);
        expectKnown(one.spec, system);
        // The first turn is for compilers.
        if (one.calls > 1) await system.run(2 * one.calls);
      } catch (error) {
        await drop(one, error);
      }
    }
    const end = performance.now() + 1000 * seconds;
    for (let round = 0; round < rounds; round++) {
      if (round >= 3 && performance.now() > end) break;
      for (const [one, { system, times }] of [...playing]) {
        try {
          await sleep(REST);
          times.push(Math.min(...(await system.run(one.calls))));
        } catch (error) {
          await drop(one, error);
        }
      }
    }
    const memory = new Map<string, number>();
    for (const [one, { system }] of playing) memory.set(one.name, await system.peakMemory());
    const times = new Map([...playing].map(([{ name }, found]) => [name, found.times]));
    const ready = new Map([...playing].map(([{ name }, { system }]) => [name, system.ready]));
    return { times, memory, ready };
  } finally {
    for (const { system } of playing.values()) await system.close();
  }
}

/** Shortest run of each system, in milliseconds. */
export function bests({ times }: Turns): Record<string, number> {
  return Object.fromEntries([...times].map(([name, found]) => [`${name}Ms`, Math.min(...found)]));
}

/** Whether all of these took part to the end. */
export function has({ times }: Turns, ...names: readonly string[]): boolean {
  return names.every((name) => times.has(name));
}
