// An adapter: a name, its options, and one layer of its method for each target. What `injectLora` returns.

import { escapeControls } from "../core/controls.ts";
import { ReleasedError } from "../core/error.ts";
import { expectMap, expectObject, expectText, expectTexts } from "../core/kind.ts";
import type { Transformer } from "../nn/transformer.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LoraConfig } from "./config.ts";
import type { AdapterLayer } from "./layer.ts";
import { type AdapterSet, adaptersOf, expectModel } from "./set.ts";

/** A named adapter on a model: its tensors, and whether it takes part, as a branch or merged. */
export class Adapter {
  readonly name: string;
  readonly model: Transformer;
  readonly config: LoraConfig;
  /** The adapted layers by the path of their module. */
  readonly layers: ReadonlyMap<string, AdapterLayer>;
  /** Remarks on options that had no effect. */
  readonly warnings: readonly string[];

  constructor(
    name: string,
    model: Transformer,
    config: LoraConfig,
    layers: ReadonlyMap<string, AdapterLayer>,
    warnings: readonly string[] = [],
  ) {
    expectText("The name of an adapter", name);
    expectModel(model);
    expectObject("The config of an adapter", config);
    expectMap("The layers of an adapter", layers, "a Map from paths to layers");
    expectTexts("The warnings of an adapter", warnings);
    this.name = name;
    this.model = model;
    this.config = config;
    this.layers = layers;
    this.warnings = warnings.map(escapeControls);
  }

  /** The tensors, which train while the adapter is active and not merged, with the names that PEFT's files use. */
  *namedParameters(): Generator<[string, Tensor]> {
    for (const [path, layer] of this.layers) {
      for (const [key, parameter] of layer.tensors) yield [`${path}.${key}`, parameter];
    }
  }

  /** The tensors. */
  *parameters(): Generator<Tensor> {
    for (const [, parameter] of this.namedParameters()) yield parameter;
  }

  countParameters(): number {
    let count = 0;
    for (const parameter of this.parameters()) count += parameter.size;
    return count;
  }

  get active(): boolean {
    return adaptersOf(this.model).active.includes(this.name);
  }

  get merged(): boolean {
    return adaptersOf(this.model).merged.includes(this.name);
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
   * Adds this adapter's ΔW to the weights, for inference at no extra cost. The base is kept. Activates it, too.
   * @throws LowrankError when a weight would not be finite; then nothing has changed.
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

  /** The model's adapters; throws when this one has been removed, also if another has its name by now. */
  #present(): AdapterSet {
    const set = adaptersOf(this.model);
    if (set.adapters.get(this.name)?.layers === this.layers) return set;
    throw new ReleasedError(
      `The adapter "${this.name}" has been removed from its model. Inject or load it again.`,
    );
  }
}
