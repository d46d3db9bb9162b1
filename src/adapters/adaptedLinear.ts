// A linear layer with adapters: what injection puts in the place of a Linear. The base's weight stays as it is;
// each adapter's tensors stand beside it. Merging puts W + Σ ΔW in the place of W and keeps W, so that unmerging
// restores every bit.

import { LowrankError, UsageError } from "../core/error.ts";
import { structureChanged } from "../core/recording.ts";
import { optionName } from "../core/wording.ts";
import { Linear } from "../nn/linear.ts";
import { allOrNothing, leaf } from "../tensor/apply.ts";
import type { CrossEntropyOptions } from "../tensor/crossEntropy.ts";
import { type LowRankBranch, linear } from "../tensor/linear.ts";
import { linearCrossEntropy } from "../tensor/linearCrossEntropy.ts";
import { composed, noGrad, scope } from "../tensor/scope.ts";
import { concat } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdapterLayer } from "./layer.ts";

export class AdaptedLinear extends Linear {
  /** The layer that this one stands for. */
  readonly base: Linear;
  readonly #layers = new Map<string, AdapterLayer>();
  #active: readonly string[] = [];
  #merged: readonly string[] = [];

  constructor(base: Linear) {
    super(
      base.inFeatures,
      base.outFeatures,
      { bias: base.hasBias, storedTransposed: base.storedTransposed, weight: base.weight },
      () => base.bias ?? base.weight,
    );
    this.base = base;
  }

  /** The adapters of this layer by name. */
  get layers(): ReadonlyMap<string, AdapterLayer> {
    return this.#layers;
  }

  /** Adds an adapter's layer, which takes no part and does not train before `setActive` says so. */
  addLayer(name: string, layer: AdapterLayer): void {
    this.#layers.set(name, layer);
    for (const [key, parameter] of layer.tensors) {
      parameter.requiresGrad = false;
      this.addParameter(inMemory(key, name), parameter);
    }
  }

  /** Takes an adapter away and frees its tensors; it must not be merged. */
  removeLayer(name: string): void {
    const layer = this.#layers.get(name);
    if (layer === undefined) return;
    for (const key of layer.tensors.keys()) this.removeParameter(inMemory(key, name));
    layer.dispose();
    this.#layers.delete(name);
    this.#active = this.#active.filter((other) => other !== name);
  }

  /** Says which adapters take part; names of adapters that are not on this layer are skipped. */
  setActive(names: readonly string[]): void {
    this.#take(names, this.#merged);
  }

  /** What becomes a branch trains from then on, and what is one no longer does not: as PEFT's set_adapter does it. */
  #take(active: readonly string[], merged: readonly string[]): void {
    structureChanged();
    const before = this.#branchNames();
    this.#active = active.filter((name) => this.#layers.has(name));
    this.#merged = merged.filter((name) => this.#layers.has(name));
    const after = this.#branchNames();
    for (const [name, { tensors }] of this.#layers) {
      if (before.includes(name) === after.includes(name)) continue;
      for (const parameter of tensors.values()) parameter.requiresGrad = after.includes(name);
    }
  }

  /**
   * A new weight, W with the named adapters merged in; null when none of them is on this layer.
   * @throws LowrankError when it would not be finite
   */
  mergedWeight(names: readonly string[], path: string): Tensor | null {
    const layers = names
      .map((name) => this.#layers.get(name))
      .filter((layer) => layer !== undefined);
    if (layers.length === 0) return null;
    const { engine, shape, prepack } = this.base.weight;
    const values = engine.run(() =>
      noGrad(() =>
        scope(() => {
          let sum = this.base.weight.detach();
          for (const layer of layers) sum = sum.add(layer.delta());
          return sum.toArray();
        }),
      ),
    );
    if (!values.every((value) => Number.isFinite(value))) {
      throw new LowrankError(
        `Merging would make the weight of ${path} infinite or NaN. Nothing was changed; check the adapter's tensors and its scale.`,
      );
    }
    return allOrNothing(() => {
      const merged = leaf(shape, (data) => data.set(values), { persistent: true }, engine);
      merged.readOnly = `The weight of ${path} holds merged adapters and cannot be written. Call unmerge() on them first.`;
      merged.pack({ prepack: prepack ?? "forward" });
      return merged;
    });
  }

  /** Puts what `mergedWeight` made of these adapters into place; null puts W itself back. */
  setMerged(names: readonly string[], weight: Tensor | null): void {
    if (this.weight !== this.base.weight) this.weight.dispose();
    this.#take(this.#active, names);
    this.replaceWeight(weight ?? this.base.weight);
  }

  /** The merged weight and what is kept below it. */
  protected override *linearWeights(): Generator<Tensor> {
    yield* super.linearWeights();
    yield this.base.weight;
  }

  override dispose(): void {
    super.dispose();
    this.base.dispose();
  }

  override forward(x: Tensor): Tensor {
    const branches = this.#branches();
    if (branches.length > 1) {
      return composed(x, () => linear(x, this.weight, this.bias, joined(branches)));
    }
    return linear(x, this.weight, this.bias, branches[0] ?? null);
  }

  override loss(x: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor {
    if (this.hasBias) return super.loss(x, targets, options);
    const branches = this.#branches();
    const [first] = branches;
    if (first === undefined) return super.loss(x, targets, options);
    return composed(x, () => {
      const lowRank = branches.length > 1 ? joined(branches) : first;
      return linearCrossEntropy(x, this.weight, targets, { ...options, lowRank });
    });
  }

  #branches(): LowRankBranch[] {
    return this.#branchNames().flatMap(
      (name) => this.#layers.get(name)?.branch(this.training) ?? [],
    );
  }

  #branchNames(): string[] {
    return this.#active.filter((name) => !this.#merged.includes(name));
  }
}

/** "lora_A.weight" of adapter "default" is "lora_A.default.weight" in memory, as in PEFT. */
function inMemory(key: string, adapter: string): string {
  const dot = key.lastIndexOf(".");
  return `${key.slice(0, dot)}.${adapter}${key.slice(dot)}`;
}

/** Several branches as one: ranks concatenated, scales folded into B. */
function joined(branches: readonly LowRankBranch[]): LowRankBranch {
  const dropout = branches[0]?.dropout ?? 0;
  if (branches.some((branch) => (branch.dropout ?? 0) !== dropout)) {
    throw new UsageError(
      `The active adapters have different ${optionName("loraDropout")}, so they cannot train together. Activate one, or give them the same.`,
    );
  }
  return {
    a: concat(
      branches.map(({ a }) => a),
      0,
    ),
    b: concat(
      branches.map(({ b, scale }) => b.mul(scale)),
      1,
    ),
    scale: 1,
    dropout,
  };
}
