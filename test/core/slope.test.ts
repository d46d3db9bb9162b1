// In a captured step gelu and silu leave their derivative in the place of their input, if nobody else reads it. Whether
// somebody does or not, values and gradients are those of an eager step, to the bit.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Engine } from "../../src/core/engine.ts";
import { gelu, silu } from "../../src/tensor/activation.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { normal } from "../../src/tensor/random.ts";
import { recompute } from "../../src/tensor/recompute.ts";
import { composite, scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { seed } from "../support/arbitraries.ts";
import { engines } from "../support/engines.ts";

type Unary = (x: Tensor) => Tensor;

const ACTIVATIONS: Readonly<Record<string, Unary>> = {
  gelu: (x) => gelu(x),
  "gelu (tanh)": (x) => gelu(x, { approximate: "tanh" }),
  silu,
};

/** Each makes something of w [n, 6] and an activation f. */
const READERS: Readonly<Record<string, (w: Tensor, f: Unary) => Tensor>> = {
  "nobody else": (w, f) => f(w.mul(w)),
  "forward, before": (w, f) => {
    const x = w.mul(w);
    const before = x.add(w);
    return f(x).mul(before);
  },
  "forward, after": (w, f) => {
    const x = w.mul(w);
    const y = f(x);
    return y.add(x);
  },
  "backward, of an op before": (w, f) => {
    const x = w.mul(w);
    const before = x.mul(w);
    return f(x).add(before);
  },
  "backward, of an op after": (w, f) => {
    const x = w.mul(w);
    const y = f(x);
    return y.add(x.mul(w));
  },
  "the op that made it": (w, f) => f(w.exp()),
  "a second activation": (w, f) => {
    const x = w.mul(w);
    const y = f(x);
    return y.mul(f(x));
  },
  "a view": (w, f) => {
    const x = w.mul(w);
    const y = f(x.reshape([w.size]));
    return y.reshape(w.shape).add(x);
  },
  "a segment that runs again": (w, f) => recompute(() => f(w.mul(w)).mul(w)),
  "a segment that begins with it": (w, f) => {
    const x = w.mul(w);
    return recompute(() => f(x).exp().mul(w));
  },
  "a segment that ends with it": (w, f) => recompute(() => f(w.mul(w))).mul(w),
  "itself, twice": (w, f) => f(f(w.mul(w)).mul(w)),
};

/** Numbers as text that tells -0 from 0, and no NaN from another. */
function written(numbers: ArrayLike<number> | null): string {
  return Array.from(numbers ?? [], (x) => (Object.is(x, -0) ? "-0" : `${x}`)).join(" ");
}

function stepsOf(
  engine: Engine,
  body: (w: Tensor) => Tensor,
  start: { readonly rows: number; readonly key: number; readonly edges: readonly number[] },
  captured: boolean,
): string[] {
  return engine.run(() => {
    const { rows, key, edges } = start;
    const drawn = normal([rows, 6], { seed: key, std: 2, persistent: true });
    const values = drawn.toArray().map((x, i) => edges[i] ?? x);
    drawn.dispose();
    const leaf = tensor([...values], { requiresGrad: true, persistent: true });
    const pass = (): Tensor => {
      const y = composite({ engine }, () => body(leaf.reshape([rows, 6])));
      y.sum().backward();
      return y;
    };
    const step = capture(pass);
    const seen = [0, 1, 2].flatMap(() => [
      written(captured ? step().toArray() : scope(() => pass().toArray())),
      written(leaf.grad),
    ]);
    step.dispose();
    leaf.dispose();
    return seen;
  });
}

for (const { name, engine } of await engines()) {
  for (const [reader, make] of Object.entries(READERS)) {
    test(`a slope in the place of an input that is read by ${reader} changes no bit (${name})`, () => {
      const edge = fc.constantFrom(0, -0, 1e-40, -1e-40, 88, -88, 1e20, -1e20, Infinity, NaN);
      fc.assert(
        fc.property(
          fc.constantFrom(...Object.values(ACTIVATIONS)),
          fc.record({
            rows: fc.constantFrom(1, 2, 3, 5, 11, 700),
            key: seed,
            edges: fc.array(edge, { maxLength: 6 }),
          }),
          (activation, start) => {
            const body = (w: Tensor): Tensor => make(w, activation);
            assert.equal(stepsOf(engine, body, start, true), stepsOf(engine, body, start, false));
          },
        ),
        { numRuns: 12 },
      );
    });
  }
}

test.run();
