// Global-norm clipping (Pascanu et al., arXiv:1211.5063): all gradients taken together as one vector keep their
// direction, and their length becomes at most `maxNorm`.

import { UsageError } from "../core/error.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { commonEngine, hasGradient, ParameterList } from "./list.ts";

/** PyTorch's guard against dividing by zero. */
const GUARD = 1e-6;

/**
 * Multiplies all gradients by min(1, maxNorm / (norm + 1e-6)) and returns the norm before, summed in float64.
 * Parameters without a gradient do not count. A norm that is not finite is returned and nothing is clipped.
 * With `maxNorm` 0 or Infinity the norm is measured only.
 * @throws UsageError for a negative or NaN `maxNorm`, or when there are no parameters at all.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number): number {
  if (!(maxNorm >= 0)) {
    throw new UsageError(`maxNorm is ${maxNorm}; it must be at least 0 (0: measure only).`);
  }
  const all = [...new Set(parameters)];
  const engine = commonEngine(all);
  if (engine === undefined) {
    throw new UsageError(
      "clipGradNorm got no parameters. A generator can be walked through once: call parameters() anew.",
    );
  }
  const clipped = all.filter(hasGradient);
  if (clipped.length === 0) return 0;
  const list = new ParameterList(engine, clipped);
  try {
    const norm = engine.wasm.gradientNorm(list.address);
    const factor = maxNorm / (norm + GUARD);
    if (maxNorm > 0 && Number.isFinite(norm) && factor < 1) {
      list.setHead("factor", factor);
      engine.wasm.scaleGradients(list.address);
    }
    return norm;
  } finally {
    list.dispose();
  }
}
