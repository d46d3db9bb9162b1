// Which modules of a model an adapter config means, and the rank and scale of each, by PEFT's rules
// (peft, `tuners/tuners_utils.py`, check_target_module_exists; `utils/other.py`, get_pattern_key):
//   excluded   a name of the list, its end after a dot, or a pattern for the whole path
//   targeted   likewise; "all-linear" means every linear layer except the output head
//   layers     with layersToTransform, the first number that follows two names, or a name of layersPattern
//   r, alpha   of the first key of rankPattern, alphaPattern that matches the end of the path
import { UsageError } from "../core/error.ts";
import { nearestNames } from "../core/nearest.ts";
import { ALL_LINEAR, type LoraConfig } from "./config.ts";
import { Pattern } from "./pattern.ts";

/** A module of a model: the dotted path of its name, and what it is. */
export interface ModulePath {
  readonly path: string;
  /** Adapters go onto `linear` and, when named, onto the `head`; everything else cannot carry one. */
  readonly kind: "linear" | "head" | "embedding" | "other";
}

/** A module that gets an adapter, with its own rank, alpha and scale s. */
export interface Target {
  readonly path: string;
  readonly r: number;
  readonly alpha: number;
  readonly scale: number;
}

/** Targets in the order of the modules, and remarks on options without effect. */
export interface Targets {
  readonly targets: Target[];
  readonly warnings: string[];
}

/** What PEFT adapts in a model of this type when `targetModules` is not given. */
export const defaultTargets: Readonly<Record<string, readonly string[]>> = {
  gpt2: ["c_attn"],
  llama: ["q_proj", "v_proj"],
  mistral: ["q_proj", "v_proj"],
  qwen2: ["q_proj", "v_proj"],
};

type Test = (path: string) => boolean;

/**
 * Finds the modules that `config` means.
 * @param modelType chooses the default when `config.targetModules` is null
 * @throws UsageError when nothing matches, with the names that exist, or when something matches that
 *   cannot carry an adapter
 */
export function matchTargets(
  modules: readonly ModulePath[],
  config: LoraConfig,
  modelType = "",
): Targets {
  const wanted = config.targetModules ?? defaultsFor(modelType);
  const isExcluded = selects(config.excludeModules ?? [], "excludeModules");
  const isTarget = isWanted(wanted, layerFilter(config));
  const excluded = modules.filter(({ path }) => isExcluded(path));
  const allowed = modules.filter(({ path }) => !isExcluded(path));
  const matched =
    wanted === ALL_LINEAR
      ? allowed.filter(({ kind }) => kind === "linear")
      : allowed.filter(({ path }) => isTarget(path));
  if (matched.length === 0) throw nothingMatches(modules, wanted, config);
  const unfit = matched.filter(({ kind }) => kind !== "linear" && kind !== "head");
  if (unfit.length > 0) {
    throw new UsageError(
      `targetModules ${JSON.stringify(wanted)} also matches ${listed(unfit.map(({ path }) => path))}, and ` +
        "only linear layers can carry a LoRA adapter. Name the linear layers alone.",
    );
  }
  const paths = matched.map(({ path }) => path);
  const warnings = uselessOptions(paths, modules, wanted, config, excluded.length);
  const rankOf = firstMatch(config.rankPattern, "rankPattern");
  const alphaOf = firstMatch(config.alphaPattern, "alphaPattern");
  const targets = paths.map((path): Target => {
    const r = rankOf(path) ?? config.r;
    const alpha = alphaOf(path) ?? config.loraAlpha;
    return { path, r, alpha, scale: alpha / (config.useRslora ? Math.sqrt(r) : r) };
  });
  return { targets, warnings };
}

function defaultsFor(modelType: string): readonly string[] {
  const names = Object.hasOwn(defaultTargets, modelType) ? defaultTargets[modelType] : undefined;
  if (names !== undefined) return names;
  throw new UsageError(
    `There are no default targetModules for a model of the type ${JSON.stringify(modelType)}; give a list of ` +
      'module names, a regular expression for whole paths, or "all-linear".',
  );
}

const endsWith = (path: string, name: string) => path === name || path.endsWith(`.${name}`);

function selects(selector: string | readonly string[], option: string): Test {
  if (typeof selector !== "string") return (path) => selector.some((name) => endsWith(path, name));
  const pattern = new Pattern(selector, option);
  return (path) => pattern.matches(path);
}

/** A whole path in the list counts in every layer; the end of a path only in the layers asked for. */
function isWanted(wanted: string | readonly string[], inLayers: Test): Test {
  const isSelected = selects(wanted, "targetModules");
  const whole = new Set(typeof wanted === "string" ? [] : wanted);
  return (path) => whole.has(path) || (isSelected(path) && inLayers(path));
}

