// The settings of a run: every one has a value after this, and one that makes sense.

import { UsageError } from "../core/error.ts";
import { expectBoolean, kindOf, wrongKind } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { optionName } from "../core/wording.ts";
import {
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  type Schedule,
} from "../optim/schedule.ts";
import { splitSeed } from "../tensor/random.ts";
import type { TrainerOptions } from "./progress.ts";

/** Complete and checked settings. */
export type Settings = Required<TrainerOptions>;

const OPTIONS: OptionNames<TrainerOptions> = {
  steps: true,
  lr: true,
  schedule: true,
  warmupSteps: true,
  weightDecay: true,
  betas: true,
  gradientAccumulation: true,
  maxGradNorm: true,
  gradientCheckpointing: true,
  full: true,
  seed: true,
};

/**
 * The settings of a run with their defaults.
 * @throws UsageError for an option that nobody knows, or a value that makes no sense
 */
export function settingsOf(options: TrainerOptions): Settings {
  expectOptions(options, OPTIONS, "Trainer");
  const { steps } = options;
  splitSeed(options.seed ?? 0);
  if (typeof steps !== "number")
    throw wrongKind(optionName("steps"), steps, "a whole number of at least 0");
  const settings: Settings = {
    steps,
    lr: options.lr ?? 2e-3,
    schedule: options.schedule ?? "cosine",
    // The first factor of a warm-up is 0: a run of one step goes without.
    warmupSteps: options.warmupSteps ?? Math.max(0, Math.min(Math.ceil(steps * 0.05), steps - 1)),
    weightDecay: options.weightDecay ?? 0.01,
    betas: options.betas ?? [0.9, 0.999],
    gradientAccumulation: options.gradientAccumulation ?? 1,
    maxGradNorm: options.maxGradNorm ?? 1,
    gradientCheckpointing: options.gradientCheckpointing ?? false,
    full: options.full ?? false,
    seed: options.seed ?? 0,
  };
  const whole = (name: "steps" | "warmupSteps" | "gradientAccumulation", least: number): void => {
    if (Number.isInteger(settings[name]) && settings[name] >= least) return;
    throw new UsageError(
      `${optionName(name)} is ${kindOf(settings[name])}; it must be a whole number of at least ${least}.`,
    );
  };
  expectBoolean(optionName("gradientCheckpointing"), settings.gradientCheckpointing);
  expectBoolean(optionName("full"), settings.full);
  whole("steps", 0);
  whole("warmupSteps", 0);
  whole("gradientAccumulation", 1);
  if (!(typeof settings.maxGradNorm === "number" && settings.maxGradNorm >= 0)) {
    throw new UsageError(
      `${optionName("maxGradNorm")} is ${kindOf(settings.maxGradNorm)}; it must be at least 0 (0: no clipping).`,
    );
  }
  return settings;
}

/** The schedule that the settings name. */
export function makeSchedule(settings: Settings): Schedule {
  const { schedule, steps, warmupSteps } = settings;
  if (schedule === "constant") return constantSchedule({ warmupSteps });
  if (schedule === "linear") return linearSchedule({ warmupSteps, steps });
  if (schedule === "cosine") return cosineSchedule({ warmupSteps, steps });
  throw new UsageError(
    `${optionName("schedule")} is ${kindOf(schedule)}; it must be "constant", "linear" or "cosine".`,
  );
}
