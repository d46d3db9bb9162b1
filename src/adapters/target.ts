// Which modules of a model an adapter config means, by PEFT's rules (peft, `tuners/tuners_utils.py`,
// check_target_module_exists):
//   excluded   a name of the list, its end after a dot, or a pattern for the whole path
//   targeted   likewise; "all-linear" means every linear layer except the output head
//   layers     with layersToTransform, the first number that follows two names, or a name of layersPattern
import { UsageError } from "../core/error.ts";
import { nearestNames } from "../core/nearest.ts";
import { optionName } from "../core/wording.ts";
import type { AdapterMethod, SiteKind } from "./method.ts";
import { Pattern, Steps } from "./pattern.ts";
import { startsOfParts } from "./patternMap.ts";
import { ALL_LINEAR, type TargetChoice } from "./targeting.ts";

/** The most names or keys of a kind that remarks are made on. */
const LISTED = 20;
/** The most names that a wrong one is compared with; models have about ten. */
const COMPARED = 100;

/** A module of a model: the dotted path of its name, and what it is. */
export interface ModulePath {
  readonly path: string;
  readonly kind: SiteKind | "other";
}

/** Paths in the order of the modules, and remarks on options without effect. */
export interface Targets {
  readonly paths: string[];
  readonly warnings: string[];
}

/** What of a method decides about targets. */
export type Targeting = Pick<AdapterMethod<object>, "name" | "sites" | "defaultTargets">;

type Test = (path: string) => boolean;

/**
 * Finds the modules that `config` means.
 * @param modelType chooses the default when `config.targetModules` is null
 * @throws UsageError when nothing matches, with the names that exist, when something matches that
 *   cannot carry an adapter, or when the patterns take too long
 */
export function matchTargets(
  modules: readonly ModulePath[],
  config: TargetChoice,
  method: Targeting,
  modelType = "",
): Targets {
  const steps = new Steps();
  const wanted = config.targetModules ?? defaultsFor(method, modelType);
  const exclude = selects(config.excludeModules ?? [], "excludeModules", steps);
  const include = selects(wanted, "targetModules", steps);
  const isTarget = isWanted(wanted, include, layerFilter(config, steps));
  const matched: ModulePath[] = [];
  for (const module of modules) {
    if (exclude.selects(module.path)) continue;
    const fits = wanted === ALL_LINEAR ? module.kind === "linear" : isTarget(module.path);
    if (fits) matched.push(module);
  }
  if (matched.length === 0) throw nothingMatches(modules, wanted, config);
  const unfit = matched.filter(({ kind }) => !isSite(method, kind));
  if (unfit.length > 0) {
    throw new UsageError(
      `${optionName("targetModules")} ${shortly(wanted)} also matches ${listed(unfit.map(({ path }) => path))}, and ` +
        `only ${kindsOf(method)} can carry a ${method.name} adapter. Name these only.`,
    );
  }
  const warnings: string[] = [];
  if (wanted !== ALL_LINEAR) {
    // A name may be that of a module which is left out: ask all.
    for (const { path } of modules) include.selects(path);
    for (const name of capped(
      include.unused(),
      warnings,
      `names of ${optionName("targetModules")} match no module`,
    )) {
      warnings.push(
        `${optionName("targetModules")} ${JSON.stringify(name)} matches no module; ${existing(modules, name)}.`,
      );
    }
  }
  const { excludeModules = null } = config;
  if (excludeModules !== null && excludeModules.length > 0 && !exclude.hasSelected()) {
    warnings.push(`${optionName("excludeModules")} ${shortly(excludeModules)} excludes no module.`);
  }
  return { paths: matched.map(({ path }) => path), warnings };
}

/** The first few; of many more a warning tells how many there are. */
export function capped(
  items: readonly string[],
  warnings: string[],
  what: string,
): readonly string[] {
  if (items.length <= LISTED) return items;
  warnings.push(`${items.length} ${what}; these are the first ${LISTED}.`);
  return items.slice(0, LISTED);
}

const isSite = ({ sites }: Targeting, kind: SiteKind | "other"): boolean =>
  (sites as readonly string[]).includes(kind);

const PLURALS: Readonly<Record<SiteKind, string>> = {
  linear: "linear layers",
  head: "the output head",
  embedding: "embeddings",
  norm: "norms",
  attention: "attention modules",
  mlp: "MLPs",
  block: "blocks",
  model: "the body of the model",
};

/** What a method goes onto, in words; that a linear layer may be the head goes without saying. */
function kindsOf({ sites }: Targeting): string {
  const kinds = sites.includes("linear") ? sites.filter((kind) => kind !== "head") : sites;
  return kinds.map((kind) => PLURALS[kind]).join(" and ");
}

/** What PEFT adapts in a model of this type when `targetModules` is not given. */
export function defaultTargetsOf(
  { defaultTargets = {} }: Pick<AdapterMethod<object>, "defaultTargets">,
  modelType: string,
): readonly string[] | undefined {
  return Object.hasOwn(defaultTargets, modelType) ? defaultTargets[modelType] : undefined;
}

