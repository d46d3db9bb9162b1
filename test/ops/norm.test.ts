import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError } from "../../src/core/error.ts";
import { type Arr, array, row, rowCount } from "../../src/reference/array.ts";
import * as reference from "../../src/reference/norm.ts";
import { ones, tensor, zeros } from "../../src/tensor/create.ts";
import { layerNorm, rmsNorm } from "../../src/tensor/norm.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, seed, shape } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { differentiate, usesThreads } from "../support/differentiate.ts";
import { engines } from "../support/engines.ts";

const all = await engines();
const [one, two] = [all[0]!.engine, all[1]!.engine];
const U = 2 ** -24;
const EPS = 1e-5;

const shapes = fc.oneof(
  shape({ minRank: 1, maxRank: 3, maxSize: 6, zeros: true }),
  fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 150 })).map((s) => [...s]),
);

const sum = (x: Float64Array): number => x.reduce((total, value) => total + Math.abs(value), 0);

interface Bounds {
  /** Greatest difference of each element of y and dx, [..., D]. */
  readonly y: Float64Array;
  readonly dx: Float64Array;
  /** The same of dgain and dbias, [D]. */
  readonly gain: Float64Array;
  readonly bias: Float64Array;
}

// First-order bounds, row by row; n is the normalised row, r the factor, h = gain ∘ dy, D the length of the row.
//   d = x − mean       off by (D + 1)·U·mean|x| for the mean, and one rounding
//   r                  relative ρ: half of that of Σ d² / D, which has D + 2 roundings and the error of d; √ and 1/
//   n = d·r            off by ν = error(d)·r + |n|·(ρ + 2 U)
//   dx                 = (h − mean(h) − n·mean(h ∘ n))·r, term by term
function bounds(x: Arr, gain: Arr, bias: Arr, dy: Arr, centred: boolean): Bounds {
  const D = gain.data.length;
  const unit = array([D], new Float64Array(D).fill(1));
  const none = array([D]);
  const n = centred ? reference.layerNorm(x, unit, none, EPS) : reference.rmsNorm(x, unit, EPS);
  const result: Bounds = {
    y: new Float64Array(x.data.length),
    dx: new Float64Array(x.data.length),
    gain: new Float64Array(D),
    bias: new Float64Array(D),
  };
  for (let i = 0; i < rowCount(x); i++) {
    const xi = row(x, i);
    const mean = centred ? xi.reduce((a, b) => a + b, 0) / D : 0;
    const deviation = xi.map((value) => value - mean);
    const variance = deviation.reduce((a, d) => a + d * d, 0) / D + EPS;
    const r = 1 / Math.sqrt(variance);
    const dError = deviation.map((d) =>
      centred ? (D + 1) * U * (sum(xi) / D) + U * Math.abs(d) : 0,
    );
    const squaresError = deviation.reduce((a, d, j) => a + 2 * Math.abs(d) * dError[j]!, 0) / D;
    const rho = (squaresError / variance + (D + 3) * U) / 2 + 2 * U;
    const nu = dError.map((e, j) => e * r + Math.abs(row(n, i)[j]!) * (rho + 2 * U));
    const h = row(dy, i).map((g, j) => g * gain.data[j]!);
    const meanH = sum(h) / D;
    const hn = h.map((value, j) => value * row(n, i)[j]!);
    const meanHn = sum(hn) / D;
    const hnError =
      (D + 5) * U * meanHn + rho * meanHn + h.reduce((a, v, j) => a + Math.abs(v) * nu[j]!, 0) / D;
    for (let j = 0; j < D; j++) {
      const nj = Math.abs(row(n, i)[j]!);
      const at = i * D + j;
      const g = Math.abs(row(dy, i)[j]!);
      const product = Math.abs(gain.data[j]!) * nj;
      result.y[at] = Math.abs(gain.data[j]!) * nu[j]! + 2 * U * (product + Math.abs(bias.data[j]!));
      const inside = Math.abs(h[j]!) + (centred ? meanH : 0) + nj * meanHn;
      result.dx[at] =
        r *
        (4 * U * inside +
          (D + 2) * U * (centred ? meanH : 0) +
          nj * hnError +
          nu[j]! * meanHn +
          inside * (rho + 2 * U));
      // Each row adds its own error, and one rounding of all that has been added so far.
      result.gain[j]! += g * nu[j]! + (rowCount(x) + 2) * U * g * nj;
      result.bias[j]! += (rowCount(x) + 1) * U * g;
    }
  }
  return result;
}

