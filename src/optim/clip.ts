// Global-norm clipping (Pascanu et al., arXiv:1211.5063): all gradients taken together as one vector keep their
// direction, and their length becomes at most `maxNorm`.

import { UsageError } from "../core/error.ts";
import { isIterable, kindOf, wrongKind } from "../core/kind.ts";
import { recording } from "../core/recording.ts";
import { Tensor } from "../tensor/tensor.ts";
import { commonEngine, hasGradient, ParameterList } from "./list.ts";

/**
 * Multiplies all gradients by min(1, maxNorm / (norm + 1e-6)) and returns the norm before, summed in float64.
 * Parameters without a gradient do not count. A norm that is not finite is returned and nothing is clipped.
 * With `maxNorm` 0 or Infinity the norm is measured only. In a captured step the number is that of the first run.
 * @throws UsageError for a negative or NaN `maxNorm`, or when there are no parameters at all.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number): number {
  if (!(typeof maxNorm === "number" && maxNorm >= 0)) {
    throw new UsageError(`maxNorm is ${kindOf(maxNorm)}; it must be at least 0 (0: measure only).`);
  }
  if (!isIterable(parameters)) throw wrongKind("What clipGradNorm clips", parameters, "tensors");
  const all = [...new Set(parameters)];
  for (const parameter of all) {
    if (!(parameter instanceof Tensor)) throw wrongKind("A parameter", parameter, "a tensor");
  }
  const engine = commonEngine(all);
  if (engine === undefined) {
    throw new UsageError(
      "clipGradNorm got no parameters. A generator can be walked through once: call parameters() anew.",
    );
  }
  const clipped = all.filter(hasGradient);
  const others = all.filter((parameter) => !hasGradient(parameter));
  recording()?.depends(() => others.some(hasGradient));
  if (clipped.length === 0) return 0;
  const list = new ParameterList(engine, clipped);
  const norm = engine.wasm.clipGradients(list.address, maxNorm);
  // A captured step clips with the same list again.
  const step = recording();
  if (step === null) list.dispose();
  else step.owns(list);
  return norm;
}
