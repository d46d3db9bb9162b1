// All adapters of one model: which there are, which are active, which are merged.

import { UsageError } from "../core/error.ts";
import { expectInstance, kindOf, wrongKind } from "../core/kind.ts";
import type { BodyLike } from "../nn/body.ts";
import { isLinear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { Transformer } from "../nn/transformer.ts";
import { allOrNothing } from "../tensor/record.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { AdaptedLinear } from "./adaptedLinear.ts";
import { AdaptedBody, AdaptedModule } from "./adaptedModule.ts";
import { Adapter } from "./adapter.ts";
import { isLowRank } from "./layer.ts";
import { mergedParameters } from "./merge.ts";
import { AdapterState } from "./state.ts";
import type { ModulePath } from "./target.ts";

/** Throws unless this is a model, with a word on what else was given. */
export function expectModel(given: unknown): asserts given is Transformer {
  if (!(given instanceof Transformer)) throw notModel(given, "a model");
}

/** Throws unless this is a module, a model or a part of one. */
export function expectModule(given: unknown): asserts given is Module {
  if (!(given instanceof Module)) throw notModel(given, "a model or another module");
}

function notModel(given: unknown, wanted: string): Error {
  const advice =
    given instanceof Adapter ? "An adapter's model is adapter.model." : "loadModel() gives one.";
  return wrongKind("The model", given, wanted, advice);
}

const sets = new WeakMap<Module, AdapterSet>();

/** The adapters of a model. */
export function adaptersOf(model: Module): AdapterSet {
  expectModule(model);
  let set = sets.get(model);
  if (set === undefined) {
    set = new AdapterSet(model);
    sets.set(model, set);
  }
  return set;
}

/** An adapter of any method. */
export type AnyAdapter = Adapter<object, Module>;

/** The adapters of one model; `adaptersOf` gives it. */
export class AdapterSet {
  readonly #model: Module;
  readonly #adapters = new Map<string, AnyAdapter>();
  readonly #state = new AdapterState();

  constructor(model: Module) {
    this.#model = model;
  }

  /** Adapters by name. */
  get adapters(): ReadonlyMap<string, AnyAdapter> {
    return this.#adapters;
  }

  /** Names of the adapters that take part in the forward pass. */
  get active(): readonly string[] {
    return this.#state.active;
  }

  /** Names of the adapters that are merged into the weights. */
  get merged(): readonly string[] {
    return this.#state.merged;
  }

  /** The model's modules as targets: what each is, and where. */
  modulePaths(): ModulePath[] {
    const { headPath } = this.#model as { readonly headPath?: string };
    return [...this.#model.namedModules()]
      .filter(([path]) => path !== "")
      .map(([path, { kind }]) => ({ path, kind: path === headPath ? "head" : kind }));
  }

  /** Takes in a new adapter, which takes no part yet and does not train. */
  add(adapter: AnyAdapter): void {
    expectInstance("What is added to a model", adapter, Adapter, "an adapter");
    for (const tensor of adapter.parameters()) tensor.requiresGrad = false;
    for (const [path, layer] of adapter.layers) {
      this.#adapted(path).addLayer(adapter.name, layer, tensorsAt(adapter, path));
    }
    this.#adapters.set(adapter.name, adapter);
  }

  /** Takes an adapter away and frees its tensors; modules that have none left become what they were. */
  remove(name: string): void {
    const adapter = this.#adapters.get(name);
    if (adapter === undefined) return;
    const others = (names: readonly string[]) => names.filter((other) => other !== name);
    this.#take(others(this.active), others(this.merged));
    for (const path of adapter.layers.keys()) {
      const module = this.#adapted(path);
      module.removeLayer(name, tensorsAt(adapter, path).keys());
      if (module.layers.size === 0) this.#model.replaceModule(path, module.base);
    }
    this.#adapters.delete(name);
    for (const tensor of adapter.parameters()) tensor.dispose();
  }

  /**
   * Lets exactly these adapters take part; those that are merged and not among them are unmerged.
   * @throws UsageError for a name that there is not, or adapters that do not go together; then nothing has changed.
   */
  activate(names: readonly string[]): void {
    this.#checkNames(names);
    this.#take(
      names,
      this.merged.filter((name) => names.includes(name)),
    );
  }

  /** Lets one adapter take part: what is merged stays in the weights, and what is trained now comes on top of it. */
  activateBesideMerged(name: string): void {
    this.activate([...this.merged, name]);
  }

  /**
   * Merges exactly these adapters, always from the kept base; none restores the base bit for bit. What is merged takes
   * part in the forward pass, hence is active.
   * @throws LowrankError when a merged weight would not be finite, UsageError for a method that cannot be merged; then
   *   nothing has changed.
   */
  merge(names: readonly string[]): void {
    this.#checkNames(names);
    this.#take([...this.active, ...names], names);
  }

  /** The model's own parameters by name; merged ones where adapters are merged. */
  *baseParameters(): Generator<[string, Tensor]> {
    const own = new Set<Tensor>();
    for (const adapter of this.#adapters.values()) {
      for (const parameter of adapter.parameters()) own.add(parameter);
    }
    const originals = new Map<Tensor, Tensor>();
    for (const [, module] of this.#adaptedModules()) {
      for (const [, original, inPlace] of module.replaced()) {
        if (own.has(inPlace)) originals.set(inPlace, original);
      }
    }
    for (const [name, parameter] of this.#model.namedParameters()) {
      const original = originals.get(parameter);
      if (original !== undefined) yield [name, original];
      else if (!own.has(parameter)) yield [name, parameter];
    }
  }

  /** The one way to change what takes part and what is merged. New weights are made before anything changes. */
  #take(active: readonly string[], merged: readonly string[]): void {
    this.#checkTogether([...new Set(active)]);
    const modules = [...this.#adaptedModules()];
    const isSame = String(merged) === String(this.merged);
    const fresh = isSame
      ? null
      : allOrNothing(() => modules.map(([path, module]) => mergedParameters(module, merged, path)));
    const before = this.#state.apart;
    this.#state.set(active, merged);
    const after = this.#state.apart;
    modules.forEach(([, module], i) => {
      module.settle(fresh?.[i] ?? null);
    });
    for (const [name, adapter] of this.#adapters) {
      if (before.includes(name) === after.includes(name)) continue;
      for (const tensor of adapter.trainableParameters())
        tensor.requiresGrad = after.includes(name);
    }
  }

  #checkNames(names: readonly string[]): void {
    if (!Array.isArray(names))
      throw wrongKind("The list of adapters", names, "an array of their names");
    for (const name of names) {
      if (this.#adapters.has(name)) continue;
      const known = [...this.#adapters.keys()];
      throw new UsageError(
        `There is no adapter ${kindOf(name)} on this model; ${known.length === 0 ? "it has none" : `it has ${known.join(", ")}`}.`,
      );
    }
  }

  /** Low-rank terms add up; what any other method does, it does alone. */
  #checkTogether(names: readonly string[]): void {
    if (names.length < 2) return;
    for (const name of names) {
      const adapter = this.#adapters.get(name);
      if (adapter === undefined || [...adapter.layers.values()].every(isLowRank)) continue;
      const others = names.filter((other) => other !== name);
      const kinds = others.map(
        (other) => `"${other}" (${this.#adapters.get(other)?.method.peftType})`,
      );
      throw new UsageError(
        `The adapter "${name}" (${adapter.method.peftType}) cannot take part together with ${kinds.join(", ")}: only ` +
          "low-rank adapters add up. Disable the others, or unmerge and remove them.",
      );
    }
  }

  /** The module at a path, made ready for adapters. */
  #adapted(path: string): AdaptedModule {
    const module = this.#model.moduleAt(path);
    if (module instanceof AdaptedModule) return module;
    const adapted = this.#adapt(module);
    this.#model.replaceModule(path, adapted);
    return adapted;
  }

  #adapt(module: Module): AdaptedModule {
    if (isLinear(module)) return new AdaptedLinear(module, this.#state);
    if (module.kind === "model") return new AdaptedBody(module as BodyLike, this.#state);
    return new AdaptedModule(module, this.#state);
  }

  *#adaptedModules(): Generator<[string, AdaptedModule]> {
    for (const [path, module] of [...this.#model.namedModules()]) {
      if (module instanceof AdaptedModule) yield [path, module];
    }
  }
}

/** A module has what its adapters share as well, as in PEFT. */
function tensorsAt(adapter: AnyAdapter, path: string): Map<string, Tensor> {
  return new Map([...adapter.tensorsOf(null), ...adapter.tensorsOf(path)]);
}

/** The model's own parameters by name, without those of adapters; merged weights where adapters are merged. */
export function* baseParameters(model: Module): Generator<[string, Tensor]> {
  yield* adaptersOf(model).baseParameters();
}
