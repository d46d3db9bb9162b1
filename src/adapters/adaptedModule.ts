// A module with adapters: what injection puts in the place of it. It has the module, whose parts and parameters are its
// own as well, and the layers of the adapters.

import type { BodyLike } from "../nn/body.ts";
import type { KvCache, LayerCache } from "../nn/cache.ts";
import type { Context } from "../nn/context.ts";
import type { Layer } from "../nn/layer.ts";
import { Module, type ModuleKind } from "../nn/module.ts";
import { composite } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdapterLayer, Next } from "./layer.ts";
import type { AdapterState } from "./state.ts";

type Step = (x: Tensor, context: Context | undefined) => Tensor;

/** Stands for a module, and lets adapters act around it. */
export class AdaptedModule<M extends Module = Module> extends Module implements Layer {
  override readonly kind: ModuleKind;
  /** The module that this one stands for. */
  readonly base: M;
  readonly #state: AdapterState;
  readonly #layers = new Map<string, AdapterLayer>();
  /** The module's own parameters that others are in the place of. */
  readonly #originals = new Map<string, Tensor>();
  #merged: ReadonlyMap<string, Tensor> = new Map();

  constructor(base: M, state: AdapterState) {
    super(base);
    this.kind = base.kind;
    this.base = base;
    this.#state = state;
  }

  get hiddenSize(): number {
    return (this.base as unknown as Layer).hiddenSize;
  }

  /** The adapters of this module by name. */
  get layers(): ReadonlyMap<string, AdapterLayer> {
    return this.#layers;
  }

  /** Adds an adapter's layer with its tensors by their keys on disk. */
  addLayer(name: string, layer: AdapterLayer, tensors: ReadonlyMap<string, Tensor>): void {
    this.#layers.set(name, layer);
    for (const [key, tensor] of tensors) this.addParameter(inMemory(key, name), tensor);
  }

  /** Takes an adapter's layer away, which takes no part; its tensors stay as they are. */
  removeLayer(name: string, keys: Iterable<string>): void {
    this.#layers.delete(name);
    for (const key of keys) this.removeParameter(inMemory(key, name));
  }

  /** The layers of the adapters that take part and are not merged. */
  taking(): AdapterLayer[] {
    return this.#state.apart.flatMap((name) => this.#layers.get(name) ?? []);
  }

  /** The module's own parameter, also while another one is in its place. */
  original(name: string): Tensor {
    return this.#originals.get(name) ?? this.parameter(name);
  }

  /** [name, the module's own parameter, the one in its place] of all that have one in their place. */
  *replaced(): Generator<[string, Tensor, Tensor]> {
    for (const [name, original] of this.#originals) yield [name, original, this.parameter(name)];
  }

  /**
   * Puts merged parameters, and those of the layers that take part, in the place of the module's own ones, and all other
   * own ones back. Merged ones that are no longer in place are freed.
   * @param merged null: those that are in place stay
   */
  settle(merged: ReadonlyMap<string, Tensor> | null): void {
    const wanted = new Map(merged ?? this.#merged);
    for (const { replaces } of this.taking()) {
      for (const [name, tensor] of replaces ?? []) wanted.set(name, tensor);
    }
    for (const [name, original] of this.#originals) {
      if (wanted.has(name)) continue;
      this.replaceParameter(name, original);
      this.#originals.delete(name);
    }
    for (const [name, tensor] of wanted) {
      if (!this.#originals.has(name)) this.#originals.set(name, this.parameter(name));
      this.replaceParameter(name, tensor);
    }
    if (merged === null) return;
    for (const [name, tensor] of this.#merged) if (merged.get(name) !== tensor) tensor.dispose();
    this.#merged = merged;
  }

  override train(mode = true): this {
    this.base.train(mode);
    return super.train(mode);
  }

  override dispose(): void {
    super.dispose();
    for (const original of this.#originals.values()) original.dispose();
  }

  forward(x: Tensor, context?: Context, cache?: LayerCache | KvCache | null): Tensor {
    const layers = this.taking();
    if (layers.length === 0) return this.compute(x, layers, context, cache);
    const { training } = this;
    const innermost: Step = (x, context) => this.compute(x, layers, context, cache);
    const outermost = layers.reduceRight((inner, layer): Step => {
      if (layer.around === undefined) return inner;
      return (x, context) => {
        const next: Next = (x, other = context) => inner(x, other);
        return layer.around?.(x, next, { training, context, cache }) ?? next(x);
      };
    }, innermost);
    return composite(x, () => outermost(x, context));
  }

  /** What the module computes, with the adapters that are part of it. */
  protected compute(
    x: Tensor,
    _layers: readonly AdapterLayer[],
    context: Context | undefined,
    cache: LayerCache | KvCache | null | undefined,
  ): Tensor {
    return (this.base as unknown as Layer).forward(x, context, cache);
  }
}

/** The body of a Transformer with adapters. */
export class AdaptedBody extends AdaptedModule<BodyLike> implements BodyLike {
  get virtualTokens(): number {
    const own = this.taking().reduce((sum, { virtualTokens = 0 }) => sum + virtualTokens, 0);
    return this.base.virtualTokens + own;
  }

  embed(ids: Tensor): Tensor {
    return this.base.embed(ids);
  }
}

/** "lora_A.weight" of adapter "default" is "lora_A.default.weight" in memory, and "ia3_l" is "ia3_l.default", as in PEFT. */
function inMemory(key: string, adapter: string): string {
  const [first = key, ...rest] = key.split(".");
  return [first, adapter, ...rest].join(".");
}