function defaultsFor(method: Targeting, modelType: string): readonly string[] {
  const names = defaultTargetsOf(method, modelType);
  if (names !== undefined) return names;
  throw new UsageError(
    `There are no default ${optionName("targetModules")} for a model of the type ${JSON.stringify(modelType)}; give a list of ` +
      'module names, a regular expression for whole paths, or "all-linear".',
  );
}

const endsWith = (path: string, name: string) => path === name || path.endsWith(`.${name}`);

/** What a list of names, or a pattern for whole paths, selects. */
interface Selector {
  selects(path: string): boolean;
  hasSelected(): boolean;
  /** Names that have selected nothing; a pattern has none. */
  unused(): string[];
}

function selects(selector: string | readonly string[], option: string, steps: Steps): Selector {
  let has = false;
  if (typeof selector !== "string") {
    const names = new Set(selector);
    const lengths = new Set(selector.map((name) => name.length));
    const used = new Set<string>();
    return {
      selects(path) {
        let found = false;
        // Names are looked up: a list may be as long as the model has modules.
        for (const start of startsOfParts(path)) {
          if (!lengths.has(path.length - start)) continue;
          const end = path.slice(start);
          if (!names.has(end)) continue;
          used.add(end);
          found = true;
        }
        has ||= found;
        return found;
      },
      hasSelected: () => has,
      unused: () => [...names].filter((name) => !used.has(name)),
    };
  }
  const pattern = new Pattern(selector, optionName(option));
  return {
    selects(path) {
      const found = pattern.matches(path, steps);
      has ||= found;
      return found;
    },
    hasSelected: () => has,
    unused: () => [],
  };
}

/** Tells whether a selector names the module at a path. */
export function selection(selector: string | readonly string[], option: string): Test {
  const { selects: isSelected } = selects(selector, option, new Steps());
  return isSelected;
}

/** A whole path in the list counts in every layer; the end of a path only in the layers asked for. */
function isWanted(wanted: string | readonly string[], include: Selector, inLayers: Test): Test {
  const whole = new Set(typeof wanted === "string" ? [] : wanted);
  return (path) => whole.has(path) || (include.selects(path) && inLayers(path));
}

function layerFilter(
  { layersToTransform = null, layersPattern = null }: TargetChoice,
  steps: Steps,
): Test {
  if (layersToTransform === null) return () => true;
  const layers = new Set(layersToTransform);
  const names =
    layersPattern?.map((name) => new Pattern(name, optionName("layersPattern"))) ?? null;
  return (path) => {
    const index = names === null ? firstNumber(path) : numberAfter(path, names, steps);
    return index !== null && layers.has(index);
  };
}

/** The layer as PEFT's `.*?\.[^.]*\.(\d+)\.` finds it. */
function firstNumber(path: string): number | null {
  const parts = path.split(".");
  const found = parts.find((part, i) => i >= 2 && i < parts.length - 1 && /^\d+$/.test(part));
  return found === undefined ? null : Number(found);
}

/** The layer as PEFT's `(?:^|.*?\.)NAME\.(\d+)\.` finds it, for the first name that occurs. */
function numberAfter(path: string, names: readonly Pattern[], steps: Steps): number | null {
  const starts = startsOfParts(path);
  for (const name of names) {
    for (const start of starts) {
      const ends = [...name.ends(path, [start], steps)].sort((a, b) => b - a);
      for (const end of ends) {
        const match = /^\.(\d+)\./.exec(path.slice(end));
        if (match !== null) return Number(match[1]);
      }
    }
  }
  return null;
}

function nothingMatches(
  modules: readonly ModulePath[],
  wanted: string | readonly string[],
  config: TargetChoice,
): UsageError {
  const also = (["excludeModules", "layersToTransform", "layersPattern"] as const)
    .filter((key) => (config[key] ?? null) !== null)
    .map((key) => ` with ${optionName(key)} ${shortly(config[key])}`);
  const isPattern = typeof wanted === "string" && wanted !== ALL_LINEAR;
  return new UsageError(
    `${optionName("targetModules")} ${shortly(wanted)}${also.join("")} matches no module of this model; ` +
      `${existing(modules, typeof wanted === "string" ? wanted : wanted[0]!)}.` +
      (isPattern
        ? " A string is a regular expression for the whole path; give names as a list."
        : ""),
  );
}

/** The names that exist, nearest first, and one whole path as an example. */
export function existing(modules: readonly ModulePath[], wanted: string): string {
  const fit = modules.filter(({ kind }) => kind === "linear" || kind === "head");
  const names = new Set<string>();
  for (const { path } of fit) {
    names.add(path.slice(path.lastIndexOf(".") + 1));
    if (names.size === COMPARED) break;
  }
  const sorted = nearestNames(wanted.slice(wanted.lastIndexOf(".") + 1), names);
  if (sorted.length === 0) return "the model has no linear layers";
  const example = fit.find(({ path }) => endsWith(path, sorted[0]!))!.path;
  return `the linear layers are called ${listed(sorted)} (such as ${JSON.stringify(example)})`;
}

/** A value as JSON, cut to a bearable length. */
function shortly(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 500 ? `${text.slice(0, 500)}…` : text;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 20).map((name) => JSON.stringify(name));
  return names.length > 20 ? `${shown.join(", ")} and ${names.length - 20} more` : shown.join(", ");
}
