// Which parameters a trainer trains: those that require a gradient. What a caller may not have meant is said.

import { adaptersOf } from "../adapters/set.ts";
import { UsageError } from "../core/error.ts";
import type { Transformer } from "../nn/transformer.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Adapters by name, for a message: `"a" and "b"`. */
function listed(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(" and ");
}

/** What to do so that an adapter of the model trains; null when it has none. */
function adviceOn(model: Transformer): string | null {
  const { adapters, active, merged } = adaptersOf(model);
  if (adapters.size === 0) return null;
  if (merged.length > 0) {
    return `${listed(merged)} is merged into the weights: call unmerge() on the adapter.`;
  }
  const idle = [...adapters.keys()].filter((name) => !active.includes(name));
  if (idle.length > 0) return `${listed(idle)} is not active: call activate() on the adapter.`;
  return null;
}

/**
 * The parameters of a model that train, by name.
 * @throws UsageError when none does, or all do without an adapter and `full` was not given
 */
export function trainedParameters(model: Transformer, full: boolean): ReadonlyMap<string, Tensor> {
  const all = [...model.namedParameters()];
  const trained = all.filter(([, { requiresGrad }]) => requiresGrad);
  if (trained.length === 0) {
    throw new UsageError(
      `Nothing trains: no parameter of the model requires a gradient. ${
        adviceOn(model) ?? "Inject an adapter, or call model.setRequiresGrad(true)."
      }`,
    );
  }
  if (!full && trained.length === all.length && adaptersOf(model).adapters.size === 0) {
    throw new UsageError(
      `The model has no adapter, so all of its ${model.countParameters()} weights would train. Call injectLora(model) first, ` +
        "freeze what is to stay, or give full: true to train them all.",
    );
  }
  return new Map(trained);
}

/** Throws when none of a trainer's parameters trains any more. */
export function expectTraining(model: Transformer, parameters: ReadonlyMap<string, Tensor>): void {
  if ([...parameters.values()].some(({ requiresGrad }) => requiresGrad)) return;
  throw new UsageError(
    "Nothing that this trainer was made for trains any more: an adapter that is inactive or merged does not. " +
      (adviceOn(model) ?? "Activate it, or make a new Trainer."),
  );
}