function layerFilter({ layersToTransform, layersPattern }: LoraConfig): Test {
  if (layersToTransform === null) return () => true;
  const names = layersPattern?.map((name) => new Pattern(name, "layersPattern")) ?? null;
  return (path) => {
    const index = names === null ? firstNumber(path) : numberAfter(path, names);
    return index !== null && layersToTransform.includes(index);
  };
}

/** The layer as PEFT's `.*?\.[^.]*\.(\d+)\.` finds it. */
function firstNumber(path: string): number | null {
  const parts = path.split(".");
  const found = parts.find((part, i) => i >= 2 && i < parts.length - 1 && /^\d+$/.test(part));
  return found === undefined ? null : Number(found);
}

/** The layer as PEFT's `(?:^|.*?\.)NAME\.(\d+)\.` finds it, for the first name that occurs. */
function numberAfter(path: string, names: readonly Pattern[]): number | null {
  const starts = startsOfParts(path);
  for (const name of names) {
    for (const start of starts) {
      const ends = [...name.ends(path, [start])].sort((a, b) => b - a);
      for (const end of ends) {
        const match = /^\.(\d+)\./.exec(path.slice(end));
        if (match !== null) return Number(match[1]);
      }
    }
  }
  return null;
}

function startsOfParts(path: string): number[] {
  const starts = [0];
  for (let i = 0; i < path.length; i++) if (path[i] === ".") starts.push(i + 1);
  return starts;
}

/** The value of the first key that matches `(.*\.)?(KEY)$`; the order of the keys counts. */
function firstMatch(
  values: ReadonlyMap<string, number>,
  option: string,
): (path: string) => number | undefined {
  const patterns = [...values].map(([key, value]) => ({
    pattern: new Pattern(key, option),
    value,
  }));
  return (path) => patterns.find(({ pattern }) => matchesEnd(pattern, path))?.value;
}

function matchesEnd(pattern: Pattern, path: string): boolean {
  return pattern.ends(path, startsOfParts(path)).has(path.length);
}

function uselessOptions(
  targets: readonly string[],
  modules: readonly ModulePath[],
  wanted: string | readonly string[],
  config: LoraConfig,
  excluded: number,
): string[] {
  const warnings: string[] = [];
  if (typeof wanted !== "string") {
    for (const name of wanted) {
      if (modules.some(({ path }) => endsWith(path, name))) continue;
      warnings.push(
        `targetModules ${JSON.stringify(name)} matches no module; ${existing(modules, name)}.`,
      );
    }
  }
  if (config.excludeModules !== null && config.excludeModules.length > 0 && excluded === 0) {
    warnings.push(`excludeModules ${JSON.stringify(config.excludeModules)} excludes no module.`);
  }
  for (const option of ["rankPattern", "alphaPattern"] as const) {
    for (const key of config[option].keys()) {
      const pattern = new Pattern(key, option);
      if (targets.some((path) => matchesEnd(pattern, path))) continue;
      warnings.push(
        `${option} ${JSON.stringify(key)} matches no adapted module; ` +
          `${existing(
            modules.filter(({ path }) => targets.includes(path)),
            key,
          )}.`,
      );
    }
  }
  return warnings;
}

function nothingMatches(
  modules: readonly ModulePath[],
  wanted: string | readonly string[],
  config: LoraConfig,
): UsageError {
  const also = (["excludeModules", "layersToTransform", "layersPattern"] as const)
    .filter((key) => config[key] !== null)
    .map((key) => ` with ${key} ${JSON.stringify(config[key])}`);
  const isPattern = typeof wanted === "string" && wanted !== ALL_LINEAR;
  return new UsageError(
    `targetModules ${JSON.stringify(wanted)}${also.join("")} matches no module of this model; ` +
      `${existing(modules, typeof wanted === "string" ? wanted : wanted[0]!)}.` +
      (isPattern
        ? " A string is a regular expression for the whole path; give names as a list."
        : ""),
  );
}

/** The names that exist, nearest first, and one whole path as an example. */
function existing(modules: readonly ModulePath[], wanted: string): string {
  const fit = modules.filter(({ kind }) => kind === "linear" || kind === "head");
  const names = new Set(fit.map(({ path }) => path.slice(path.lastIndexOf(".") + 1)));
  const sorted = nearestNames(wanted.slice(wanted.lastIndexOf(".") + 1), names);
  if (sorted.length === 0) return "the model has no linear layers";
  const example = fit.find(({ path }) => endsWith(path, sorted[0]!))!.path;
  return `the linear layers are called ${listed(sorted)} (such as ${JSON.stringify(example)})`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 20).map((name) => JSON.stringify(name));
  return names.length > 20 ? `${shown.join(", ")} and ${names.length - 20} more` : shown.join(", ");
}
