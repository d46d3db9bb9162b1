// One step from any state against the float64 reference, and the same bits from every engine.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { AdamW } from "../../src/optim/adamw.ts";
import { clipGradNorm } from "../../src/optim/clip.ts";
import type { Optimizer } from "../../src/optim/optimizer.ts";
import { SGD } from "../../src/optim/sgd.ts";
import { array } from "../../src/reference/array.ts";
import { adamW, gradNorm, sgd } from "../../src/reference/optim.ts";
import { tensor } from "../../src/tensor/create.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { fill, seed, size } from "../support/arbitraries.ts";
import { expectClose, expectSame } from "../support/compare.ts";
import { engines } from "../support/engines.ts";
import { addGradient, bits } from "./gradient.ts";

const all = await engines();
/** Half an ulp of 1 in float32: the relative error of one rounding. */
const U = 2 ** -24;

function parameter(values: ArrayLike<number>): Tensor {
  return tensor(Float32Array.from(values), { requiresGrad: true });
}

/** float32 numbers of either sign, or squares of such. */
interface Case {
  readonly n: number;
  readonly seed: number;
  readonly step: number;
  readonly lr: number;
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly nesterov: boolean;
}

const cases: fc.Arbitrary<Case> = fc.record({
  n: size(200),
  seed,
  step: fc.integer({ min: 0, max: 3000 }),
  lr: fc.double({ min: 1e-5, max: 0.5, noNaN: true }),
  weightDecay: fc.double({ min: 0, max: 0.5, noNaN: true }),
  beta1: fc.double({ min: 0.1, max: 0.99, noNaN: true }),
  beta2: fc.double({ min: 0.5, max: 0.9999, noNaN: true }),
  nesterov: fc.boolean(),
});

for (const { name, engine } of all) {
  test(`a step of AdamW from any state equals the reference (${name})`, () => {
    engine.run(() => {
      fc.assert(
        fc.property(cases, (c) => {
          const [p, g, m] = [0, 1, 2].map((i) => fill([c.n], c.seed + i)) as [
            Float64Array,
            Float64Array,
            Float64Array,
          ];
          const v = fill([c.n], c.seed + 3, { min: 0, max: 4 });
          const { lr, weightDecay } = c;
          const betas = [c.beta1, c.beta2] as const;
          const weight = parameter(p);
          const optimizer = new AdamW([weight], { lr, betas, weightDecay });
          const moments = [Float32Array.from(m), Float32Array.from(v)];
          const saved = c.step === 0 ? null : { step: c.step, moments };
          optimizer.loadStateDict({ optimizer: "AdamW", parameters: [saved] });
          addGradient(weight, g);
          optimizer.step();
          const before = (x: Float64Array) => array([c.n], c.step === 0 ? undefined : x);
          const step = c.step + 1;
          const [p0, g0] = [array([c.n], p), array([c.n], g)];
          const options = { lr, step, betas, weightDecay };
          const expected = adamW(p0, g0, before(m), before(v), options);
          // m: three roundings of each product (factor, product, sum); v: one more for g².
          const mError = Float64Array.from(
            g,
            (gi, i) =>
              3.1 * U * (c.beta1 * Math.abs(before(m).data[i]!) + (1 - c.beta1) * Math.abs(gi)),
          );
          const state = optimizer.stateDict().parameters[0]!;
          expectClose(state.moments[0]!, expected.m.data, mError, { what: "m" });
          expectClose(state.moments[1]!, expected.v.data, (_, e) => 4.1 * U * e, { what: "v" });
          // v's error halves under the root; then root, correction (2), sum with eps, quotient, rate (2): < 12.
          const rate = lr / (1 - c.beta1 ** step);
          expectClose(
            weight.toArray(),
            expected.p.data,
            (i, e) => {
              const below = Math.sqrt(expected.v.data[i]! / (1 - c.beta2 ** step)) + 1e-8;
              const update = Math.abs(rate * expected.m.data[i]!) / below;
              return (
                (rate * mError[i]!) / below +
                12 * U * update +
                2.1 * U * Math.abs(p[i]!) +
                1.1 * U * Math.abs(e)
              );
            },
            { what: "p" },
          );
          optimizer.dispose();
          weight.dispose();
        }),
        { numRuns: 60 },
      );
    });
  });

  test(`a step of SGD from any state equals the reference (${name})`, () => {
    engine.run(() => {
      fc.assert(
        fc.property(cases, (c) => {
          const p = fill([c.n], c.seed);
          const g = fill([c.n], c.seed + 1);
          const m = c.step === 0 ? new Float64Array(c.n) : fill([c.n], c.seed + 2);
          const { lr, weightDecay, nesterov, beta1: momentum } = c;
          const weight = parameter(p);
          const optimizer = new SGD([weight], { lr, momentum, weightDecay, nesterov });
          const saved = c.step === 0 ? null : { step: c.step, moments: [Float32Array.from(m)] };
          optimizer.loadStateDict({ optimizer: "SGD", parameters: [saved] });
          addGradient(weight, g);
          optimizer.step();
          const [p0, g0, m0] = [array([c.n], p), array([c.n], g), array([c.n], m)];
          const expected = sgd(p0, g0, m0, { lr, momentum, weightDecay, nesterov });
          // Each term passes at most eight roundings: factor and product (twice), sums, and the rate's.
          expectClose(
            weight.toArray(),
            expected.p.data,
            (i) => {
              const d = Math.abs(g[i]!) + weightDecay * Math.abs(p[i]!);
              const velocity = momentum * Math.abs(m[i]!) + d;
              const direction = nesterov ? d + momentum * velocity : velocity;
              return U * (1.1 * Math.abs(p[i]!) + 9 * lr * direction);
            },
            { what: "p" },
          );
          optimizer.dispose();
          weight.dispose();
        }),
        { numRuns: 60 },
      );
    });
  });

  test(`the norm of gradients is summed in float64, whatever their sizes (${name})`, () => {
    engine.run(() => {
      fc.assert(
        fc.property(fc.array(size(100), { minLength: 1, maxLength: 6 }), seed, (sizes, s) => {
          const gradients = sizes.map((n, i) => fill([n], s + i));
          const weights = gradients.map((g) => parameter(new Float32Array(g.length)));
          for (const [i, g] of gradients.entries()) addGradient(weights[i]!, g);
          const count = sizes.reduce((sum, n) => sum + n, 0);
          const expected = gradNorm(gradients.map((g) => array([g.length], g)));
          // Either sum of `count` squares is off by at most half an ulp an addition.
          const allowed = count * 2 ** -52 * expected;
          expectClose([clipGradNorm(weights, 0)], [expected], allowed);
          for (const weight of weights) weight.dispose();
        }),
        { numRuns: 40 },
      );
    });
  });
}

