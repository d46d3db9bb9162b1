// The transcendental functions of the engine against float64: errors in ulps of the exact value, special values,
// symmetries, and that a vector's lanes are the scalar twins. Samples are dense and the same in every run.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { erf } from "../../src/reference/erf.ts";
import { uniform } from "../support/arbitraries.ts";
import { expectSameBits } from "./gemm-harness.ts";
import {
  baseline,
  builds,
  relaxed,
  ulp,
  type VectorName,
  vectorNames,
  vectors,
} from "./math-harness.ts";

const { fround } = Math;
const Infinite = Number.POSITIVE_INFINITY;
const word = new DataView(new ArrayBuffer(4));

function fromBits(bits: number): number {
  word.setUint32(0, bits);
  return word.getFloat32(0);
}

function toBits(value: number): number {
  word.setFloat32(0, value);
  return word.getUint32(0);
}

/** Positive floats from low to high, equally many in every binade (uniform in their bits). */
function spread(low: number, high: number, count: number, seed: number): Float32Array {
  const next = uniform(seed);
  const [first, last] = [toBits(low), toBits(high)];
  return Float32Array.from({ length: count }, () =>
    fromBits(first + Math.floor(next() * (last - first + 1))),
  );
}

function largestError(
  actual: (x: number) => number,
  exact: (x: number) => number,
  samples: Float32Array,
): number {
  let largest = 0;
  for (const x of samples) {
    const expected = exact(x);
    const error = Math.abs(actual(x) - expected) / ulp(expected);
    // Written so that a NaN is kept.
    if (!(error <= largest)) largest = error;
  }
  return largest;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
// [function, exact values, least |x|, greatest |x|, both signs, bound in ulps]. The bounds are the greatest errors
// of the two builds over every float where they are not yet linear (sin and cos: every third), plus 0.01; measured maxima beside.
const accuracy: [VectorName, (x: number) => number, number, number, boolean, number][] = [
  ["exp", Math.exp, 2 ** -26, 86.98, true, 1.04], // 1.004 baseline, 1.028 relaxed
  ["exp", Math.exp, 1, 88.72283, false, 1.04],
  ["log", Math.log, 2 ** -149, 3.4028234e38, false, 0.89], // 0.876 in both
  ["log", Math.log, 0.5, 2, false, 0.89],
  ["tanh", Math.tanh, 2 ** -126, 10, true, 1.35], // 1.331 in both
  ["tanh", Math.tanh, 0.5, 1, true, 1.35],
  ["sigmoid", sigmoid, 2 ** -26, 86.98, true, 2.5], // 2.481 in both, at negative x
  ["erf", erf, 2 ** -126, 4, true, 1.46], // 1.443 baseline, 1.175 relaxed
  ["erf", erf, 0.5, 1.5, true, 1.46],
  ["sin", Math.sin, 2 ** -126, 2 ** 27, true, 0.511], // 0.5001 in both
  ["sin", Math.sin, 0.5, 8192, true, 0.511],
  ["cos", Math.cos, 2 ** -126, 2 ** 27, true, 0.511], // 0.5001 in both
  ["cos", Math.cos, 0.5, 8192, true, 0.511],
];

for (const { name: build, kernels } of builds) {
  for (const [name, exact, low, high, both, bound] of accuracy) {
    test(`${build}: ${name} is within ${bound} ulp for |x| from ${low} to ${high}`, () => {
      const samples = spread(low, high, name === "erf" ? 40_000 : 150_000, 1);
      if (both) for (let i = 0; i < samples.length; i += 2) samples[i]! *= -1;
      const largest = largestError(kernels[`${name}32`], exact, samples);
      assert.ok(largest <= bound, `the largest error is ${largest} ulp`);
      // A bound far above what happens would say nothing.
      assert.ok(largest >= 0.49, `the largest error is only ${largest} ulp`);
    });
  }

  test(`${build}: special values are those of IEEE 754 functions`, () => {
    const cases: [VectorName, number, number][] = [
      ["exp", 0, 1],
      ["exp", -0, 1],
      ["exp", -Infinite, 0],
      ["exp", Infinite, Infinite],
      ["exp", 88.8, Infinite],
      ["exp", 3e38, Infinite],
      ["exp", -104, 0],
      ["exp", -87, 0],
      ["exp", -3e38, 0],
      ["exp", 2 ** -149, 1],
      ["log", 1, 0],
      ["log", 0, -Infinite],
      ["log", -0, -Infinite],
      ["log", Infinite, Infinite],
      ["log", -1, Number.NaN],
      ["log", -(2 ** -149), Number.NaN],
      ["log", -Infinite, Number.NaN],
      ["log", 2 ** -149, fround(-149 * Math.LN2)],
      ["tanh", Infinite, 1],
      ["tanh", 9.1, 1],
      ["tanh", 3e38, 1],
      ["tanh", 0, 0],
      ["tanh", 2 ** -149, 2 ** -149],
      ["sigmoid", 0, 0.5],
      ["sigmoid", Infinite, 1],
      ["sigmoid", 90, 1],
      ["sigmoid", -Infinite, 0],
      ["sigmoid", -100, 0],
      ["erf", Infinite, 1],
      ["erf", 4, 1],
      ["erf", 3e38, 1],
      ["erf", 0, 0],
      ["sin", 0, 0],
      ["sin", 2 ** -149, 2 ** -149],
      ["sin", Infinite, Number.NaN],
      ["sin", 2 ** 28, Number.NaN],
      ["cos", 0, 1],
      ["cos", -0, 1],
      ["cos", 2 ** -149, 1],
      ["cos", -Infinite, Number.NaN],
      ["cos", -(2 ** 28), Number.NaN],
    ];
    for (const [name, x, expected] of cases) {
      const actual = kernels[`${name}32`](x);
      assert.ok(Object.is(actual, expected), `${name}(${x}) is ${actual}, expected ${expected}`);
    }
  });

  test(`${build}: NaN of any payload stays NaN`, () => {
    for (const name of vectorNames) {
      for (const bits of [0x7fc00000, 0xffc00000, 0x7fc001ff, 0x7fffffff, 0xffffffff]) {
        assert.ok(Number.isNaN(kernels[`${name}32`](fromBits(bits))), `${name} of ${bits}`);
      }
    }
  });

  test(`${build}: tanh, erf and sin are odd and cos is even to the bit`, () => {
    for (const x of [0, Infinite, ...spread(2 ** -149, 3e38, 5000, 2)]) {
      for (const name of ["tanh", "erf", "sin"] as const) {
        const f = kernels[`${name}32`];
        assert.ok(Object.is(f(-x), -f(x)), `${name}(${x})`);
      }
      assert.ok(Object.is(kernels.cos32(-x), kernels.cos32(x)), `cos(${x})`);
    }
  });

  test(`${build}: probabilities and angles stay in their ranges`, () => {
    for (const x of spread(2 ** -30, 2 ** 27, 20_000, 3)) {
      for (const name of ["tanh", "erf", "sin", "cos"] as const) {
        assert.ok(Math.abs(kernels[`${name}32`](x)) <= 1, `${name}(${x})`);
      }
      const [p, q] = [kernels.sigmoid32(x), kernels.sigmoid32(-x)];
      assert.ok(p >= 0.5 && p <= 1 && q >= 0 && q <= 0.5, `sigmoid(${x})`);
    }
  });

  test(`${build}: exp never decreases where its branches and its scale change`, () => {
    for (let n = -125; n <= 128; n++) {
      // The argument is rounded to the multiple n of ln 2 from here on.
      const middle = toBits(fround((n - 0.5) * Math.LN2));
      const step = n - 0.5 < 0 ? -1 : 1;
      for (let i = -20; i < 20; i++) {
        const x = fromBits(middle + i * step);
        const next = fromBits(middle + (i + 1) * step);
        // Neighbours may swap by the error of both: an ulp and a bit each.
        const [y, z] = [kernels.exp32(x), kernels.exp32(next)];
        assert.ok(z >= y - 2.1 * ulp(y), `exp(${next}) = ${z} after exp(${x}) = ${y}`);
      }
    }
  });

  test(`${build}: every lane of a vector function has the bits of its scalar twin`, async () => {
    const run = await vectors(build);
    const x = new Float32Array(4096);
    const next = uniform(4);
    // All bit patterns, NaN and infinities too, then the range where the functions have their branches.
    for (let i = 0; i < 2048; i++) x[i] = fromBits(Math.floor(next() * 2 ** 32));
    for (let i = 2048; i < 4096; i++) x[i] = (next() - 0.5) * (i % 2 === 0 ? 4 : 200);
    for (const name of vectorNames) {
      const expected = Float32Array.from(x, (value) => kernels[`${name}32`](value));
      expectSameBits(run(name, x), expected, name);
    }
    const exp = run("exp", x);
    for (const count of [4096, 60, 16, 12, 4]) {
      expectSameBits(
        run("expAll", x.subarray(0, count)),
        exp.subarray(0, count),
        `${count} at once`,
      );
    }
  });
}

test("log, sin, cos and all functions on float64 have the same bits in both builds", () => {
  for (const x of spread(2 ** -149, 3e38, 20_000, 5)) {
    for (const name of [
      "log32",
      "sin32",
      "cos32",
      "f64Exp",
      "f64Log",
      "f64Sin",
      "f64Cos",
    ] as const) {
      assert.ok(Object.is(baseline.kernels[name](x), relaxed.kernels[name](x)), `${name}(${x})`);
    }
    const [a, b] = [baseline.kernels.f64Pow(x, 0.7), relaxed.kernels.f64Pow(x, 0.7)];
    assert.ok(Object.is(a, b), `pow(${x}, 0.7)`);
  }
});

// The host's functions are themselves within 1 ulp = 2.2e-16 relative; ours add as much, pow three times that
// (the rounding of the product y·log x, of e^x and of its last scaling).
const Relative = 5e-16;
const { f64Exp, f64Log, f64Sin, f64Cos, f64Pow } = baseline.kernels;

function expectRelative(actual: number, expected: number, bound: number, what: string): void {
  if (Object.is(actual, expected)) return;
  const error = Math.abs(actual - expected) / Math.abs(expected);
  assert.ok(error <= bound, `${what} is ${actual}, expected ${expected}`);
}

test("exp, log, sin and cos on float64 are within 5e-16 of the host's", () => {
  const next = uniform(6);
  for (let i = 0; i < 50_000; i++) {
    const [u, v] = [next() + next() * 2 ** -32, next()];
    const x = (u - 0.5) * 2 * 10 ** (v * 2.8);
    expectRelative(f64Exp(x), Math.exp(x), Relative, `exp(${x})`);
    expectRelative(f64Log(Math.exp(x)), Math.log(Math.exp(x)), Relative, `log(e^${x})`);
    expectRelative(f64Log(u * 2), Math.log(u * 2), Relative, `log(${u * 2})`);
    const angle = (u - 0.5) * 2 * 10 ** (v * 7);
    expectRelative(f64Sin(angle), Math.sin(angle), Relative, `sin(${angle})`);
    expectRelative(f64Cos(angle), Math.cos(angle), Relative, `cos(${angle})`);
  }
});

test("powers are within 1e-15 of the host's, the decay rates of optimizers among them", () => {
  const next = uniform(7);
  for (let i = 0; i < 50_000; i++) {
    const [x, y] = [next() * 100, (next() - 0.5) * 300];
    const expected = x ** y;
    if (expected > 1e-300 && expected < 1e300) {
      expectRelative(f64Pow(x, y), expected, 1e-15, `${x}^${y}`);
    }
  }
  for (const beta of [0.9, 0.95, 0.98, 0.99, 0.999, 0.9999]) {
    for (let step = 1; step <= 6000; step += 7) {
      expectRelative(f64Pow(beta, step), beta ** step, 1e-15, `${beta}^${step}`);
    }
  }
});

test("special values on float64 are JavaScript's", () => {
  const values = [0, 1, 2, 0.5, 3, Infinite, 5e-324, 1e308, 1e-320, 2 ** 53 + 2, Number.NaN];
  const signed = [...values, ...values.map((value) => -value)];
  for (const x of signed) {
    expectRelative(f64Exp(x), Math.exp(x), Relative, `exp(${x})`);
    expectRelative(f64Log(x), Math.log(x), Relative, `log(${x})`);
    for (const y of signed) expectRelative(f64Pow(x, y), x ** y, 1e-15, `${x}^${y}`);
    if (Math.abs(x) <= 2 ** 27) {
      expectRelative(f64Sin(x), Math.sin(x), Relative, `sin(${x})`);
      expectRelative(f64Cos(x), Math.cos(x), Relative, `cos(${x})`);
    } else {
      assert.ok(Number.isNaN(f64Sin(x)) && Number.isNaN(f64Cos(x)), `sin and cos of ${x}`);
    }
  }
});

test("whole powers of two are exact", () => {
  for (let n = -1074; n < 1024; n++) assert.is(f64Pow(2, n), 2 ** n);
});

test.run();
