// The functions of one number, and their derivatives, against the float64 reference.
// Tolerances are written in u = 2^-24, half a float32 step: an operation that rounds once is off by u of its result.
// The functions of assembly/math/functions.ts are off by at most 1.03 (exp), 0.88 (log), 1.34 (tanh), 1.45 (erf) and 2.49
// (sigmoid) steps of 2u of their result.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError } from "../../src/core/error.ts";
import * as reference from "../../src/reference/activation.ts";
import { type Arr, array } from "../../src/reference/array.ts";
import {
  exp,
  gelu,
  log,
  neg,
  relu,
  sigmoid,
  silu,
  sqrt,
  tanh,
} from "../../src/tensor/activation.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { type FillOptions, fill, seed, shape } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { all, expectOp, expectRefusal, expectThreads, run, U } from "./againstReference.ts";

interface Activation {
  readonly name: string;
  readonly op: (x: Tensor) => Tensor;
  readonly forward: (x: Arr) => Arr;
  readonly backward: (dy: Arr, x: Arr) => Arr;
  readonly domain: FillOptions;
  /** How far y may be off, in u. */
  readonly off: (x: number, y: number) => number;
  /** How far the slope may be off, in u, before it is multiplied by dy. */
  readonly slopeOff: (x: number, y: number, slope: number) => number;
}

const { abs } = Math;
const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
const density = (x: number): number => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

// The argument of the sigmoid in gelu's approximation, and x times its derivative.
const SLOPE = 2 * Math.sqrt(2 / Math.PI);
const inner = (x: number): number => SLOPE * (x + 0.044715 * x ** 3);
const steepness = (x: number): number => abs(SLOPE * (x + 3 * 0.044715 * x ** 3));
// Five roundings on the way to inner(x) move the sigmoid by (1 - c) of that; then its own 2.49 steps.
const shareOff = (x: number): number => 5 + 5 * abs(inner(x)) * logistic(-inner(x));

const WIDE = { min: -8, max: 8 };

const activations: readonly Activation[] = [
  {
    name: "neg",
    op: neg,
    forward: reference.neg,
    backward: (dy) => reference.negBackward(dy),
    domain: WIDE,
    off: () => 0,
    slopeOff: () => 0,
  },
  {
    name: "exp",
    op: exp,
    forward: reference.exp,
    backward: reference.expBackward,
    domain: WIDE,
    off: (_, y) => 2.06 * y,
    slopeOff: (_, y) => 3.1 * y,
  },
  {
    name: "log",
    op: log,
    forward: reference.log,
    backward: reference.logBackward,
    domain: { min: 2 ** -10, max: 100 },
    off: (_, y) => 1.76 * abs(y),
    slopeOff: (_, __, slope) => slope,
  },
  {
    name: "sqrt",
    op: sqrt,
    forward: reference.sqrt,
    backward: reference.sqrtBackward,
    domain: { min: 2 ** -10, max: 100 },
    off: (_, y) => y,
    // y is rounded, and so is the quotient.
    slopeOff: (_, __, slope) => 2.01 * slope,
  },
  {
    name: "tanh",
    op: tanh,
    forward: reference.tanh,
    backward: reference.tanhBackward,
    domain: WIDE,
    off: (_, y) => 2.68 * abs(y),
    // (1 - y)(1 + y) moves by 2|y| times the error of y; three roundings of numbers up to 1, 2 and 1.
    slopeOff: () => 2 * 2.68 + 4,
  },
  {
    name: "sigmoid",
    op: sigmoid,
    forward: reference.sigmoid,
    backward: reference.sigmoidBackward,
    domain: WIDE,
    off: (_, y) => 4.98 * y,
    // y (1 - y) moves by |1 - 2y| <= 1 times the error of y; three roundings of numbers up to 1.
    slopeOff: (_, y) => 8 * y,
  },
  {
    name: "relu",
    op: relu,
    forward: reference.relu,
    backward: reference.reluBackward,
    domain: { min: -3, max: 3, zeros: 0.1 },
    off: () => 0,
    slopeOff: () => 0,
  },
  {
    name: "silu",
    op: silu,
    forward: reference.silu,
    backward: reference.siluBackward,
    domain: WIDE,
    off: (_, y) => 6 * abs(y),
    // s + x s (1 - s), s off by 5 of itself: the product by |x| s (5 + 3 roundings), the sum by one more.
    slopeOff: (x, _, slope) => logistic(x) * (5 + 8 * abs(x)) + 2 * abs(slope),
  },
  {
    name: "gelu with tanh",
    op: (x) => gelu(x, { approximate: "tanh" }),
    forward: reference.geluTanh,
    backward: reference.geluTanhBackward,
    domain: WIDE,
    off: (x, y) => (shareOff(x) + 1) * abs(y),
    // c + x u' c (1 - c), c off by shareOff of itself, x u' by 6 roundings, 1 - c by the error of c and a rounding.
    slopeOff: (x, _, slope) =>
      logistic(inner(x)) * (shareOff(x) + steepness(x) * (shareOff(x) + 9)) + 2 * abs(slope),
  },
  {
    name: "gelu",
    op: (x) => gelu(x),
    forward: reference.gelu,
    backward: reference.geluBackward,
    domain: WIDE,
    // (1 + erf) / 2: half of erf's 2.9 u and of what two roundings of its argument do (at most 0.97 u), and a
    // rounding of a number up to 1; then the product.
    off: (x, y) => 3 * abs(x) + abs(y),
    // Φ as above; the density's argument is off by x²/2 u, exp by 2.06, two products and a sum follow.
    slopeOff: (x, _, slope) => 3 + abs(x) * density(x) * ((x * x) / 2 + 2.06 + 4) + 2 * abs(slope),
  },
];

