// An adapter method: what injection, files, merging, the trainer and the command know of LoRA or IA3. A method is one file
// that implements this interface, and one line of the registry (methods.ts).

import type { Embedding } from "../nn/embedding.ts";
import type { AttentionLike, Layer } from "../nn/layer.ts";
import type { LinearLike } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Adapter } from "./adapter.ts";
import type { AdapterLayer } from "./layer.ts";
import type { OptionTable } from "./option.ts";

/**
 * What a fresh tensor holds: one number, uniform numbers in [−bound, bound), normal ones around 0, or those of another
 * tensor.
 */
export type Init =
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "uniform"; readonly bound: number }
  | { readonly kind: "normal"; readonly std: number }
  | { readonly kind: "copy"; readonly of: Tensor };

/** How a tensor of an adapter is used. */
export interface TensorUse {
  /** Whether it trains while the adapter takes part; default true. One that does not is saved as well. */
  readonly trains?: boolean;
}

/**
 * Gives a layer its tensors: fresh ones, those of a file, or placeholders that only note what was asked for.
 * @param key the tensor's name on disk, after the module's path ("lora_A.weight")
 */
export type TensorSource = (
  key: string,
  shape: readonly number[],
  init: Init,
  use?: TensorUse,
) => Tensor;

/** A module that can carry an adapter, and where it is. */
export type Site =
  | { readonly kind: "linear" | "head"; readonly path: string; readonly module: LinearLike }
  | { readonly kind: "embedding"; readonly path: string; readonly module: Embedding }
  | { readonly kind: "attention"; readonly path: string; readonly module: AttentionLike }
  | {
      readonly kind: "norm" | "mlp" | "block" | "model";
      readonly path: string;
      readonly module: Layer;
    };

/** Kinds of modules that adapters go onto. The head is the linear layer that gives logits. */
export type SiteKind = Site["kind"];

/** Shapes of an adapter's tensors, by the path of their module and their key on disk. */
export type AdapterShapes = ReadonlyMap<string, ReadonlyMap<string, readonly number[]>>;

/** What a method says of an adapter to people and to programs. */
export interface Description {
  /** "LoRA, rank-stabilised" */
  readonly method: string;
  /** What the numbers are about, and the numbers: "Rank", "r 8, alpha 16, scale 2". */
  readonly label: string;
  readonly details: string;
  /** The same as fields of an event. */
  readonly data: Readonly<Record<string, unknown>>;
  /** What differs from module to module, as fields of an event, by path. */
  readonly modules: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
}

/** Keys of adapter_config.json that are not options. */
export interface ForeignKeys {
  /** Those that change what a layer computes, and how: an adapter that sets one is refused. */
  readonly refused: Readonly<Record<string, string>>;
  /** Those that say nothing about a trained adapter. */
  readonly ignored: readonly string[];
  /** What PEFT writes for keys that are neither options nor known here. */
  readonly defaults: Readonly<
    Record<string, null | boolean | string | Readonly<Record<string, never>>>
  >;
}

/** An adapter method with options C; its layers have S in common. */
export interface AdapterMethod<C extends object, S = undefined> {
  /** What people call it: "LoRA". */
  readonly name: string;
  /** What PEFT calls it, the "peft_type" of adapter_config.json. */
  readonly peftType: string;
  readonly options: OptionTable<C>;
  /** The keys of a module's tensors on disk: "lora_A.weight". */
  readonly keys: readonly string[];
  readonly foreignKeys?: ForeignKeys;
  /** Ends of the names of tensors that are in files of related methods, and what to say of them. */
  readonly foreignTensors?: Readonly<Record<string, string>>;
  /** Checks that concern several options. */
  check?(config: C): void;
  /** Fills in what depends on the model's type. */
  forModel?(config: C, modelType: string): C;
  /** The kinds of modules that can carry it. */
  readonly sites: readonly SiteKind[];
  /** What PEFT adapts when no targets are named, by the model's type. */
  readonly defaultTargets?: Readonly<Record<string, readonly string[]>>;
  /** Tensors of the whole adapter, before those of its layers. */
  shared?(sites: readonly Site[], config: C, tensor: TensorSource): S;
  /** The layer of one module. It asks `tensor` for all that it has, whatever the values. */
  make(site: Site, config: C, tensor: TensorSource, shared: S): AdapterLayer;
  /** Remarks on options without effect. */
  remarks?(config: C, sites: readonly Site[]): string[];
  describe?(config: C, shapes: AdapterShapes): Description;
  /** A term of the loss, a scalar. */
  penalty?(adapter: Adapter<C, Module>): Tensor;
  /** Runs after each backward pass of a training step, before gradients are cleared. `step` counts from 1. */
  afterBackward?(adapter: Adapter<C, Module>, step: number): void;
}

/** A method whose options nobody outside of it knows. */
export type AnyMethod = AdapterMethod<object, unknown>;

const NO_FOREIGN: ForeignKeys = { refused: {}, ignored: [], defaults: {} };

/** Of a method whose files have one key that is no option: modules that PEFT saves as a whole. */
export const ONLY_MODULES_TO_SAVE: ForeignKeys = {
  refused: { modules_to_save: "it replaces whole modules" },
  ignored: [],
  defaults: { modules_to_save: null },
};

/** The keys of a method's files that are not options. */
export function foreignKeysOf({ foreignKeys = NO_FOREIGN }: AnyMethod): ForeignKeys {
  return foreignKeys;
}

/** What a method says of an adapter, or what can be said of any. */
export function describe(method: AnyMethod, config: object, shapes: AdapterShapes): Description {
  const described = method.describe?.(config, shapes);
  if (described !== undefined) return described;
  const tensors = [...shapes.values()].reduce((sum, { size }) => sum + size, 0);
  return {
    method: method.name,
    label: "Tensors",
    details: `${tensors} tensors`,
    data: {},
    modules: new Map([...shapes.keys()].map((path) => [path, {}])),
  };
}
