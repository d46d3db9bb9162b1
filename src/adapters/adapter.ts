// An adapter: a name, a method with its options, and the method's layers on the modules it is for. What `injectLora`
// returns.

import { escapeControls } from "../core/controls.ts";
import { ReleasedError, UsageError } from "../core/error.ts";
import { recording } from "../core/recording.ts";
import type { Module } from "../nn/module.ts";
import type { Transformer } from "../nn/transformer.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdapterLayer } from "./layer.ts";
import type { LoraConfig } from "./loraConfig.ts";
import { type AdapterMethod, type AnyMethod, type Description, describe } from "./method.ts";
import type { AdapterSet } from "./set.ts";
import type { AdapterTensors } from "./source.ts";

/** Where an adapter was read from, and what its description said there; io knows what it is. */
export type Origin = object;

/** What an adapter is made of. */
export interface AdapterParts<C extends object, M extends Module> {
  readonly name: string;
  readonly model: M;
  readonly method: AdapterMethod<C, unknown>;
  readonly config: C;
  /** Layers by the path of their module. */
  readonly layers: ReadonlyMap<string, AdapterLayer>;
  /** Tensors of each module, and under null those of the whole adapter. */
  readonly tensors: ReadonlyMap<string | null, AdapterTensors>;
  readonly warnings: readonly string[];
  readonly origin?: Origin | undefined;
}

const known = new WeakSet<object>();

/** The only way to an adapter: its parts have been checked. */
export function makeAdapter<C extends object, M extends Module>(
  parts: AdapterParts<C, M>,
  set: AdapterSet,
): Adapter<C, M> {
  known.add(parts);
  return new Adapter(parts, set);
}

/** A named adapter on a model: its tensors, and whether it takes part, as itself or merged. */
export class Adapter<C extends object = LoraConfig, M extends Module = Transformer> {
  readonly name: string;
  readonly model: M;
  readonly method: AdapterMethod<C, unknown>;
  readonly config: C;
  /** The method's layers by the path of their module. */
  readonly layers: ReadonlyMap<string, AdapterLayer>;
  /** Remarks on options that had no effect. */
  readonly warnings: readonly string[];
  readonly origin: Origin | undefined;
  readonly #tensors: ReadonlyMap<string | null, AdapterTensors>;
  readonly #set: AdapterSet;

  /** @throws UsageError unless the library itself makes it */
  constructor(parts: AdapterParts<C, M>, set: AdapterSet) {
    if (!known.has(parts)) {
      throw new UsageError(
        "An adapter is made by injectLora() or loadAdapter(), not by new Adapter().",
      );
    }
    this.name = parts.name;
    this.model = parts.model;
    this.method = parts.method;
    this.config = parts.config;
    this.layers = parts.layers;
    this.warnings = parts.warnings.map(escapeControls);
    this.origin = parts.origin;
    this.#tensors = parts.tensors;
    this.#set = set;
  }

  /** The tensors of one module by their keys on disk; of null those of the whole adapter. */
  tensorsOf(path: string | null): ReadonlyMap<string, Tensor> {
    const tensors = [...(this.#tensors.get(path) ?? [])];
    return new Map(tensors.map(([key, { tensor }]) => [key, tensor]));
  }

  /** The tensors with the names that PEFT's files use below "base_model.model.", those of the whole adapter first. */
  *namedParameters(): Generator<[string, Tensor]> {
    for (const [path, tensors] of this.#tensors) {
      for (const [key, { tensor }] of tensors)
        yield [path === null ? key : `${path}.${key}`, tensor];
    }
  }

  /** The tensors. */
  *parameters(): Generator<Tensor> {
    for (const [, parameter] of this.namedParameters()) yield parameter;
  }

  /** Those that train while the adapter is active and not merged. */
  *trainableParameters(): Generator<Tensor> {
    for (const tensors of this.#tensors.values()) {
      for (const { tensor, trains } of tensors.values()) if (trains) yield tensor;
    }
  }

  countParameters(): number {
    let count = 0;
    for (const parameter of this.parameters()) count += parameter.size;
    return count;
  }

  /** What the method says of it. */
  describe(): Description {
    const paths = [...this.layers.keys()];
    return describe(
      this.method as AnyMethod,
      this.config,
      new Map(
        paths.map((path) => [
          path,
          new Map([...this.tensorsOf(path)].map(([key, { shape }]) => [key, shape])),
        ]),
      ),
    );
  }

  /** The method's term of the loss, a scalar; null for a method that has none. A Trainer adds it. */
  penalty(): Tensor | null {
    return this.method.penalty?.(this as Adapter<C, Module>) ?? null;
  }

  /**
   * Lets the method do what it does after each step, before gradients are cleared. A Trainer calls it.
   * @param step the number of the step, from 1
   * @throws UsageError in a captured step of a method that does something
   */
  afterBackward(step: number): void {
    if (this.method.afterBackward === undefined) return;
    if (recording() !== null) {
      throw new UsageError(
        `The method ${this.method.peftType} acts between backward and the next step, which cannot be captured. ` +
          "Capture forward and backward alone, as Trainer does.",
      );
    }
    this.method.afterBackward(this as Adapter<C, Module>, step);
  }

  get active(): boolean {
    return this.#isPresent() && this.#set.active.includes(this.name);
  }

  get merged(): boolean {
    return this.#isPresent() && this.#set.merged.includes(this.name);
  }

  /** Makes this the only active adapter, whose tensors train; others that are merged are unmerged. */
  activate(): void {
    this.#present().activate([this.name]);
  }

  /** Takes this adapter out of the forward pass, unmerged if it was merged; its tensors stay. */
  disable(): void {
    const set = this.#present();
    set.activate(set.active.filter((name) => name !== this.name));
  }

  /**
   * Merges this adapter into the weights, for inference at no extra cost. The base is kept. Activates it, too.
   * @throws LowrankError when a weight would not be finite, UsageError for a method that cannot be merged; then nothing
   *   has changed.
   */
  merge(): void {
    const set = this.#present();
    if (!this.merged) set.merge([...set.merged, this.name]);
  }

  /** Takes it out again, still active; without other merged adapters the base is restored bit for bit. */
  unmerge(): void {
    const set = this.#present();
    if (this.merged) set.merge(set.merged.filter((name) => name !== this.name));
  }

  /** Takes the adapter off the model and frees its tensors. */
  remove(): void {
    this.#present().remove(this.name);
  }

  #isPresent(): boolean {
    return this.#set.adapters.get(this.name)?.layers === this.layers;
  }

  /** The model's adapters; throws when this one has been removed, also if another has its name by now. */
  #present(): AdapterSet {
    if (this.#isPresent()) return this.#set;
    throw new ReleasedError(
      `The adapter "${this.name}" has been removed from its model. Inject or load it again.`,
    );
  }
}
