// A chain of small ops with its gradient: what an op takes apart from its arithmetic, called from TypeScript or run
// again as part of a captured step. One number, 1 added to it so many times, then backward.

import type { Engine } from "../src/core/engine.ts";
import { capture } from "../src/tensor/capture.ts";
import { ones } from "../src/tensor/create.ts";
import { scope } from "../src/tensor/scope.ts";

export const CHAIN = 100;

/** The chain, eager and replayed. */
export function chainsIn(engine: Engine): {
  readonly eager: () => void;
  readonly replayed: () => void;
} {
  return engine.run(() => {
    const x = ones([1], { requiresGrad: true });
    const body = (): void => {
      let y = x;
      for (let i = 0; i < CHAIN; i++) y = y.add(1);
      y.sum().backward();
      x.zeroGrad();
    };
    const step = capture(body);
    return {
      eager: () => engine.run(() => scope(body)),
      replayed: () => engine.run(() => step()),
    };
  });
}
