// Clipping in a captured step: replays clip to the same norm as the step itself, whatever bits that number has.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { clipGradNorm } from "../../src/optim/clip.ts";
import { SGD } from "../../src/optim/sgd.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, seed } from "../support/arbitraries.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const LENGTH = 24;

/** The number with bit 31 of its low word set or clear. */
function withBit31(value: number, isSet: boolean): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  view.setUint32(4, isSet ? view.getUint32(4) | 0x80000000 : view.getUint32(4) & 0x7fffffff);
  return view.getFloat64(0);
}

/** A weight after three steps whose gradients are `inputs`, clipped to `maxNorm`, with a rate of 1. */
function trained(inputs: readonly Float32Array[], maxNorm: number, captured: boolean): number[] {
  const weight = tensor(new Float32Array(LENGTH), { requiresGrad: true });
  const optimizer = new SGD([weight], { lr: 1 });
  const body = (input: Float32Array): Tensor => {
    const loss = weight.mul(tensor(input)).sum();
    loss.backward();
    clipGradNorm([weight], maxNorm);
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  };
  const step = capture(body);
  for (const input of inputs) {
    if (captured) step(input);
    else scope(() => void body(input));
  }
  assert.is(step.recordings, captured ? 1 : 0);
  const values = [...weight.toArray()];
  step.dispose();
  optimizer.dispose();
  weight.dispose();
  return values;
}

function inputsFrom(start: number): Float32Array[] {
  return [0, 1, 2].map((i) => Float32Array.from(fill([LENGTH], start + i)));
}

for (const { name, engine } of all) {
  test(`captured clipping is the eager one bit for bit, for any norm (${name})`, () => {
    engine.run(() => {
      fc.assert(
        fc.property(fc.double({ min: 1e-6, max: 20, noNaN: true }), seed, (drawn, start) => {
          for (const isSet of [true, false]) {
            const maxNorm = withBit31(drawn, isSet);
            const inputs = inputsFrom(start);
            assert.equal(trained(inputs, maxNorm, true), trained(inputs, maxNorm, false));
          }
        }),
        { numRuns: 40 },
      );
    });
  });

  test(`each replay moves a weight by the length it is clipped to (${name})`, () => {
    engine.run(() => {
      // One direction, so that lengths add up; all of these but 0.5 have bit 31 of the low word set.
      const input = Float32Array.from(fill([LENGTH], 5));
      for (const maxNorm of [0.1, 0.2, 0.5, 0.9]) {
        const moved = trained([input, input, input], maxNorm, true);
        const length = Math.sqrt(moved.reduce((sum, x) => sum + x * x, 0));
        // Clipping divides by norm + 1e-6; what is left is rounding to float32.
        assert.ok(Math.abs(length / (3 * maxNorm) - 1) < 2e-6, `${length} for ${maxNorm}`);
      }
    });
  });
}

test.run();
