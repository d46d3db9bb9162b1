// The options of LoRA adapters (Hu et al. 2021, arXiv:2106.09685): PEFT's names, defaults and rules.

import { UsageError } from "../core/error.ts";
import type { PackOptions } from "../tensor/pack.ts";
import {
  boolean,
  finite,
  type OptionTable,
  probability,
  resolveOptions,
  whole,
  wrong,
} from "./option.ts";
import { type KeyedNumbers, keyedNumbers } from "./patternMap.ts";
import {
  checkTargets,
  fanInFanOutRow,
  type TargetConfig,
  type TargetOptions,
  targetRows,
} from "./targeting.ts";

/** The options of a LoRA adapter; all have PEFT's defaults. `prepack` is about this run, and not saved. */
export interface LoraOptions extends TargetOptions, PackOptions {
  /** Rank of the update; default 8. */
  readonly r?: number;
  /** The update is scaled by `loraAlpha / r`; default 8. */
  readonly loraAlpha?: number;
  /** Probability with which an element of the input of A is dropped in training, in [0, 1); default 0. */
  readonly loraDropout?: number;
  /** Ranks of single modules, by a pattern for the end of their path; the first match counts. */
  readonly rankPattern?: Readonly<Record<string, number>> | ReadonlyMap<string, number>;
  /** Alphas of single modules, in the same way. */
  readonly alphaPattern?: Readonly<Record<string, number>> | ReadonlyMap<string, number>;
  /** Scale by `loraAlpha / sqrt(r)` instead; default false. */
  readonly useRslora?: boolean;
  /** A fresh adapter: true = A uniform and B zero, "gaussian" = A normal / r and B zero, false = both random. */
  readonly initLoraWeights?: boolean | "gaussian";
  /** Biases to train as well; only "none" is supported. */
  readonly bias?: "none";
  /** Kept for PEFT, which stores here that the base's weights lie as [in, out] (GPT-2); default false. */
  readonly fanInFanOut?: boolean;
}

/** Complete and checked options. */
export interface LoraConfig extends TargetConfig {
  readonly r: number;
  readonly loraAlpha: number;
  readonly loraDropout: number;
  readonly useRslora: boolean;
  readonly rankPattern: KeyedNumbers;
  readonly alphaPattern: KeyedNumbers;
  readonly initLoraWeights: boolean | "gaussian";
  readonly bias: "none";
  readonly fanInFanOut: boolean;
}

/** No weight matrix of a Transformer has a rank above this. */
export const MAX_RANK = 65_536;

const rank = whole(1, MAX_RANK);

/** Ways to start that leave the base as it is. */
const HARMLESS_STARTS = ["gaussian", "eva", "orthogonal", "mica"];

/** Ways that change it, by the beginning of their names. */
const CHANGING_STARTS: readonly (readonly [string, string])[] = [
  ["pissa", "PiSSA"],
  ["olora", "OLoRA"],
  ["corda", "CorDA"],
  ["loftq", "LoftQ"],
  ["lora_ga", "LoRA-GA"],
];

/**
 * How a stored adapter started. Some ways take a part out of the base weights, and the adapter is only right on what is
 * left of them; PEFT writes true for one that was converted to the whole base when it was saved.
 */
function startOf(value: unknown): unknown {
  if (typeof value !== "string" || value === "gaussian") return value;
  if (HARMLESS_STARTS.includes(value.toLowerCase())) return true;
  const known = CHANGING_STARTS.find(([start]) => value.toLowerCase().startsWith(start));
  const what =
    known === undefined
      ? "it is not known, and may change the base weights as well"
      : `${known[1]} changes the base weights as well`;
  throw new UsageError(
    `"init_lora_weights" is ${JSON.stringify(value)}: ${what}, which is not supported. Save the adapter with ` +
      "PEFT's path_initial_model_for_weight_conversion, or merge it into its base with PEFT and load the merged model.",
  );
}

/** One row for each option. */
export const loraTable: OptionTable<LoraConfig> = {
  r: {
    key: "r",
    fallback: 8,
    help: "rank of the update",
    check: rank,
    flag: { name: "r", kind: "number" },
    trains: true,
  },
  loraAlpha: {
    key: "lora_alpha",
    fallback: 8,
    help: "the update is scaled by alpha / r",
    check: finite,
    flag: { name: "alpha", kind: "number" },
    trains: true,
  },
  loraDropout: {
    key: "lora_dropout",
    fallback: 0,
    help: "dropout on the adapter's input while training",
    check: probability,
    flag: { name: "dropout", kind: "number" },
    trains: true,
    float: true,
  },
  useRslora: {
    key: "use_rslora",
    fallback: false,
    help: "scale by alpha / sqrt(r) instead (rank-stabilised LoRA)",
    check: boolean,
    flag: { name: "rslora", kind: "switch" },
    trains: true,
  },
  rankPattern: {
    key: "rank_pattern",
    fallback: new Map(),
    help: "ranks of single modules, by a pattern for the end of their path",
    check: (value, option) => keyedNumbers(value, option, rank),
    trains: true,
  },
  alphaPattern: {
    key: "alpha_pattern",
    fallback: new Map(),
    help: "alphas of single modules, in the same way",
    check: (value, option) => keyedNumbers(value, option, finite),
    trains: true,
  },
  ...targetRows,
  initLoraWeights: {
    key: "init_lora_weights",
    fallback: true,
    help: "initial values: true, false or gaussian",
    check: (value, option) =>
      value === "gaussian" || typeof value === "boolean"
        ? value
        : wrong(option, value, 'true, false or "gaussian"'),
    stored: startOf,
  },
  bias: {
    key: "bias",
    fallback: "none",
    help: "biases to train as well",
    check: (value, option) =>
      value === "none" ? value : wrong(option, value, '"none"; training biases is not supported'),
    // PEFT says so also where the model has no biases; those in a file are refused.
    stored: (value) => (value === "all" || value === "lora_only" ? "none" : value),
    storedRemark: (value) =>
      value === "all" || value === "lora_only"
        ? `"bias" is "${value}"; trained biases are not supported, and an adapter that holds some is refused.`
        : null,
  },
  fanInFanOut: fanInFanOutRow,
};

/** Checks options and fills in the defaults. */
export function resolveLoraConfig(given: LoraOptions = {}): LoraConfig {
  const config = resolveOptions(loraTable, given, "LoRA");
  checkTargets(config);
  return config;
}
