// A captured step's plan gives what several ops or passes read the memory that each of them needs.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { gelu } from "../../src/tensor/activation.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { linearCrossEntropy } from "../../src/tensor/linearCrossEntropy.ts";
import { normal } from "../../src/tensor/random.ts";
import { recompute } from "../../src/tensor/recompute.ts";
import { composite, scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { engine, inEngine } from "../support/inEngine.ts";

/** The gradients of w [300, 32] after two steps in which `body` goes back to it. */
function gradientOf(body: (w: Tensor) => void, captured: boolean): Float32Array {
  const w = normal([300, 32], { seed: 1, persistent: true, requiresGrad: true });
  const step = capture(() => body(w));
  for (let i = 0; i < 2; i++) captured ? step() : scope(() => body(w));
  const gradient = w.grad!.slice();
  step.dispose();
  w.dispose();
  return gradient;
}

inEngine("no gradient takes the place of values that the op has as a detached source too", () => {
  const targets = tensor(
    Int32Array.from({ length: 300 }, (_, i) => (i * 7) % 300),
    { dtype: "int32", persistent: true },
  );
  const body = (w: Tensor): void =>
    composite({ engine }, () => {
      const x = w.neg();
      // The weight is read for each chunk of 128 rows, in backward again where the loss is a sum.
      return linearCrossEntropy(x, x.detach(), targets, { reduction: "sum" });
    }).backward();
  assert.equal(gradientOf(body, true), gradientOf(body, false));
  targets.dispose();
});

inEngine(
  "a segment that a second pass comes to finds what was made before it without gradients",
  () => {
    const c = normal([300, 32], { seed: 2, persistent: true });
    const body = (w: Tensor): void => {
      const late = composite({ engine }, () => {
        const before = c.exp();
        return recompute(() => w.mul(before.tanh()).tanh());
      });
      const chain = composite({ engine }, () =>
        gelu(gelu(w.tanh().add(w)).mul(w))
          .mul(w)
          .sum(),
      );
      chain.backward();
      late.sum().backward();
    };
    assert.equal(gradientOf(body, true), gradientOf(body, false));
    c.dispose();
  },
);

test.run();
