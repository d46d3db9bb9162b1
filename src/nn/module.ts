// The base of all layers: a tree of named modules with named parameters. Names are those of Hugging Face
// checkpoints ("model.layers.0.self_attn.q_proj.weight"), so that PEFT's target names fit.
//
// Children are looked up by name at each call, so that every one of them can be replaced from outside by another one
// that maps the same shapes. The modules themselves know nothing of what replaces them.

import { current, type Engine } from "../core/engine.ts";
import { ShapeError, UsageError } from "../core/error.ts";
import { expectBoolean, expectInstance, expectMap, expectText, kindOf } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { recording, structureChanged } from "../core/recording.ts";
import { expectPackOptions, type PackOptions, packAll } from "../tensor/pack.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Names and values of parameters, row-major. */
export type StateDict = Map<
  string,
  { readonly shape: readonly number[]; readonly data: Float32Array }
>;

/** What a module is to whoever looks for a place to put something of their own. "model" maps embedded tokens to hidden states. */
export type ModuleKind =
  | "linear"
  | "embedding"
  | "norm"
  | "attention"
  | "mlp"
  | "block"
  | "model"
  | "other";

const COUNT_OPTIONS: OptionNames<{ readonly trainable?: boolean }> = { trainable: true };

/** A layer or model: named parameters, named children, and what applies to all of them. */
export class Module {
  readonly kind: ModuleKind = "other";
  readonly #children: Map<string, Module>;
  readonly #parameters: Map<string, Tensor>;
  #training = false;

  /** @param inner the module that this one stands for, if any: they have the same parts and parameters */
  constructor(inner?: Module) {
    this.#children = inner === undefined ? new Map() : inner.#children;
    this.#parameters = inner === undefined ? new Map() : inner.#parameters;
  }

  /** Adds a child under a name. */
  protected addModule<T extends Module>(name: string, child: T): T {
    expectInstance(`The part ${kindOf(name)}`, child, Module, "a module");
    this.#children.set(name, child);
    structureChanged();
    return child;
  }

  /** Adds a parameter under a name. */
  protected addParameter(name: string, parameter: Tensor): Tensor {
    expectInstance(`The parameter ${kindOf(name)}`, parameter, Tensor, "a tensor");
    this.#parameters.set(name, parameter);
    structureChanged();
    return parameter;
  }

  /** Takes a parameter away; it is not disposed of. */
  protected removeParameter(name: string): void {
    this.#parameters.delete(name);
    structureChanged();
  }

  /** Puts another tensor of the same shape in the place of a parameter, which is not disposed of. */
  replaceParameter(name: string, parameter: Tensor): void {
    this.parameter(name);
    this.addParameter(name, parameter);
  }

  /** The parameter of that name. */
  protected parameter(name: string): Tensor {
    const found = this.#parameters.get(name);
    if (found === undefined) throw new UsageError(`This module has no parameter "${name}".`);
    return found;
  }

