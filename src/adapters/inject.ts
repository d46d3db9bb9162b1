// Injection: puts LoRA layers beside the linear layers that the options name. Everything is checked before
// anything changes.

import { UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { optionName } from "../core/wording.ts";
import type { Linear } from "../nn/linear.ts";
import type { Transformer } from "../nn/transformer.ts";
import { allOrNothing } from "../tensor/apply.ts";
import { splitSeed } from "../tensor/random.ts";
import { Adapter } from "./adapter.ts";
import { type LoraConfig, type LoraOptions, resolveLoraConfig } from "./config.ts";
import type { AdapterLayer } from "./layer.ts";
import { type LoraShape, makeLoraLayer } from "./lora.ts";
import { adaptersOf, expectModel } from "./set.ts";
import { matchTargets } from "./target.ts";

/** What a new adapter is called and drawn from. */
export interface InjectOptions {
  /** Name among the adapters of one model; default "default". */
  readonly adapterName?: string;
  /** Seed of the initial values; default 0. */
  readonly seed?: number;
}

const INJECT_OPTIONS: OptionNames<InjectOptions> = { adapterName: true, seed: true };

/** A stream of random numbers for a name (FNV-1a, 32 bits), so that adding a layer does not shift the others. */
function streamOf(path: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) hash = Math.imul(hash ^ path.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Fresh layers by path, in the model's engine. */
function makeLayers(
  model: Transformer,
  shapes: readonly (readonly [string, LoraShape])[],
  config: LoraConfig,
  { adapterName, seed }: Required<InjectOptions>,
): Map<string, AdapterLayer> {
  return model.engine.run(
    () =>
      new Map(
        shapes.map(([path, shape]) => {
          const random = { seed, stream: streamOf(`${adapterName}.${path}`) };
          return [path, makeLoraLayer(shape, config.initLoraWeights, random)];
        }),
      ),
  );
}

/**
 * Freezes the model, adds a LoRA adapter (Hu et al. 2021, arXiv:2106.09685) and makes it the active one,
 * beside those that are merged: its tensors train, those of others do not.
 * @throws UsageError for options that make no sense, a name that is taken, or targets that match nothing (the message lists the names that exist); MemoryError. Nothing has changed then.
 * @example
 * const adapter = injectLora(model, { r: 8, loraAlpha: 16, targetModules: ["q_proj", "v_proj"] });
 */
export function injectLora(
  model: Transformer,
  options: LoraOptions = {},
  inject: InjectOptions = {},
): Adapter {
  const adapter = addLora(model, options, inject);
  adaptersOf(model).activateBesideMerged(adapter.name);
  return adapter;
}

/** A product of B [N, r] and A [r, K] has no more independent rows than the smaller of N and K. */
function wideRemark(model: Transformer, paths: readonly string[]): string {
  const [path = ""] = paths;
  const { inFeatures, outFeatures } = model.moduleAt(path) as Linear;
  const others = paths.length > 1 ? ` and ${paths.length - 1} more` : "";
  return (
    `The rank for ${path} [${outFeatures}, ${inFeatures}]${others} is above the smaller side of the weight: it takes ` +
    "memory and time, and cannot express more than that side."
  );
}

/** As `injectLora`, but the adapter takes no part yet, and others go on as they did. */
export function addLora(
  model: Transformer,
  options: LoraOptions = {},
  inject: InjectOptions = {},
): Adapter {
  expectModel(model);
  const config = resolveLoraConfig(options);
  expectOptions(inject, INJECT_OPTIONS, "injection");
  const { adapterName = "default", seed = 0 } = inject;
  splitSeed(seed);
  const set = adaptersOf(model);
  if (typeof adapterName !== "string" || !/^[A-Za-z0-9_-]+$/.test(adapterName)) {
    throw new UsageError(
      `${kindOf(adapterName)} cannot name an adapter: use letters, digits, "_" and "-".`,
    );
  }
  if (set.adapters.has(adapterName)) {
    throw new UsageError(
      `The model has an adapter "${adapterName}" already. Remove it first, or give this one another ${optionName("adapterName")}.`,
    );
  }
  const { targets, warnings } = matchTargets(set.modulePaths(), config, model.config.modelType);
  const wide: string[] = [];
  const shapes = targets.map(({ path, r, scale }): [string, LoraShape] => {
    const { inFeatures, outFeatures } = model.moduleAt(path) as Linear;
    if (r > Math.min(inFeatures, outFeatures)) wide.push(path);
    return [path, { inFeatures, outFeatures, r, scale, dropout: config.loraDropout }];
  });
  const remarks = wide.length === 0 ? warnings : [...warnings, wideRemark(model, wide)];
  const layers = allOrNothing(() => {
    const made = makeLayers(model, shapes, config, { adapterName, seed });
    const { prepack } = options;
    const packing = prepack === undefined ? {} : { prepack };
    if (set.adapters.size === 0) model.freeze(packing);
    else if (prepack !== undefined) model.pack(packing);
    return made;
  });
  for (const [path, layer] of layers) set.adaptedLinear(path).addLayer(adapterName, layer);
  const adapter = new Adapter(adapterName, model, config, layers, remarks);
  set.add(adapter);
  return adapter;
}

/**
 * Makes these adapters, and no others, take part in the forward pass and train; several add up. Others that are
 * merged are unmerged.
 */
export function setActiveAdapters(model: Transformer, names: string | readonly string[]): void {
  adaptersOf(model).activate(typeof names === "string" ? [names] : names);
}

/** Lets the model compute as if it had no adapters; merged ones are unmerged, and all their tensors stay. */
export function disableAdapters(model: Transformer): void {
  adaptersOf(model).activate([]);
}
