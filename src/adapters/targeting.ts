// The options that say which modules an adapter is for. PEFT's methods share them.

import { UsageError } from "../core/error.ts";
import { optionName } from "../core/wording.ts";
import { boolean, type OptionRow, type OptionTable, wrong } from "./option.ts";
import { Pattern } from "./pattern.ts";
import { letterCounter } from "./patternMap.ts";

/** Names of modules: a list, a regular expression for whole paths, or null. */
export type Selector = string | readonly string[] | null;

/** Which modules an adapter is for, among those that can carry it. */
export interface TargetConfig {
  readonly targetModules: Selector;
  readonly excludeModules: Selector;
  readonly layersToTransform: readonly number[] | null;
  readonly layersPattern: readonly string[] | null;
}

/** What a method needs of it: some have fewer options. */
export type TargetChoice = Pick<TargetConfig, "targetModules"> & Partial<TargetConfig>;

/** The options of `TargetConfig` as a caller gives them. */
export interface TargetOptions {
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
}

/** The value of `targetModules` that stands for every linear layer except the output head. */
export const ALL_LINEAR = "all-linear";

const MAX_LAYER = 1_000_000;

/** The row of `targetModules`. */
export const targetRow: OptionRow<Selector> = {
  key: "target_modules",
  fallback: null,
  help: "layers to adapt: names with commas, a regular expression with ^ in front, or all-linear",
  check: (value, option) => selector(value, option, true),
  flag: { name: "targets", kind: "names" },
};

/** The row of `excludeModules`. */
export const excludeRow: OptionRow<Selector> = {
  key: "exclude_modules",
  fallback: null,
  help: "layers to leave out, in the same spelling",
  check: (value, option) => selector(value, option, false),
  flag: { name: "exclude", kind: "names" },
};

/** The rows of `TargetConfig`. */
export const targetRows: OptionTable<TargetConfig> = {
  targetModules: targetRow,
  excludeModules: excludeRow,
  layersToTransform: {
    key: "layers_to_transform",
    fallback: null,
    help: "numbers of the layers to adapt",
    check: layerNumbers,
  },
  layersPattern: {
    key: "layers_pattern",
    fallback: null,
    help: "the name before the number of a layer",
    check: layerNames,
  },
};

/** The row of `fanInFanOut`, which PEFT sets where the base's weights lie as [in, out] (GPT-2). */
export const fanInFanOutRow: OptionRow<boolean> = {
  key: "fan_in_fan_out",
  fallback: false,
  help: "the base's weights lie as [in, out]",
  check: boolean,
};

/** A config as it is saved: with the names of the targets, and with how their weights lie. */
export function savedConfig<C extends object>(
  config: C,
  targetModules: readonly string[],
  fanInFanOut: boolean,
): C {
  return {
    ...config,
    ...(isTargetConfig(config) && isByDefault(config) ? { targetModules } : {}),
    ...("fanInFanOut" in config ? { fanInFanOut } : {}),
  };
}

/** Whether a config says which modules it is for. */
export function isTargetConfig(config: object): config is TargetChoice {
  return "targetModules" in config;
}

/** PEFT saves names, also where the options left the choice to a default or to "all-linear". */
const isByDefault = ({ targetModules }: TargetChoice): boolean =>
  targetModules === null || targetModules === ALL_LINEAR;

/** Throws for options that do not go together. */
export function checkTargets(config: TargetChoice): void {
  if (typeof config.targetModules === "string") {
    for (const key of ["layersToTransform", "layersPattern"] as const) {
      if ((config[key] ?? null) === null) continue;
      throw new UsageError(
        `${optionName(key)} cannot be combined with a ${optionName("targetModules")} that is a string: say which layers in the ` +
          `pattern, or give ${optionName("targetModules")} as a list of names.`,
      );
    }
  }
  const { layersPattern = null, layersToTransform = null } = config;
  if (layersPattern !== null && layersToTransform === null) {
    throw new UsageError(
      `${optionName("layersPattern")} needs ${optionName("layersToTransform")}: the numbers of the layers to adapt.`,
    );
  }
}

const isNames = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((name) => typeof name === "string" && name !== "");

/** A check for names or a pattern; `isWanted`: the list may not be empty, and "all-linear" is one of the values. */
export function selector(value: unknown, option: string, isWanted: boolean): Selector {
  if (isNames(value) && (value.length > 0 || !isWanted)) return [...value];
  if (typeof value !== "string" || value === "") {
    return wrong(option, value, "a list of module names, or a regular expression for whole paths");
  }
  if (isWanted && value.toLowerCase() === ALL_LINEAR) return ALL_LINEAR;
  return new Pattern(value, option).source;
}

function layerNumbers(value: unknown, option: string): readonly number[] | null {
  const list = typeof value === "number" ? [value] : value;
  // As in PEFT, an empty list restricts nothing.
  if (Array.isArray(list) && list.length === 0) return null;
  const isLayer = (item: unknown) =>
    Number.isInteger(item) && Number(item) >= 0 && Number(item) <= MAX_LAYER;
  if (Array.isArray(list) && list.every(isLayer)) return list.map(Number);
  return wrong(option, value, "the number of a layer, from 0, or a list of them");
}

function layerNames(value: unknown, option: string): readonly string[] | null {
  const list = typeof value === "string" ? [value] : value;
  if ((Array.isArray(list) && list.length === 0) || value === "") return null;
  if (isNames(list)) {
    list.forEach(letterCounter(option));
    return list.map((pattern) => new Pattern(pattern, option).source);
  }
  return wrong(option, value, "a pattern for the name before a layer's number, or a list of them");
}
