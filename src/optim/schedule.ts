// Learning-rate schedules in the form of transformers: pure functions from the number of steps done to the factor
// that the rates are multiplied by in the next step.
//   warm-up    done / warmupSteps while done < warmupSteps, so that the first step has rate 0
//   constant   1
//   linear     (steps − done) / (steps − warmupSteps), 0 from `steps` on
//   cosine     (1 + cos(π·(done − warmupSteps) / (steps − warmupSteps))) / 2, 0 from `steps` on

import { current } from "../core/engine.ts";
import { UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { optionName } from "../core/wording.ts";

/** The factor of the step that follows `step` steps. */
export type Schedule = (step: number) => number;

/** A schedule's warm-up. */
export interface WarmupOptions {
  /** Steps in which the factor rises from 0 to 1; default 0. */
  readonly warmupSteps?: number;
}

/** A schedule that decays after its warm-up. */
export interface DecayOptions extends WarmupOptions {
  /** Steps of the whole run, warm-up included; the factor is 0 from there on. */
  readonly steps: number;
}

const WARMUP_OPTIONS: OptionNames<WarmupOptions> = { warmupSteps: true };
const DECAY_OPTIONS: OptionNames<DecayOptions> = { ...WARMUP_OPTIONS, steps: true };

function expectWhole(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw new UsageError(`${name} is ${kindOf(value)}; it must be a whole number of at least 0.`);
}

/** `after` gets the steps done since the warm-up. */
function withWarmup(options: WarmupOptions, after: (done: number) => number): Schedule {
  const { warmupSteps = 0 } = options;
  expectWhole(optionName("warmupSteps"), warmupSteps);
  return (step) => {
    expectWhole("The schedule's step", step);
    return step < warmupSteps ? step / warmupSteps : after(step - warmupSteps);
  };
}

function withDecay(
  name: string,
  options: DecayOptions,
  decay: (done: number, length: number) => number,
): Schedule {
  expectOptions(options, DECAY_OPTIONS, name);
  const { steps, warmupSteps = 0 } = options;
  expectWhole(optionName("steps"), steps);
  expectWhole(optionName("warmupSteps"), warmupSteps);
  const length = steps - warmupSteps;
  return withWarmup(options, (done) => (done >= length ? 0 : decay(done, length)));
}

/** Factor 1 after the warm-up. */
export function constantSchedule(options: WarmupOptions = {}): Schedule {
  expectOptions(options, WARMUP_OPTIONS, "constantSchedule");
  return withWarmup(options, () => 1);
}

/** A straight fall from 1 after the warm-up to 0 after the last step. */
export function linearSchedule(options: DecayOptions): Schedule {
  return withDecay("linearSchedule", options, (done, length) => (length - done) / length);
}

/** Half a cosine from 1 after the warm-up to 0 after the last step. */
export function cosineSchedule(options: DecayOptions): Schedule {
  return withDecay(
    "cosineSchedule",
    options,
    (done, length) => 0.5 * (1 + current().wasm.f64Cos(Math.PI * (done / length))),
  );
}
