import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { array, row } from "../../src/reference/array.ts";
import { crossEntropy, crossEntropyBackward } from "../../src/reference/crossEntropy.ts";
import { logSoftmax } from "../../src/reference/softmax.ts";
import { fill, seed, size, sizeOrZero, uniform } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const reduction = fc.constantFrom("mean" as const, "sum" as const);

// A third of the rows is ignored.
function drawTargets(N: number, V: number, seed: number, ignoreIndex = -100) {
  const next = uniform(seed);
  return array(
    [N],
    Float64Array.from({ length: N }, () => (next() < 1 / 3 ? ignoreIndex : Math.floor(next() * V))),
  );
}

test("the gradient of crossEntropy is its slope, and 0 in ignored rows", () => {
  fc.assert(
    fc.property(sizeOrZero(6), size(9), seed, reduction, (N, V, seed, reduction) => {
      const targets = drawTargets(N, V, seed, -7);
      const options = { ignoreIndex: -7, reduction };
      expectGradients({
        inputs: { logits: array([N, V], fill([N, V], seed)) },
        forward: ({ logits }) => crossEntropy(logits, targets, options),
        backward: (dloss, { logits }) => ({
          logits: crossEntropyBackward(dloss, logits, targets, options),
        }),
        seed,
        roundings: N + V + 8,
        magnitude: 6 * 8,
      });
      const dlogits = crossEntropyBackward(array([], [1]), array([N, V]), targets, options);
      for (let i = 0; i < N; i++) {
        if (targets.data[i] === -7) expectSame(row(dlogits, i), new Float64Array(V));
      }
    }),
  );
});

test("the loss is the mean of -logSoftmax at the targets, over counted rows alone", () => {
  fc.assert(
    fc.property(size(9), size(17), seed, (N, V, seed) => {
      const logits = array([N, V], fill([N, V], seed));
      const targets = drawTargets(N, V, seed);
      const logP = logSoftmax(logits);
      const counted = Array.from(targets.data.keys()).filter((i) => targets.data[i] !== -100);
      const total = counted.reduce((sum, i) => sum - row(logP, i)[targets.data[i]!]!, 0);
      const tolerance = 2 * (N + 4) * 2 ** -53 * Math.max(1, total);
      expectClose(crossEntropy(logits, targets, { reduction: "sum" }).data, [total], tolerance);
      const mean = counted.length === 0 ? 0 : total / counted.length;
      expectClose(crossEntropy(logits, targets).data, [mean], tolerance);
    }),
  );
});

test("a model that knows nothing loses ln V nats a token", () => {
  const loss = crossEntropy(array([3, 100]), array([3], [0, 5, 99]));
  expectClose(loss.data, [Math.log(100)], 1e-15 * Math.log(100));
});

test("without a counted row, loss and gradient are 0", () => {
  const logits = array([2, 3], [1, 2, 3, 4, 5, 6]);
  const targets = array([2], [-100, -100]);
  expectSame(crossEntropy(logits, targets).data, [0]);
  expectSame(crossEntropyBackward(array([], [1]), logits, targets).data, new Float64Array(6));
});

test("a target that is no class is an error that names target and row", () => {
  assert.throws(() => crossEntropy(array([2, 3]), array([2], [0, 3])), /Target 3 of row 1/);
  assert.throws(() => crossEntropy(array([2, 3]), array([2], [-1, 0])), /Target -1 of row 0/);
});

test.run();