function expectActivation(
  { op, forward, backward, domain, off, slopeOff }: Activation,
  shape: readonly number[],
  seed: number,
): void {
  const x = array(shape, fill(shape, seed, domain));
  const dy = array(shape, fill(shape, seed ^ 99));
  const y = forward(x);
  const dx = backward(dy, x);
  expectOp({
    inputs: [x],
    op,
    dy,
    y: { values: y, tolerance: y.data.map((value, i) => 1.01 * U * off(x.data[i]!, value)) },
    gradients: [
      {
        values: dx,
        // One more rounding for the product with dy.
        tolerance: dx.data.map((value, i) => {
          const slope = slopeOff(x.data[i]!, y.data[i]!, abs(value / dy.data[i]!));
          return 1.01 * U * (abs(dy.data[i]!) * slope + (slope === 0 ? 0 : abs(value)));
        }),
      },
    ],
  });
}

for (const activation of activations) {
  const { name, op, domain } = activation;

  test(`${name} and its derivative agree with the reference`, () => {
    fc.assert(
      fc.property(
        shape({ minRank: 0, maxSize: 40, maxRank: 3, zeros: true }),
        seed,
        (shape, seed) => expectActivation(activation, shape, seed),
      ),
      { numRuns: 40 },
    );
  });

  test(`${name} gives the same bits on two threads`, () => {
    const shape = [203, 331];
    const x = array(shape, fill(shape, 1, domain));
    expectThreads([x], array(shape, fill(shape, 2)), op);
  });

  test(`an element of ${name} has the same bits wherever it lies`, () => {
    const x = array([67], fill([67], 3, domain));
    const dy = array([67], fill([67], 4));
    for (const engine of all) {
      const whole = run(engine.engine, [x], dy, op);
      for (const start of [1, 2, 3, 17, 66]) {
        const tail = (values: Arr): Arr => array([67 - start], values.data.slice(start));
        const part = run(engine.engine, [tail(x)], tail(dy), op);
        expectSame(part.y, whole.y.subarray(start), { what: engine.name });
        expectSame(part.gradients[0]!, whole.gradients[0]!.subarray(start), { what: engine.name });
      }
    }
  });

  test(`NaN goes through ${name}`, () => {
    const x = array([5], [1, Number.NaN, 1, 1, Number.NaN]);
    for (const { engine } of all) {
      const { y } = run(engine, [x], array([5], [1, 1, 1, 1, 1]), op);
      assert.equal([...y].map(Number.isNaN), [false, true, false, false, true]);
    }
  });
}

test("at the ends of the number line each function has its limit", () => {
  const inf = Number.POSITIVE_INFINITY;
  const x = array([4], [-inf, -1e30, 1e30, inf]);
  const limits: Record<string, readonly number[]> = {
    neg: [inf, Math.fround(1e30), Math.fround(-1e30), -inf],
    exp: [0, 0, inf, inf],
    tanh: [-1, -1, 1, 1],
    sigmoid: [0, 0, 1, 1],
    relu: [0, 0, Math.fround(1e30), inf],
    // -∞ · 0 is NaN, in the reference as well.
    silu: [Number.NaN, 0, Math.fround(1e30), inf],
    gelu: [Number.NaN, 0, Math.fround(1e30), inf],
    "gelu with tanh": [Number.NaN, 0, Math.fround(1e30), inf],
  };
  for (const { engine, name: build } of all) {
    for (const { name, op } of activations) {
      const expected = limits[name];
      if (expected === undefined) continue;
      const { y } = run(engine, [x], array([4], [1, 1, 1, 1]), op);
      expectClose(y, expected, 0, { what: `${name}, ${build}` });
    }
    const y = run(engine, [array([4], [0, -1, 1, inf])], array([4], [0, 0, 0, 0]), log).y;
    expectClose(y, [-inf, Number.NaN, 0, inf], 0, { what: `log, ${build}` });
    const roots = run(engine, [array([4], [0, -1, 4, inf])], array([4], [0, 0, 0, 0]), sqrt).y;
    expectClose(roots, [0, Number.NaN, 2, inf], 0, { what: `sqrt, ${build}` });
  }
});

test("integers are refused", () => {
  all[0]!.engine.run(() =>
    scope(() => {
      const indices = tensor(Int32Array.of(1, 2));
      for (const { op } of activations) {
        expectRefusal(() => op(indices), ShapeError, "int32", "float32", "[2]");
      }
    }),
  );
});

test.run();
