import * as fc from "fast-check";
import { test } from "uvu";
import { type Arr, array } from "../../src/reference/array.ts";
import { type Ia3, ia3Backward, ia3Forward, ia3Merge } from "../../src/reference/ia3.ts";
import { linear } from "../../src/reference/linear.ts";
import { fill, seed, size } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const U = 2 ** -53;

const cases = fc
  .record({ M: size(5), inputs: size(9), outputs: size(9), isFeedforward: fc.boolean(), seed })
  .map(({ M, inputs, outputs, isFeedforward, seed: start }) => {
    const width = isFeedforward ? inputs : outputs;
    const layer: Ia3 = {
      W: array([outputs, inputs], fill([outputs, inputs], start)),
      b: array([outputs], fill([outputs], start + 1)),
      l: array([width], fill([width], start + 2)),
      isFeedforward,
    };
    return { layer, x: array([M, inputs], fill([M, inputs], start + 3)), seed: start };
  });

const absolute = (x: Arr): Arr => array(x.shape, x.data.map(Math.abs));

test("ones change nothing", () => {
  fc.assert(
    fc.property(cases, ({ layer, x }) => {
      const fresh = {
        ...layer,
        l: array(
          layer.l.shape,
          layer.l.data.map(() => 1),
        ),
      };
      expectSame(ia3Forward(fresh, x).data, linear(x, layer.W, { bias: layer.b }).data);
    }),
  );
});

test("merged and unmerged agree within their roundings", () => {
  fc.assert(
    fc.property(cases, ({ layer, x }) => {
      const { W, b } = ia3Merge(layer);
      // Each product and each addition of a sum of in + 1 terms is rounded once, and so is the factor: n = in + 3.
      const n = (x.shape[1] ?? 0) + 3;
      const gamma = (n * U) / (1 - n * U);
      const size = { ...layer, W: absolute(layer.W), b: absolute(layer.b!), l: absolute(layer.l) };
      const bound = ia3Forward(size, absolute(x)).data.map((value) => 2 * gamma * value);
      expectClose(linear(x, W, { bias: b }).data, ia3Forward(layer, x).data, bound);
    }),
  );
});

test("the gradients are the slopes of the forward", () => {
  fc.assert(
    fc.property(cases, ({ layer, x, seed: start }) => {
      expectGradients({
        inputs: { x, l: layer.l },
        forward: (inputs) => ia3Forward({ ...layer, l: inputs.l }, inputs.x),
        backward: (dy, inputs) => {
          const { dl, dx } = ia3Backward({ ...layer, l: inputs.l }, inputs.x, dy);
          return { l: dl, x: dx };
        },
        seed: start,
        roundings: (x.shape[1] ?? 0) + 4,
      });
    }),
    { numRuns: 40 },
  );
});

test.run();