// Large enough that the second thread takes part, with sizes that no vector divides.
const SIZES = [5003, 1, 777, 12289, 64];

interface Run {
  readonly norms: Float64Array;
  readonly parameters: readonly Float32Array[];
  readonly moments: readonly Float32Array[];
}

function run(make: (parameters: Tensor[]) => Optimizer): Run {
  const weights = SIZES.map((n, i) => parameter(fill([n], i)));
  const optimizer = make(weights);
  const norms = new Float64Array(5);
  for (let step = 0; step < 5; step++) {
    weights.forEach((weight, i) => {
      addGradient(weight, fill([weight.size], 100 * step + i));
    });
    norms[step] = clipGradNorm(weights, 1.5);
    optimizer.step();
    optimizer.zeroGrad();
  }
  const { parameters } = optimizer.stateDict();
  const result = {
    norms,
    parameters: weights.map((weight) => weight.toArray() as Float32Array),
    moments: parameters.flatMap((state) => state?.moments ?? []),
  };
  optimizer.dispose();
  for (const weight of weights) weight.dispose();
  return result;
}

const makers: readonly (readonly [string, (parameters: Tensor[]) => Optimizer])[] = [
  ["AdamW", (parameters) => new AdamW(parameters)],
  ["SGD with momentum", (parameters) => new SGD(parameters, { momentum: 0.9, weightDecay: 0.1 })],
  ["SGD with nesterov", (parameters) => new SGD(parameters, { momentum: 0.9, nesterov: true })],
  ["plain SGD", (parameters) => new SGD(parameters)],
];

for (const [what, make] of makers) {
  test(`${what} and clipping give the same bits in every build, with one thread and with two`, () => {
    const runs = all.map(({ engine }) => engine.run(() => run(make)));
    const first = runs[0]!;
    for (const [i, other] of runs.entries()) {
      const { name } = all[i]!;
      expectSame(other.norms, first.norms, { what: `norms, ${name}` });
      for (const key of ["parameters", "moments"] as const) {
        for (const [j, values] of first[key].entries()) {
          expectSame(bits(other[key][j]!), bits(values), { what: `${key} ${j}, ${name}` });
        }
      }
    }
  });
}

test("with two threads each job of an optimizer is shared, and no element is done twice", () => {
  const { engine } = all[1]!;
  engine.run(() => {
    const weights = SIZES.map((n) => parameter(new Float32Array(n)));
    const optimizer = new AdamW(weights);
    weights.forEach((weight, i) => {
      addGradient(weight, fill([weight.size], i));
    });
    const elements = SIZES.reduce((sum, n) => sum + n, 0);
    const jobs: readonly (readonly [string, () => void])[] = [
      ["norm", () => clipGradNorm(weights, 0)],
      ["step", () => optimizer.step()],
    ];
    for (const [what, job] of jobs) {
      const before = engine.stats();
      job();
      const after = engine.stats();
      assert.is(after.parallelJobs - before.parallelJobs, 1, what);
      const work = after.threadWork.map((done, t) => done - before.threadWork[t]!);
      assert.is(work[0]! + work[1]!, elements, what);
      assert.ok(Math.min(...work) >= elements / 5, `${what}: shares of ${work} elements`);
    }
    optimizer.dispose();
    for (const weight of weights) weight.dispose();
  });
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
