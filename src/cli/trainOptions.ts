// The options of `lowrank train`: those that decide what the run computes, and those about this process alone. A run
// keeps the first kind beside its checkpoints, as words of a command line, so that `--resume` needs none of them again.

import { CHECKPOINT_EVERY, LORA, MOST, OUT, RUN, SAMPLE, VALIDATION } from "./defaults.ts";
import {
  choice,
  count,
  flag,
  flagOf,
  names,
  type OptionsFor,
  real,
  setting,
  target,
  text,
} from "./option.ts";
import { dataOption, engineOptions, jsonOption, modelOption } from "./session.ts";

type Names = string | readonly string[];

/** What the run computes; the same values give the same adapter. */
export interface RunValues {
  readonly model: string | undefined;
  readonly data: string | undefined;
  readonly r: number;
  readonly alpha: number;
  readonly dropout: number;
  readonly targets: Names;
  readonly exclude: Names | undefined;
  readonly rslora: boolean;
  readonly full: boolean;
  readonly steps: number;
  readonly lr: number | undefined;
  readonly schedule: "constant" | "linear" | "cosine";
  readonly warmup: number | undefined;
  readonly weightDecay: number;
  readonly maxGradNorm: number;
  readonly batchSize: number;
  readonly blockSize: number | undefined;
  readonly accumulate: number;
  readonly validation: number;
  readonly seed: number;
  readonly deterministic: boolean;
}

/** How this process goes about it. */
export interface TrainValues extends RunValues {
  /** Undefined: the next place that is free. */
  readonly out: string | undefined;
  readonly resume: boolean;
  readonly overwrite: boolean;
  readonly checkpointEvery: number;
  readonly evalEvery: number;
  readonly samplePrompt: string | undefined;
  readonly maxNewTokens: number;
  readonly gradientCheckpointing: boolean;
  readonly threads: number | undefined;
  readonly wideVectors: boolean;
  readonly json: boolean;
}

/** The options that a run keeps. */
export const runOptions: OptionsFor<RunValues> = {
  model: modelOption,
  data: dataOption,
  r: count(LORA.r, { least: 1, most: MOST.rank }, "rank of the update"),
  alpha: setting("loraAlpha", real(LORA.alpha, {}, "the update is scaled by alpha / r")),
  dropout: setting(
    "loraDropout",
    real(LORA.dropout, { least: 0, below: 1 }, "dropout on the adapter's input while training"),
  ),
  targets: setting(
    "targetModules",
    names(
      LORA.targets,
      "layers to adapt: names with commas, a regular expression with ^ in front, or all-linear",
    ),
  ),
  exclude: setting("excludeModules", names(undefined, "layers to leave out, in the same spelling")),
  rslora: setting("useRslora", flag("scale by alpha / sqrt(r) instead (rank-stabilised LoRA)")),
  full: flag("train every weight instead of an adapter"),
  steps: count(RUN.steps, { least: 1, most: MOST.steps }, "optimizer steps"),
  lr: real(
    undefined,
    { least: 0, shown: `${RUN.lr}, with --full ${RUN.fullLr}` },
    "peak learning rate of AdamW",
  ),
  schedule: choice(["constant", "linear", "cosine"], RUN.schedule, "the rate after warm-up"),
  warmup: setting(
    "warmupSteps",
    count(
      undefined,
      { most: MOST.steps, shown: "5 % of the steps" },
      "steps in which the rate rises from 0",
    ),
  ),
  weightDecay: real(RUN.weightDecay, { least: 0 }, "decoupled decay of matrices"),
  maxGradNorm: real(
    RUN.maxGradNorm,
    { least: 0 },
    "scale gradients down to this norm; 0 for no clipping",
  ),
  batchSize: count(RUN.batchSize, { least: 1, most: MOST.batchTokens }, "rows in a batch"),
  blockSize: count(
    undefined,
    { least: 1, most: MOST.batchTokens, shown: `${RUN.blockSize}, or what the model takes` },
    "tokens in a row",
  ),
  accumulate: setting(
    "gradientAccumulation",
    count(RUN.accumulate, { least: 1, most: MOST.batches }, "batches for one step"),
  ),
  validation: real(VALIDATION, { least: 0, below: 1 }, "the part of the text to hold out"),
  seed: count(RUN.seed, {}, "seed of the data's order, the adapter's initial values and dropout"),
  deterministic: engineOptions.deterministic,
};

/** All options of the command. */
export const trainOptions: OptionsFor<TrainValues> = {
  ...runOptions,
  out: target(
    "DIR",
    "where the adapter, the merged model and the checkpoints go",
    `${OUT}, or the next free of ${OUT}-2, ${OUT}-3, …`,
  ),
  resume: flag(
    "go on with the run in --out, or with the newest unfinished one, from its last checkpoint; its options are " +
      "remembered, and only --lr may be another",
  ),
  overwrite: flag("replace the run in --out; its adapter and models stay until there are new ones"),
  gradientCheckpointing: flag(
    "run blocks again in backward: less memory, more time, the same bits",
  ),
  checkpointEvery: count(
    CHECKPOINT_EVERY,
    { least: 1, most: MOST.steps },
    "steps from one checkpoint to the next",
  ),
  evalEvery: count(
    0,
    { most: MOST.steps, shown: "before and after" },
    "steps from one held-out loss to the next",
  ),
  samplePrompt: text(
    "TEXT",
    "beginning of the samples before and after (default a few words of the text)",
  ),
  maxNewTokens: count(
    SAMPLE.maxNewTokens,
    { most: MOST.newTokens },
    "tokens of a sample; 0 for none",
  ),
  threads: engineOptions.threads,
  wideVectors: engineOptions.wideVectors,
  json: jsonOption,
};

/** The values as words of a command line, which read back the same. */
export function toWords(values: RunValues): string[] {
  return (Object.keys(runOptions) as (keyof RunValues)[]).flatMap((key) => {
    const value = values[key];
    if (value === undefined || value === false) return [];
    return value === true ? [flagOf(key)] : [`${flagOf(key)}=${toWord(key, value)}`];
  });
}

function toWord(key: keyof RunValues, value: string | number | readonly string[]): string {
  if (typeof value === "object") return value.join(",");
  const isPattern = (key === "targets" || key === "exclude") && value !== "all-linear";
  return isPattern ? `^${value}` : String(value);
}
