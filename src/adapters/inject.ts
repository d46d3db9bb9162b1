// Injection: puts layers of a method around the modules that its options name. Everything is checked before anything
// changes.

import { UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { optionName } from "../core/wording.ts";
import type { Embedding } from "../nn/embedding.ts";
import type { AttentionLike, Layer } from "../nn/layer.ts";
import type { LinearLike } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { PackOptions } from "../tensor/pack.ts";
import { splitSeed } from "../tensor/random.ts";
import { allOrNothing, leaf } from "../tensor/record.ts";
import { AdaptedModule } from "./adaptedModule.ts";
import { type Adapter, makeAdapter, type Origin } from "./adapter.ts";
import type { AdapterLayer } from "./layer.ts";
import type { AdapterMethod, Site, TensorSource } from "./method.ts";
import { resolveOptions } from "./option.ts";
import { adaptersOf, expectModule } from "./set.ts";
import { type AdapterTensors, freshSource, noting } from "./source.ts";
import { matchTargets, type Targets } from "./target.ts";
import { isTargetConfig } from "./targeting.ts";

/** What a new adapter is called and drawn from. */
export interface InjectOptions {
  /** Name among the adapters of one model; default "default". */
  readonly adapterName?: string;
  /** Seed of the initial values; default 0. */
  readonly seed?: number;
}

const INJECT_OPTIONS: OptionNames<InjectOptions> = { adapterName: true, seed: true };

/** A source of tensors for the module at a path, or for the whole adapter. */
export type SourceFor = (path: string | null, made: AdapterTensors) => TensorSource;

/** What a config means on a model. */
export interface AdapterPlan<C extends object> {
  /** The config with what it leaves to the model. */
  readonly config: C;
  readonly sites: readonly Site[];
}

/** A plan, and the rest of what an adapter is made of. */
export interface AddOptions<C extends object> extends AdapterPlan<C>, PackOptions {
  readonly adapterName: string;
  readonly source: SourceFor;
  readonly warnings: readonly string[];
  readonly origin?: Origin;
}

/**
 * Freezes the model, adds an adapter of any method and makes it the active one, beside those that are merged.
 * @throws UsageError for options that make no sense, a name that is taken, targets that match nothing, or an adapter
 *   that does not go together with a merged one; MemoryError. Nothing has changed then.
 */
export function injectAdapter<C extends object, S, M extends Module>(
  model: M,
  method: AdapterMethod<C, S>,
  options: object = {},
  inject: InjectOptions = {},
): Adapter<C, M> {
  expectModule(model);
  expectOptions(inject, INJECT_OPTIONS, "injection");
  const { adapterName = "default", seed = 0 } = inject;
  splitSeed(seed);
  const given = resolveOptions(method.options, options, method.name);
  method.check?.(given);
  expectFreeName(model, adapterName);
  const { remarks: warnings, ...plan } = planAdapter(model, method, given);
  const source: SourceFor = (path, made) =>
    freshSource(made, path === null ? adapterName : `${adapterName}.${path}`, seed);
  const { prepack } = options as PackOptions;
  const packing = prepack === undefined ? {} : { prepack };
  const adapter = addAdapter(model, method, { ...packing, ...plan, adapterName, source, warnings });
  activateOrRemove(model, adapterName);
  return adapter;
}

/** Makes a new adapter take part beside those that are merged; when it may not, the model is as it was without it. */
export function activateOrRemove(model: Module, adapterName: string): void {
  const set = adaptersOf(model);
  try {
    set.activateBesideMerged(adapterName);
  } catch (error) {
    set.remove(adapterName);
    throw error;
  }
}

/** Adds an adapter, whose name is free, that takes no part yet; others go on as they did. */
export function addAdapter<C extends object, S, M extends Module>(
  model: M,
  method: AdapterMethod<C, S>,
  { config, sites, adapterName, source, warnings, origin, ...pack }: AddOptions<C>,
): Adapter<C, M> {
  const set = adaptersOf(model);
  const { tensors, layers } = allOrNothing(() => {
    const made = model.engine.run(() => makeLayers(method, sites, config, source));
    expectTraining(method, made.tensors);
    if (set.adapters.size === 0) model.freeze(pack);
    else if (pack.prepack !== undefined) model.pack(pack);
    return made;
  });
  const parts = { name: adapterName, model, method, config, layers, tensors, warnings, origin };
  const adapter = makeAdapter<C, M>(parts, set);
  set.add(adapter);
  return adapter;
}

/** Throws unless an adapter of the model may be called so. */
export function expectFreeName(model: Module, adapterName: string): void {
  if (typeof adapterName !== "string" || !/^[A-Za-z0-9_-]+$/.test(adapterName)) {
    throw new UsageError(
      `${kindOf(adapterName)} cannot name an adapter: use letters, digits, "_" and "-".`,
    );
  }
  if (adaptersOf(model).adapters.has(adapterName)) {
    throw new UsageError(
      `The model has an adapter "${adapterName}" already. Remove it first, or give this one another ${optionName("adapterName")}.`,
    );
  }
}

function expectTraining(
  { name, keys }: Pick<AdapterMethod<object>, "name" | "keys">,
  tensors: ReadonlyMap<string | null, AdapterTensors>,
): void {
  const made = [...tensors.values()].flatMap((own) => [...own.values()]);
  if (made.some(({ trains }) => trains)) return;
  throw new UsageError(
    `The targets have nothing that a ${name} adapter trains (${keys.join(", ")}). Choose other targets, or another method.`,
  );
}

/** The modules that a config means, and remarks on options without effect. */
export function planAdapter<C extends object, S>(
  model: Module,
  method: AdapterMethod<C, S>,
  given: C,
): AdapterPlan<C> & { readonly remarks: readonly string[] } {
  const config = method.forModel?.(given, modelTypeOf(model)) ?? given;
  const modules = adaptersOf(model).modulePaths();
  const { paths, warnings } = isTargetConfig(config)
    ? matchTargets(modules, config, method, modelTypeOf(model))
    : everySite(method, modules);
  const kinds = new Map(modules.map(({ path, kind }) => [path, kind]));
  const sites = paths.map((path): Site => {
    const kind = kinds.get(path);
    const found = model.moduleAt(path);
    const module = found instanceof AdaptedModule ? found.base : found;
    if (kind === "linear" || kind === "head") return { kind, path, module: module as LinearLike };
    if (kind === "embedding") return { kind, path, module: module as Embedding };
    if (kind === "attention") return { kind, path, module: module as AttentionLike };
    return { kind: kind as "mlp", path, module: module as Layer };
  });
  return { config, sites, remarks: [...warnings, ...(method.remarks?.(config, sites) ?? [])] };
}

/** The family of a model that has one. */
export const modelTypeOf = (model: Module): string => {
  const { config } = model as { readonly config?: { readonly modelType?: string } };
  return config?.modelType ?? "";
};

/** All modules that a method without targets goes onto. */
function everySite(
  { name, sites }: Pick<AdapterMethod<object>, "name" | "sites">,
  modules: readonly { readonly path: string; readonly kind: string }[],
): Targets {
  const paths = modules
    .filter(({ kind }) => (sites as readonly string[]).includes(kind))
    .map(({ path }) => path);
  if (paths.length > 0) return { paths, warnings: [] };
  throw new UsageError(
    `The model has nothing that a ${name} adapter goes onto: ${sites.join(", ")}.`,
  );
}

/** Shapes of tensors by the path of their module, null for those of the whole adapter, and their key. */
export type DeclaredTensors = ReadonlyMap<string | null, ReadonlyMap<string, readonly number[]>>;

/** The tensors that a method asks for, without making them. */
export function declareTensors<C extends object, S>(
  model: Module,
  method: AdapterMethod<C, S>,
  { sites, config }: AdapterPlan<C>,
): DeclaredTensors {
  const declared = new Map<string | null, Map<string, readonly number[]>>();
  const source: SourceFor = (path, made) => {
    const shapes = new Map<string, readonly number[]>();
    declared.set(path, shapes);
    return noting(made, (key, shape) => {
      shapes.set(key, shape);
      return leaf([0], () => {}, { persistent: true });
    });
  };
  const { tensors } = model.engine.run(() => makeLayers(method, sites, config, source));
  for (const made of tensors.values()) for (const { tensor } of made.values()) tensor.dispose();
  return declared;
}

function makeLayers<C extends object, S>(
  method: AdapterMethod<C, S>,
  sites: readonly Site[],
  config: C,
  source: SourceFor,
): { tensors: Map<string | null, AdapterTensors>; layers: Map<string, AdapterLayer> } {
  const tensors = new Map<string | null, AdapterTensors>();
  const sourceOf = (path: string | null): TensorSource => {
    const made: AdapterTensors = new Map();
    tensors.set(path, made);
    return source(path, made);
  };
  // A method without anything shared has nothing of the type S to ask for.
  const shared = method.shared?.(sites, config, sourceOf(null)) as S;
  const layers = sites.map((site): [string, AdapterLayer] => [
    site.path,
    method.make(site, config, sourceOf(site.path), shared),
  ]);
  return { tensors, layers: new Map(layers) };
}

/**
 * Makes these adapters, and no others, take part in the forward pass and train; several add up. Others that are
 * merged are unmerged.
 */
export function setActiveAdapters(model: Module, names: string | readonly string[]): void {
  adaptersOf(model).activate(typeof names === "string" ? [names] : names);
}

/** Lets the model compute as if it had no adapters; merged ones are unmerged, and all their tensors stay. */
export function disableAdapters(model: Module): void {
  adaptersOf(model).activate([]);
}
