// A training step with LoRA beside a full one, and on two threads beside one: time of S, M and L in interleaved
// rounds, and memory above the weights. Each step has an engine of its own, so its counters are its own.
// By arithmetic a LoRA step takes 0.80, 0.75 and 0.70 of a full one.

import type { Engine } from "../../src/core/engine.ts";
import { commonSizes } from "../../test/golden/common-model.ts";
import { engineRoof, withEngines } from "../build.ts";
import { type Cores, FEWEST_CORES, withCores } from "../cores.ts";
import type { Case, Entry, Roof } from "../entry.ts";
import { counted } from "../figure.ts";
import { type Race, race } from "../race.ts";
import {
  forgetStart,
  fullStepOperations,
  type SizeName,
  startOf,
  trainingIn,
} from "../training.ts";

/** Rounds, calls a round, and the seconds after which no further round begins: a round of L takes several. */
const EFFORT = {
  S: { rounds: 30, calls: 4, seconds: 10 },
  M: { rounds: 30, calls: 1, seconds: 20 },
  L: { rounds: 30, calls: 1, seconds: 28 },
} as const;

const usesThreads = (name: SizeName): boolean => name !== "S";

/**
 * Bytes beside the base weights: what the engine has taken from the system since it began. Gradients, optimizer
 * states, activations and scratch are in it, and with LoRA the adapter.
 */
function memoryAbove(engine: Engine, name: SizeName): number {
  return engine.memoryBytes - 4 * commonSizes[name].parameters;
}

function memoryEntry(name: SizeName, full: Engine, lora: Engine): Entry {
  const bytes = (engine: Engine): number => memoryAbove(engine, name);
  const mega = (value: number): number => value / 2 ** 20;
  return {
    id: `lora-memory-${name}`,
    what: `memory above the weights, LoRA step over full step, ${name}`,
    unit: "ratio",
    figure: counted(bytes(lora) / bytes(full)),
    measured: {
      loraMB: mega(bytes(lora)),
      fullMB: mega(bytes(full)),
      loraArenaPeakMB: mega(lora.stats().arenaPeak),
      fullArenaPeakMB: mega(full.stats().arenaPeak),
    },
  };
}

function timeEntry(name: SizeName, run: Race): Entry {
  const roof: Roof = {
    speed: run.roof / 1e9,
    unit: "GFLOP/s",
    share: run.share("full").best,
    of: "the full step",
  };
  const [lora, full] = [run.times("lora"), run.times("full")];
  return {
    id: `lora-time-${name}`,
    what: `LoRA step over full step, ${name}`,
    unit: "ratio",
    figure: run.over("lora", "full"),
    roof,
    measured: {
      loraMs: lora.best,
      fullMs: full.best,
      loraMedianMs: lora.median,
      fullMedianMs: full.median,
    },
  };
}

function threadsEntry(name: SizeName, run: Race, cores: Cores): Entry {
  const gain = cores.gain(run).best;
  return {
    id: `threads-step-${name}`,
    what: `two threads over one, LoRA step, ${name}`,
    unit: "times",
    figure: run.over("lora", "lora on two"),
    roof: { speed: gain, unit: "times" },
    measured: { oneMs: run.times("lora").best, twoMs: run.times("lora on two").best },
    disturbed: gain < FEWEST_CORES,
  };
}

function measure(
  name: SizeName,
  cores: Cores,
  [full, lora, two]: readonly [Engine, Engine, Engine],
): Entry[] {
  const { rounds, calls, seconds } = EFFORT[name];
  const work = fullStepOperations(commonSizes[name]);
  const entrants = [
    { name: "full", work, calls, run: trainingIn(full, name, "full", startOf(name)) },
    { name: "lora", calls, run: trainingIn(lora, name, "lora", startOf(name)) },
    ...(usesThreads(name)
      ? [{ name: "lora on two", calls, run: trainingIn(two, name, "lora", startOf(name)) }]
      : []),
  ];
  forgetStart();
  const run = race(
    [
      ...entrants.map((entrant) => ({ ...entrant, run: () => void entrant.run() })),
      ...(usesThreads(name) ? cores.entrants : []),
    ],
    { rounds, seconds, roof: engineRoof(lora) },
  );
  return [
    timeEntry(name, run),
    ...(usesThreads(name) ? [memoryEntry(name, full, lora), threadsEntry(name, run, cores)] : []),
  ];
}

export const stepCases: readonly Case[] = (["S", "M", "L"] as const).map((name) => ({
  name: `steps-${name}`,
  ids: [
    `lora-time-${name}`,
    ...(usesThreads(name) ? [`lora-memory-${name}`, `threads-step-${name}`] : []),
  ],
  run: () =>
    withCores("relaxed", (cores) =>
      withEngines("relaxed", [1, 1, 2], (...engines) => measure(name, cores, engines)),
    ),
}));
