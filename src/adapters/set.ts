// All adapters of one model: which there are, which are active, which are merged.

import { UsageError } from "../core/error.ts";
import { expectInstance, kindOf, wrongKind } from "../core/kind.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { Transformer } from "../nn/transformer.ts";
import { allOrNothing } from "../tensor/apply.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { AdaptedLinear } from "./adaptedLinear.ts";
import { Adapter } from "./adapter.ts";
import type { ModulePath } from "./target.ts";

/** Throws unless this is a model, with a word on what else was given. */
export function expectModel(given: unknown): asserts given is Transformer {
  if (given instanceof Transformer) return;
  const advice =
    given instanceof Adapter ? "An adapter's model is adapter.model." : "loadModel() gives one.";
  throw wrongKind("The model", given, "a model", advice);
}

const sets = new WeakMap<Module, AdapterSet>();

/** The adapters of a model. */
export function adaptersOf(model: Transformer): AdapterSet {
  expectModel(model);
  let set = sets.get(model);
  if (set === undefined) {
    set = new AdapterSet(model);
    sets.set(model, set);
  }
  return set;
}

/** The adapters of one model; `adaptersOf` gives it. */
export class AdapterSet {
  readonly #model: Transformer;
  readonly #adapters = new Map<string, Adapter>();
  #active: readonly string[] = [];
  #merged: readonly string[] = [];

  constructor(model: Transformer) {
    this.#model = model;
  }

  /** Adapters by name. */
  get adapters(): ReadonlyMap<string, Adapter> {
    return this.#adapters;
  }

  /** Names of the adapters that take part in the forward pass. */
  get active(): readonly string[] {
    return this.#active;
  }

  /** Names of the adapters that are merged into the weights. */
  get merged(): readonly string[] {
    return this.#merged;
  }

  /** The model's modules as targets: what each is, and where. */
  modulePaths(): ModulePath[] {
    return [...this.#model.namedModules()]
      .filter(([path]) => path !== "")
      .map(([path, module]) => {
        if (!(module instanceof Linear)) return { path, kind: "other" };
        return { path, kind: path === this.#model.headPath ? "head" : "linear" };
      });
  }

  /** The layer at a path, made ready for adapters. */
  adaptedLinear(path: string): AdaptedLinear {
    const module = this.#model.moduleAt(path);
    if (module instanceof AdaptedLinear) return module;
    if (!(module instanceof Linear)) throw new UsageError(`${path} is not a linear layer.`);
    const adapted = new AdaptedLinear(module);
    this.#model.replaceModule(path, adapted);
    return adapted;
  }

  add(adapter: Adapter): void {
    expectInstance("What is added to a model", adapter, Adapter, "an adapter");
    this.#adapters.set(adapter.name, adapter);
  }

  /** Takes an adapter away; layers that have none left become what they were. */
  remove(name: string): void {
    if (this.#merged.includes(name)) {
      this.#setMerged(this.#merged.filter((other) => other !== name));
    }
    for (const [path, module] of this.#adaptedLinears()) {
      module.removeLayer(name);
      if (module.layers.size === 0) this.#model.replaceModule(path, module.base);
    }
    this.#adapters.delete(name);
    this.#active = this.#active.filter((other) => other !== name);
  }

  /** Lets exactly these adapters take part; those that are merged and not among them are unmerged. */
  activate(names: readonly string[]): void {
    this.#checkNames(names);
    const kept = this.#merged.filter((name) => names.includes(name));
    if (kept.length < this.#merged.length) this.#setMerged(kept);
    this.#setActive(names);
  }

  /** Lets one adapter take part: what is merged stays in the weights, and what is trained now comes on top of it. */
  activateBesideMerged(name: string): void {
    this.activate([...this.#merged, name]);
  }

  /**
   * Merges exactly these adapters, always from the kept base; none restores the base bit for bit. What is merged takes
   * part in the forward pass, hence is active.
   * @throws LowrankError when a merged weight would not be finite; then nothing has changed.
   */
  merge(names: readonly string[]): void {
    this.#checkNames(names);
    this.#setMerged(names);
    this.#setActive([...this.#active, ...names]);
  }

  #setActive(names: readonly string[]): void {
    this.#active = [...new Set(names)];
    for (const [, module] of this.#adaptedLinears()) module.setActive(this.#active);
  }

  /** All new weights are made before the first one is put into place: when one fails, nothing has changed. */
  #setMerged(names: readonly string[]): void {
    const layers = [...this.#adaptedLinears()];
    const weights = allOrNothing(() =>
      layers.map(([path, module]) => module.mergedWeight(names, path)),
    );
    layers.forEach(([, module], i) => {
      module.setMerged(names, weights[i] ?? null);
    });
    this.#merged = [...names];
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

  *#adaptedLinears(): Generator<[string, AdaptedLinear]> {
    for (const [path, module] of [...this.#model.namedModules()]) {
      if (module instanceof AdaptedLinear) yield [path, module];
    }
  }
}

/** The model's own parameters by name, without those of adapters; merged weights where adapters are merged. */
export function* baseParameters(model: Transformer): Generator<[string, Tensor]> {
  const own = new Set<Tensor>();
  for (const adapter of adaptersOf(model).adapters.values()) {
    for (const parameter of adapter.parameters()) own.add(parameter);
  }
  for (const [name, parameter] of model.namedParameters()) {
    if (!own.has(parameter)) yield [name, parameter];
  }
}
