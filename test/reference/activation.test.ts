import * as fc from "fast-check";
import { test } from "uvu";
import * as activation from "../../src/reference/activation.ts";
import { type Arr, array } from "../../src/reference/array.ts";
import { erf, erfc } from "../../src/reference/erf.ts";
import { fill, seed, shape } from "../support/arbitraries.ts";
import { expectClose } from "../support/compare.ts";
import { expectGradients } from "../support/gradients.ts";

const ops: [string, (x: Arr) => Arr, (dy: Arr, x: Arr) => Arr, number, number][] = [
  ["neg", activation.neg, activation.negBackward, -3, 3],
  ["exp", activation.exp, activation.expBackward, -3, 3],
  ["log", activation.log, activation.logBackward, 0.25, 3],
  ["sqrt", activation.sqrt, activation.sqrtBackward, 0.25, 3],
  ["tanh", activation.tanh, activation.tanhBackward, -3, 3],
  ["sigmoid", activation.sigmoid, activation.sigmoidBackward, -6, 6],
  ["relu above its kink", activation.relu, activation.reluBackward, 0.01, 3],
  ["relu below its kink", activation.relu, activation.reluBackward, -3, -0.01],
  ["silu", activation.silu, activation.siluBackward, -6, 6],
  ["gelu", activation.gelu, activation.geluBackward, -4, 4],
  ["geluTanh", activation.geluTanh, activation.geluTanhBackward, -4, 4],
];

for (const [name, forward, backward, min, max] of ops) {
  test(`the gradient of ${name} is its slope`, () => {
    fc.assert(
      fc.property(shape({ minRank: 0, maxSize: 5, zeros: true }), seed, (shape, seed) => {
        expectGradients({
          inputs: { x: array(shape, fill(shape, seed, { min, max })) },
          forward: ({ x }) => forward(x),
          backward: (dy, { x }) => ({ x: backward(dy, x) }),
          seed,
          // erfc is a product of five factors, each good to a few roundings.
          roundings: 32,
        });
      }),
    );
  });
}

// Fixed point with 320 binary digits after the point, in exact integers: slow, plain, and far more precise than
// float64, so that erf can be judged.
const ONE = 1n << 320n;

function fixed(x: number): bigint {
  return (BigInt(x * 2 ** 60) * ONE) >> 60n;
}

function float(x: bigint): number {
  const sign = x < 0n ? -1 : 1;
  const magnitude = x < 0n ? -x : x;
  const extra = Math.max(0, magnitude.toString(2).length - 64);
  return (sign * Number(magnitude >> BigInt(extra)) * 2 ** (extra - 160)) / 2 ** 160;
}

function squareRoot(n: bigint): bigint {
  let root = 1n << BigInt(Math.ceil(n.toString(2).length / 2));
  for (let next = (root + n / root) >> 1n; next < root; next = (root + n / root) >> 1n) root = next;
  return root;
}

// pi = 16 arctan(1/5) - 4 arctan(1/239) (Machin).
function arctanOfInverse(n: bigint): bigint {
  let sum = 0n;
  let power = ONE / n;
  for (let k = 1n; power !== 0n; k += 2n) {
    sum += k % 4n === 1n ? power / k : -power / k;
    power /= n * n;
  }
  return sum;
}
const PI = 16n * arctanOfInverse(5n) - 4n * arctanOfInverse(239n);

// erf(x) = 2/sqrt(pi) * sum_n (-1)^n x^(2n+1) / (n! (2n+1)), Taylor's series. It cancels (terms reach e^(x^2), 2^93
// at 8), which 320 digits can afford.
function exactErf(x: number): bigint {
  const square = (fixed(x) * fixed(x)) / ONE;
  let term = fixed(x);
  let sum = 0n;
  for (let n = 0n; term !== 0n; n++) {
    sum += term / (2n * n + 1n);
    term = (-term * square) / ONE / (n + 1n);
  }
  return (2n * sum * ONE) / squareRoot(PI * ONE);
}

// 2^-30 steps, so that `fixed` is exact.
const argument = fc.integer({ min: -6 * 2 ** 30, max: 6 * 2 ** 30 }).map((n) => n / 2 ** 30);

test("erf is right to 1e-15 of its value", () => {
  fc.assert(
    fc.property(argument, (x) => {
      const exact = float(exactErf(x));
      expectClose([erf(x)], [exact], 1e-15 * Math.abs(exact), { what: `erf(${x})` });
    }),
    { numRuns: 300 },
  );
});

test("erfc is right to 2e-15 of its value from 2 on, and to 1e-15 below", () => {
  fc.assert(
    fc.property(argument, (x) => {
      const exact = float(ONE - exactErf(x));
      const allowed = x >= 2 ? 2e-15 * exact : 1e-15;
      expectClose([erfc(x)], [exact], allowed, { what: `erfc(${x})` });
    }),
    { numRuns: 300 },
  );
});

test("both kinds of gelu differ by less than 0.0005 everywhere, as their paper says of the approximation", () => {
  const x = array(
    [2001],
    Float64Array.from({ length: 2001 }, (_, i) => (i - 1000) / 100),
  );
  expectClose(activation.geluTanh(x).data, activation.gelu(x).data, 0.0005);
});

test("at its kink, 0, relu has the slope 0", () => {
  const dx = activation.reluBackward(array([2], [5, 5]), array([2], [0, -0]));
  expectClose(dx.data, [0, 0], 0);
});

test("far from zero every activation goes to its limit without overflow", () => {
  const x = array([4], [-1000, -40, 40, 1000]);
  expectClose(activation.gelu(x).data, [0, 0, 40, 1000], 1e-300);
  expectClose(activation.geluTanh(x).data, [0, 0, 40, 1000], 1e-300);
  expectClose(activation.sigmoid(x).data, [0, 0, 1, 1], 1e-17);
  expectClose(activation.tanh(x).data, [-1, -1, 1, 1], 0);
  const ones = array([4], [1, 1, 1, 1]);
  expectClose(activation.geluBackward(ones, x).data, [0, 0, 1, 1], 1e-300);
  expectClose(activation.geluTanhBackward(ones, x).data, [0, 0, 1, 1], 1e-300);
  expectClose(activation.siluBackward(ones, x).data, [0, 0, 1, 1], 1e-15);
});

test.run();
