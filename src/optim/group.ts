// Parameter groups: parameters that share a learning rate and a weight decay, as in PyTorch.

import { UsageError } from "../core/error.ts";
import { isIterable, kindOf, wrongKind } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { optionName } from "../core/wording.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Parameters with settings of their own; what is not given is the optimizer's. */
export interface ParameterGroup {
  readonly params: Iterable<Tensor>;
  readonly lr?: number;
  readonly weightDecay?: number;
}

const GROUP_OPTIONS: OptionNames<ParameterGroup> = { params: true, lr: true, weightDecay: true };

/** What an optimizer is made for: parameters, or groups of them. */
export type Parameters = Iterable<Tensor> | Iterable<ParameterGroup>;

/** Throws unless a setting is finite and at least 0. */
export function expectNotNegative(name: string, value: number): number {
  if (Number.isFinite(value) && value >= 0) return value;
  throw new UsageError(`${name} is ${kindOf(value)}; it must be a finite number of at least 0.`);
}

/** A group of an optimizer. Its rate and decay may be changed between steps. */
export class Group {
  readonly params: readonly Tensor[];
  #lr: number;
  #weightDecay: number;

  constructor(params: readonly Tensor[], lr: number, weightDecay: number) {
    this.params = params;
    this.#lr = expectNotNegative(optionName("lr"), lr);
    this.#weightDecay = expectNotNegative(optionName("weightDecay"), weightDecay);
  }

  /** Learning rate, before the schedule's factor. */
  get lr(): number {
    return this.#lr;
  }

  set lr(value: number) {
    this.#lr = expectNotNegative(optionName("lr"), value);
  }

  get weightDecay(): number {
    return this.#weightDecay;
  }

  set weightDecay(value: number) {
    this.#weightDecay = expectNotNegative(optionName("weightDecay"), value);
  }
}

function expectTrainable(parameter: Tensor): void {
  if (!(parameter instanceof Tensor)) throw wrongKind("A parameter", parameter, "a tensor");
  const what = `A parameter of shape [${parameter.shape}]`;
  if (parameter.packed) {
    throw new UsageError(
      `${what} is packed, hence frozen; an optimizer takes parameters that train. Set requiresGrad = true first, or leave it out.`,
    );
  }
  if (!parameter.requiresGrad) {
    throw new UsageError(
      `${what} does not require a gradient; an optimizer takes parameters that train. ` +
        "Set requiresGrad = true or activate its adapter first, or leave it out, as trainableParameters() of a module does.",
    );
  }
  if (!parameter.persistent) {
    throw new UsageError(
      `${what} belongs to a scope and will go with it; an optimizer takes persistent tensors. Make it outside of scopes, or with { persistent: true }.`,
    );
  }
}

/** Groups from what the user gave; every parameter trains and comes once. */
export function makeGroups(parameters: Parameters, lr: number, weightDecay: number): Group[] {
  const tensors: Tensor[] = [];
  const given: ParameterGroup[] = [];
  if (!isIterable(parameters)) {
    throw wrongKind(
      "What an optimizer is made for",
      parameters,
      "tensors, or groups of them",
      "Give parameters() of an adapter or a model.",
    );
  }
  for (const item of parameters) {
    if (item instanceof Tensor) tensors.push(item);
    else given.push(item);
  }
  if (tensors.length > 0 && given.length > 0) {
    throw new UsageError(
      `An optimizer got ${tensors.length} tensors mixed with ${given.length} parameter groups; give either.`,
    );
  }
  if (tensors.length > 0) given.push({ params: tensors });
  const seen = new Set<Tensor>();
  const groups = given.map((item) => {
    expectOptions(item, GROUP_OPTIONS, "a group of parameters");
    if (!isIterable(item.params)) throw wrongKind("params", item.params, "tensors");
    const params = [...item.params];
    for (const parameter of params) {
      expectTrainable(parameter);
      if (seen.has(parameter)) {
        throw new UsageError(
          `A parameter of shape [${parameter.shape}] was given to an optimizer twice; each may come once, in one group.`,
        );
      }
      seen.add(parameter);
    }
    return new Group(params, item.lr ?? lr, item.weightDecay ?? weightDecay);
  });
  if (seen.size === 0) {
    throw new UsageError(
      "An optimizer got no parameters. A generator can be walked through once: call parameters() anew, and check that something trains.",
    );
  }
  return groups;
}