  /** The direct child of that name. */
  child(name: string): Module {
    const found = this.#children.get(name);
    if (found === undefined) {
      const names = [...this.#children.keys()];
      throw new UsageError(
        `This module has no part ${kindOf(name)}; ${names.length === 0 ? "it has no parts" : `its parts are ${names.join(", ")}`}.`,
      );
    }
    return found;
  }

  /** The module at a dotted path. */
  moduleAt(path: string): Module {
    expectText("The path of a module", path);
    let found: Module = this;
    if (path !== "") for (const name of path.split(".")) found = found.child(name);
    return found;
  }

  /** Puts another module in the place of the one at a dotted path. */
  replaceModule(path: string, replacement: Module): void {
    expectText("The path of a module", path);
    expectInstance("What replaces a module", replacement, Module, "a module");
    const dot = path.lastIndexOf(".");
    const parent = this.moduleAt(path.slice(0, Math.max(dot, 0)));
    const name = path.slice(dot + 1);
    parent.child(name);
    parent.#children.set(name, replacement);
    structureChanged();
    replacement.train(parent.#training);
  }

  /** This module and all below it, with dotted paths; this one's is "". */
  *namedModules(prefix = ""): Generator<[string, Module]> {
    expectText("The prefix of the modules' paths", prefix);
    yield [prefix, this];
    for (const [name, child] of this.#children) {
      yield* child.namedModules(prefix === "" ? name : `${prefix}.${name}`);
    }
  }

  /** All parameters with dotted names; one that is shared (a tied head) comes once, under its first name. */
  *namedParameters(): Generator<[string, Tensor]> {
    const seen = new Set<Tensor>();
    for (const [path, module] of this.namedModules()) {
      for (const [name, parameter] of module.#parameters) {
        if (seen.has(parameter)) continue;
        seen.add(parameter);
        yield [path === "" ? name : `${path}.${name}`, parameter];
      }
    }
  }

  /** The engine of the parameters, in which the module computes. */
  get engine(): Engine {
    return this.#engineBelow() ?? current();
  }

  #engineBelow(): Engine | null {
    for (const { engine } of this.#parameters.values()) return engine;
    for (const child of this.#children.values()) {
      const engine = child.#engineBelow();
      if (engine !== null) return engine;
    }
    return null;
  }

  /** All parameters, each once. */
  *parameters(): Generator<Tensor> {
    for (const [, parameter] of this.namedParameters()) yield parameter;
  }

  /** The parameters that train. */
  *trainableParameters(): Generator<Tensor> {
    for (const parameter of this.parameters()) if (parameter.requiresGrad) yield parameter;
  }

  /** Number of parameters, or of those that train. */
  countParameters(options: { readonly trainable?: boolean } = {}): number {
    expectOptions(options, COUNT_OPTIONS, "countParameters");
    let count = 0;
    for (const parameter of this.parameters()) {
      if (!options.trainable || parameter.requiresGrad) count += parameter.size;
    }
    return count;
  }

  /** Whether dropout is on; set by `train()` and `eval()`. */
  get training(): boolean {
    recording()?.depends(() => this.#training);
    return this.#training;
  }

  /** Switches dropout on (or off) here and below. */
  train(mode = true): this {
    expectBoolean("The mode of train()", mode);
    this.#training = mode;
    for (const child of this.#children.values()) child.train(mode);
    return this;
  }

  /** Switches dropout off here and below. */
  eval(): this {
    return this.train(false);
  }

  /** Lets all parameters train, or none. */
  setRequiresGrad(value: boolean): this {
    expectBoolean("What setRequiresGrad() sets", value);
    for (const parameter of this.parameters()) parameter.requiresGrad = value;
    return this;
  }

  /**
   * Stops all parameters from training and packs the weights of linear layers into the panels they read.
   * @throws MemoryError; then all is as before, but that gradients are gone.
   */
  freeze(options: PackOptions = {}): this {
    expectPackOptions(options);
    const trained = [...this.trainableParameters()];
    this.setRequiresGrad(false);
    try {
      this.pack(options);
    } catch (error) {
      for (const parameter of trained) parameter.requiresGrad = true;
      throw error;
    }
    return this;
  }

  /**
   * Packs the weights of linear layers, here and below, that do not train.
   * @throws MemoryError; then all are as before.
   */
  pack(options: PackOptions = {}): void {
    expectPackOptions(options);
    const frozen = [...this.linearWeights()].filter(({ requiresGrad }) => !requiresGrad);
    packAll(new Set(frozen), options);
  }

  /** The weights that `pack` is about, here and below; one that is shared may come again. */
  protected *linearWeights(): Generator<Tensor> {
    for (const child of this.#children.values()) yield* child.linearWeights();
  }

  /** A copy of all parameters by name. */
  stateDict(): StateDict {
    const dict: StateDict = new Map();
    for (const [name, parameter] of this.namedParameters()) {
      dict.set(name, { shape: parameter.shape, data: parameter.toArray() as Float32Array });
    }
    return dict;
  }

  /**
   * Overwrites all parameters.
   * @throws ShapeError listing every missing, unknown or misshapen name, UsageError while adapters are merged; then
   *   nothing has changed.
   */
  loadStateDict(dict: StateDict): void {
    expectMap("The state of a module", dict, "a Map, such as stateDict() gives");
    const problems: string[] = [];
    const own = new Map(this.namedParameters());
    for (const [name, parameter] of own) {
      if (parameter.readOnly !== null) throw new UsageError(parameter.readOnly);
      const given = dict.get(name);
      if (given === undefined) problems.push(`${name} [${parameter.shape}] is missing`);
      else if (!Array.isArray(given?.shape) || given.data?.length !== parameter.size) {
        problems.push(`${name} has no shape or not as many numbers as it says`);
      } else if (String(given.shape) !== String(parameter.shape)) {
        problems.push(`${name} is [${given.shape}], expected [${parameter.shape}]`);
      }
    }
    for (const name of dict.keys()) if (!own.has(name)) problems.push(`${name} is unknown`);
    if (problems.length > 0) {
      throw new ShapeError(`The state does not fit the model: ${problems.join("; ")}.`);
    }
    for (const [name, parameter] of own) parameter.set(dict.get(name)?.data ?? []);
  }

  /** Frees all parameters, here and below. */
  dispose(): void {
    for (const child of this.#children.values()) child.dispose();
    for (const parameter of this.#parameters.values()) parameter.dispose();
  }
}
