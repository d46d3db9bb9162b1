import * as fc from "fast-check";
import { test } from "uvu";
import { array, row, rowCount } from "../../src/reference/array.ts";
import {
  layerNorm,
  layerNormBackward,
  rmsNorm,
  rmsNormBackward,
} from "../../src/reference/norm.ts";
import { fill, seed, size, sizeOrZero } from "../support/arbitraries.ts";
import { expectClose } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const U = 2 ** -53;
const ones = (D: number) => array([D], new Float64Array(D).fill(1));

// eps = 0.1 keeps the slopes of a row of width 1, whose deviation is 0, away from 1/0.
const eps = 0.1;

test("the gradients of layerNorm are its slopes", () => {
  fc.assert(
    fc.property(sizeOrZero(4), size(9), seed, (M, D, seed) => {
      expectGradients({
        inputs: {
          x: array([M, D], fill([M, D], seed)),
          gain: array([D], fill([D], seed + 1)),
          bias: array([D], fill([D], seed + 2)),
        },
        forward: ({ x, gain, bias }) => layerNorm(x, gain, bias, eps),
        backward: (dy, { x, gain }) => {
          const { dx, dgain, dbias } = layerNormBackward(dy, x, gain, eps);
          return { x: dx, gain: dgain, bias: dbias };
        },
        seed,
        roundings: 2 * D + 8,
        // Deviations up to 4, divided by at least sqrt(eps), times a gain up to 2.
        magnitude: (2 * 4) / Math.sqrt(eps),
      });
    }),
  );
});

test("the gradients of rmsNorm are its slopes", () => {
  fc.assert(
    fc.property(sizeOrZero(4), size(9), seed, (M, D, seed) => {
      expectGradients({
        inputs: { x: array([M, D], fill([M, D], seed)), gain: array([D], fill([D], seed + 1)) },
        forward: ({ x, gain }) => rmsNorm(x, gain, eps),
        backward: (dy, { x, gain }) => {
          const { dx, dgain } = rmsNormBackward(dy, x, gain, eps);
          return { x: dx, gain: dgain };
        },
        seed,
        roundings: D + 8,
        magnitude: (2 * 2) / Math.sqrt(eps),
      });
    }),
  );
});

test("layerNorm with gain 1 and bias 0 leaves rows of mean 0 and mean square 1", () => {
  fc.assert(
    fc.property(size(4), fc.integer({ min: 2, max: 33 }), seed, (M, D, seed) => {
      const x = array([M, D], fill([M, D], seed, { min: -3, max: 5 }));
      const y = layerNorm(x, ones(D), array([D]), 0);
      for (let i = 0; i < rowCount(y); i++) {
        const yi = row(y, i);
        // The mean of D numbers up to 5 is off by D 5 U; dividing by the row's deviation magnifies that.
        const center = row(x, i).reduce((a, b) => a + b, 0) / D;
        const std = Math.sqrt(row(x, i).reduce((a, b) => a + (b - center) ** 2, 0) / D);
        const off = ((D + 4) * 5 * U) / std + (D + 4) * Math.sqrt(D) * U;
        expectClose([yi.reduce((a, b) => a + b, 0) / D], [0], off, { what: "mean" });
        const square = yi.reduce((a, b) => a + b * b, 0) / D;
        expectClose([square], [1], 2 * off + 2 * (D + 4) * U, { what: "mean square" });
      }
    }),
  );
});

test("rmsNorm leaves rows of mean square 1, and layerNorm is rmsNorm of the centred row", () => {
  fc.assert(
    fc.property(size(4), fc.integer({ min: 2, max: 33 }), seed, (M, D, seed) => {
      // Whole numbers and D of them mirrored: the mean is exactly 0 without rounding.
      const half = fill([M, D], seed, { min: 1, max: 9, integers: true });
      const x = array([M, 2 * D]);
      for (let i = 0; i < M; i++) {
        for (let j = 0; j < D; j++) {
          row(x, i)[j] = half[i * D + j]!;
          row(x, i)[D + j] = -half[i * D + j]!;
        }
      }
      const gain = array([2 * D], fill([2 * D], seed + 1));
      const centred = layerNorm(x, gain, array([2 * D]));
      const scaled = rmsNorm(x, gain);
      expectClose(centred.data, scaled.data, 0);
      const n = rmsNorm(x, ones(2 * D), 0);
      for (let i = 0; i < M; i++) {
        const square = row(n, i).reduce((a, b) => a + b * b, 0) / (2 * D);
        expectClose([square], [1], 2 * (2 * D + 4) * U);
      }
    }),
  );
});

test("without eps, a norm does not see the scale of its row; layerNorm does not see an offset either", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 17 }), seed, (D, seed) => {
      const x = array([1, D], fill([1, D], seed, { min: -8, max: 8, integers: true }).with(0, 9));
      const gain = array([D], fill([D], seed + 1));
      const bias = array([D], fill([D], seed + 2));
      // Powers of two scale exactly, so equality is to the bit.
      const doubled = array(
        [1, D],
        x.data.map((value) => 2 * value),
      );
      expectClose(rmsNorm(doubled, gain, 0).data, rmsNorm(x, gain, 0).data, 0);
      expectClose(layerNorm(doubled, gain, bias, 0).data, layerNorm(x, gain, bias, 0).data, 0);
      const moved = array(
        [1, D],
        x.data.map((value) => value + 100),
      );
      // The mean of D numbers up to 109 is off by at most (D + 1) 109 U; deviations of whole numbers that are not
      // all equal (one is 9, the others at most 8) have a root mean square of at least 0.7 / sqrt(D).
      const off = 4 * (D + 8) * 109 * U * D;
      expectClose(layerNorm(moved, gain, bias, 0).data, layerNorm(x, gain, bias, 0).data, off);
    }),
  );
});

test.run();