function operands(shape: readonly number[], seed: number) {
  const D = shape.at(-1)!;
  return {
    x: array(shape, fill(shape, seed)),
    gain: array([D], fill([D], seed + 1)),
    bias: array([D], fill([D], seed + 2)),
    dy: array(shape, fill(shape, seed + 3)),
  };
}

for (const { name, engine } of all) {
  test(`layerNorm and its gradients are the reference's (${name})`, () => {
    fc.assert(
      fc.property(shapes, seed, fc.boolean(), (shape, seed, fresh) => {
        const { x, gain, bias, dy } = operands(shape, seed);
        const got = differentiate(
          engine,
          { x, gain, bias },
          ({ x, gain, bias }) => layerNorm(x, gain, bias, EPS),
          dy.data,
          fresh,
        );
        const expected = reference.layerNormBackward(dy, x, gain, EPS);
        const allowed = bounds(x, gain, bias, dy, true);
        const y = reference.layerNorm(x, gain, bias, EPS);
        expectClose(got.y, y.data, allowed.y, { what: "y", shape });
        if (y.data.length === 0) return;
        expectClose(got.gradients.x!, expected.dx.data, allowed.dx, { what: "dx", shape });
        expectClose(got.gradients.gain!, expected.dgain.data, allowed.gain, { what: "dgain" });
        expectClose(got.gradients.bias!, expected.dbias.data, allowed.bias, { what: "dbias" });
      }),
    );
  });

  test(`rmsNorm and its gradients are the reference's (${name})`, () => {
    fc.assert(
      fc.property(shapes, seed, fc.boolean(), (shape, seed, fresh) => {
        const { x, gain, dy } = operands(shape, seed);
        const got = differentiate(
          engine,
          { x, gain },
          ({ x, gain }) => rmsNorm(x, gain, EPS),
          dy.data,
          fresh,
        );
        const expected = reference.rmsNormBackward(dy, x, gain, EPS);
        const allowed = bounds(x, gain, array(gain.shape), dy, false);
        const y = reference.rmsNorm(x, gain, EPS);
        expectClose(got.y, y.data, allowed.y, { what: "y", shape });
        if (y.data.length === 0) return;
        expectClose(got.gradients.x!, expected.dx.data, allowed.dx, { what: "dx", shape });
        expectClose(got.gradients.gain!, expected.dgain.data, allowed.gain, { what: "dgain" });
      }),
    );
  });

  test(`a bias of zeros gives what no bias gives (${name})`, () => {
    const { x, gain, dy } = operands([3, 21], 1);
    const run = (bias: (gain: Tensor) => Tensor | null) =>
      differentiate(
        engine,
        { x, gain },
        ({ x, gain }) => layerNorm(x, gain, bias(gain), EPS),
        dy.data,
      );
    const without = run(() => null);
    const withZeros = run(() => zeros([21]));
    expectSame(without.y, withZeros.y);
    expectSame(without.gradients.x!, withZeros.gradients.x!);
    expectSame(without.gradients.gain!, withZeros.gradients.gain!);
  });

  test(`a row alone has the bits that it has among others (${name})`, () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 70 }), seed, (D, seed) => {
        const { x, gain, bias, dy } = operands([5, D], seed);
        const run = (x: Arr, dy: Float64Array, isLayer: boolean) =>
          differentiate(
            engine,
            { x, gain, bias },
            ({ x, gain, bias }) =>
              isLayer ? layerNorm(x, gain, bias, EPS) : rmsNorm(x, gain, EPS),
            dy,
          );
        for (const isLayer of [true, false]) {
          const batch = run(x, dy.data, isLayer);
          for (let i = 0; i < 5; i++) {
            const alone = run(array([1, D], row(x, i)), row(dy, i), isLayer);
            expectSame(alone.y, batch.y.subarray(i * D, (i + 1) * D));
            expectSame(alone.gradients.x!, batch.gradients.x!.subarray(i * D, (i + 1) * D));
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  test(`one tensor may be x, gain and bias at once (${name})`, () => {
    // Long enough for two threads: rows of dx and columns of dgain are then the same memory.
    const D = 9000;
    const x = array([D], fill([D], 1));
    const dy = array([D], fill([D], 2));
    const got = differentiate(engine, { x }, ({ x }) => layerNorm(x, x, x, EPS), dy.data);
    const apart = differentiate(
      engine,
      { x, gain: x, bias: x },
      ({ x, gain, bias }) => layerNorm(x, gain, bias, EPS),
      dy.data,
    );
    const { x: a, gain: b, bias: c } = apart.gradients;
    expectSame(got.y, apart.y);
    // Three numbers added in whatever order: two roundings of at most their magnitudes, on either side.
    const expected = a!.map((v, j) => v + b![j]! + c![j]!);
    expectClose(
      got.gradients.x!,
      expected,
      expected.map((_, j) => 5 * U * (Math.abs(a![j]!) + Math.abs(b![j]!) + Math.abs(c![j]!))),
    );
  });
}

for (const [first, second] of [all.slice(0, 2), all.slice(2)] as const) {
  test(`two threads give the bits of one (${first!.name}, ${second!.name})`, () => {
    const { x, gain, bias, dy } = operands([97, 131], 7);
    for (const isLayer of [true, false]) {
      const [a, b] = [first!, second!].map(({ engine }) =>
        differentiate(
          engine,
          { x, gain, bias },
          ({ x, gain, bias }) => (isLayer ? layerNorm(x, gain, bias, EPS) : rmsNorm(x, gain, EPS)),
          dy.data,
          true,
        ),
      );
      expectSame(a!.y, b!.y);
      expectSame(a!.gradients.x!, b!.gradients.x!);
      expectSame(a!.gradients.gain!, b!.gradients.gain!);
      if (isLayer) expectSame(a!.gradients.bias!, b!.gradients.bias!);
    }
  });
}

test("a large norm runs on both threads", () => {
  two.run(() => {
    const [x, w] = [zeros([128, 128]), ones([128])];
    assert.ok(usesThreads(two, () => rmsNorm(x, w, EPS).dispose()));
  });
});

test("a frozen gain gets no gradient, and no work is done for it", () => {
  one.run(() => {
    const x = zeros([16, 64], { requiresGrad: true });
    const work = (requiresGrad: boolean): number => {
      const gain = ones([64], { requiresGrad });
      return scope(() => {
        const y = rmsNorm(x, gain, EPS).sum();
        const before = one.stats().threadWork[0]!;
        y.backward();
        assert.is(gain.grad !== null, requiresGrad);
        return one.stats().threadWork[0]! - before;
      });
    };
    assert.is(work(true) - work(false), 16 * 64);
  });
});

test("parameters that do not fit are refused with both shapes", () => {
  one.run(() => {
    const x = zeros([2, 5]);
    for (const bad of [zeros([4]), zeros([2, 5]), tensor(new Int32Array(5))]) {
      for (const run of [
        () => rmsNorm(x, bad, EPS),
        () => layerNorm(x, ones([5]), bad, EPS),
        () => layerNorm(x, bad, null, EPS),
      ]) {
        assert.throws(
          run,
          (e: Error) =>
            e instanceof ShapeError &&
            e.message.includes("[2,5]") &&
            e.message.includes(`${bad.dtype} [${bad.shape}]`),
        );
      }
    }
    assert.throws(() => rmsNorm(x, ones([5]), -1), /eps is -1/);
  });
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
