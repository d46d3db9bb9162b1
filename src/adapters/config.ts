// The options of LoRA (E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021), under
// PEFT's names in camelCase: y = x W^T + s (x A^T) B^T with A [r, in], B [out, r] and s = alpha / r, or
// alpha / sqrt(r) for rank-stabilised LoRA (D. Kalajdzievski, 2023). Every value is checked here, wherever
// it comes from: the caller of `injectLora`, or an adapter_config.json.
import { UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { isMap } from "../core/realm.ts";
import { optionName } from "../core/wording.ts";
import { expectPrepack, type PackOptions } from "../tensor/pack.ts";
import { Pattern } from "./pattern.ts";

/** The options of a LoRA adapter; all have PEFT's defaults. `prepack` is about this run, and not saved. */
export interface LoraOptions extends PackOptions {
  /** Rank of the update; default 8. */
  readonly r?: number;
  /** The update is scaled by `loraAlpha / r`; default 8. */
  readonly loraAlpha?: number;
  /** Probability with which an element of the input of A is dropped in training, in [0, 1); default 0. */
  readonly loraDropout?: number;
  /**
   * Which layers are adapted: a list of names (each the whole path of a module or its end after a dot), a
   * regular expression for whole paths, or "all-linear". Default: what PEFT takes for the model's type.
   */
  readonly targetModules?: string | readonly string[] | null;
  /** Which of those are left out: a list of names or a regular expression for whole paths. */
  readonly excludeModules?: string | readonly string[] | null;
  /** Adapt only layers with these numbers. */
  readonly layersToTransform?: number | readonly number[] | null;
  /** The name before the number of a layer, such as "layers" or "h"; only with `layersToTransform`. */
  readonly layersPattern?: string | readonly string[] | null;
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
export interface LoraConfig {
  readonly r: number;
  readonly loraAlpha: number;
  readonly loraDropout: number;
  readonly targetModules: string | readonly string[] | null;
  readonly excludeModules: string | readonly string[] | null;
  readonly layersToTransform: readonly number[] | null;
  readonly layersPattern: readonly string[] | null;
  readonly rankPattern: ReadonlyMap<string, number>;
  readonly alphaPattern: ReadonlyMap<string, number>;
  readonly useRslora: boolean;
  readonly initLoraWeights: boolean | "gaussian";
  readonly bias: "none";
  readonly fanInFanOut: boolean;
}

/** No weight matrix of a Transformer has a rank above this. */
export const MAX_RANK = 65_536;

/** The value of `targetModules` that stands for every linear layer except the output head. */
export const ALL_LINEAR = "all-linear";

const MAX_LAYER = 1_000_000;

/** Letters of all patterns of an option, each of which is compiled. */
const MAX_PATTERNS = 500_000;

const OPTIONS: OptionNames<LoraOptions> = {
  r: true,
  loraAlpha: true,
  loraDropout: true,
  targetModules: true,
  excludeModules: true,
  layersToTransform: true,
  layersPattern: true,
  rankPattern: true,
  alphaPattern: true,
  useRslora: true,
  initLoraWeights: true,
  bias: true,
  fanInFanOut: true,
  prepack: true,
};

/**
 * Checks options and fills in the defaults.
 * @throws UsageError that names the option, what was given and what is allowed
 */
export function resolveLoraConfig(options: LoraOptions = {}): LoraConfig {
  expectOptions(options, OPTIONS, "LoRA");
  expectPrepack(options);
  const config: LoraConfig = {
    r: rank("r", options.r ?? 8),
    loraAlpha: finite("loraAlpha", options.loraAlpha ?? 8),
    loraDropout: finite("loraDropout", options.loraDropout ?? 0),
    targetModules: selector("targetModules", options.targetModules ?? null),
    excludeModules: selector("excludeModules", options.excludeModules ?? null),
    layersToTransform: layerNumbers(options.layersToTransform ?? null),
    layersPattern: layerNames(options.layersPattern ?? null),
    rankPattern: patterns("rankPattern", options.rankPattern ?? {}, rank),
    alphaPattern: patterns("alphaPattern", options.alphaPattern ?? {}, finite),
    useRslora: flag("useRslora", options.useRslora ?? false),
    initLoraWeights: options.initLoraWeights ?? true,
    bias: options.bias ?? "none",
    fanInFanOut: flag("fanInFanOut", options.fanInFanOut ?? false),
  };
  if (config.loraDropout < 0 || config.loraDropout >= 1) {
    wrong("loraDropout", config.loraDropout, "a probability from 0 up to but not including 1");
  }
  if (!([true, false, "gaussian"] as unknown[]).includes(config.initLoraWeights)) {
    wrong("initLoraWeights", config.initLoraWeights, 'true, false or "gaussian"');
  }
  if (config.bias !== "none")
    wrong("bias", config.bias, '"none"; training biases is not supported');
  if (typeof config.targetModules === "string") {
    for (const key of ["layersToTransform", "layersPattern"] as const) {
      if (config[key] === null) continue;
      throw new UsageError(
        `${optionName(key)} cannot be combined with a ${optionName("targetModules")} that is a string: say which layers in the ` +
          `pattern, or give ${optionName("targetModules")} as a list of names.`,
      );
    }
  }
  if (config.layersPattern !== null && config.layersToTransform === null) {
    throw new UsageError(
      `${optionName("layersPattern")} needs ${optionName("layersToTransform")}: the numbers of the layers to adapt.`,
    );
  }
  return config;
}

function wrong(option: string, found: unknown, expected: string): never {
  const shown = Array.isArray(found)
    ? `[${found.map(kindOf).join(",").slice(0, 120)}]`
    : kindOf(found);
  throw new UsageError(`${optionName(option)} is ${shown}, but must be ${expected}.`);
}

function rank(option: string, value: unknown): number {
  if (typeof value === "number" && Number.isInteger(value) && value > 0 && value <= MAX_RANK) {
    return value;
  }
  return wrong(option, value, `a whole number from 1 to ${MAX_RANK}`);
}

function finite(option: string, value: unknown): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  return wrong(option, value, "a finite number");
}

function flag(option: string, value: unknown): boolean {
  return typeof value === "boolean" ? value : wrong(option, value, "true or false");
}

const isNames = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((name) => typeof name === "string" && name !== "");

function selector(option: string, value: unknown): string | readonly string[] | null {
  if (value === null) return null;
  if (isNames(value) && (value.length > 0 || option === "excludeModules")) return [...value];
  if (typeof value !== "string" || value === "") {
    return wrong(option, value, "a list of module names, or a regular expression for whole paths");
  }
  if (option === "targetModules" && value.toLowerCase() === ALL_LINEAR) return ALL_LINEAR;
  return new Pattern(value, optionName(option)).source;
}

function layerNumbers(value: unknown): readonly number[] | null {
  // As in PEFT, an empty list restricts nothing.
  const list = value === null || typeof value !== "number" ? value : [value];
  if (list === null || (Array.isArray(list) && list.length === 0)) return null;
  const isLayer = (item: unknown) =>
    Number.isInteger(item) && Number(item) >= 0 && Number(item) <= MAX_LAYER;
  if (Array.isArray(list) && list.every(isLayer)) return list.map(Number);
  return wrong("layersToTransform", value, "the number of a layer, from 0, or a list of them");
}

/** Throws when it has been given too many letters. */
function letterCounter(option: string): (pattern: string) => void {
  let letters = 0;
  return (pattern) => {
    letters += pattern.length;
    if (letters <= MAX_PATTERNS) return;
    throw new UsageError(
      `${optionName(option)} holds patterns of more than ${MAX_PATTERNS} letters together. Give fewer and shorter ones.`,
    );
  };
}

function layerNames(value: unknown): readonly string[] | null {
  const list = typeof value === "string" ? [value] : value;
  if (list === null || (Array.isArray(list) && list.length === 0) || value === "") return null;
  if (isNames(list)) {
    list.forEach(letterCounter("layersPattern"));
    return list.map((pattern) => new Pattern(pattern, optionName("layersPattern")).source);
  }
  return wrong(
    "layersPattern",
    value,
    "a pattern for the name before a layer's number, or a list of them",
  );
}

function patterns(
  option: string,
  value: unknown,
  check: (option: string, value: unknown) => number,
): ReadonlyMap<string, number> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return wrong(option, value, "an object from module name patterns to numbers");
  }
  const entries: Iterable<[string, unknown]> = isMap(value)
    ? (value as ReadonlyMap<string, unknown>)
    : Object.entries(value);
  const result = new Map<string, number>();
  const count = letterCounter(option);
  for (const [key, number] of entries) {
    count(key);
    new Pattern(key, `${optionName(option)} ${JSON.stringify(key)}`);
    result.set(key, check(`${optionName(option)} ${JSON.stringify(key)}`, number));
  }
  return result;
}
