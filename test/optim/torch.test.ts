// The engine's optimizers against PyTorch's float64 runs (test/fixtures/adamw.json), in float32.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { AdamW } from "../../src/optim/adamw.ts";
import { clipGradNorm } from "../../src/optim/clip.ts";
import type { Optimizer } from "../../src/optim/optimizer.ts";
import { SGD } from "../../src/optim/sgd.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { type OptimizerCase, readFixture } from "../fixtures/fixture.ts";
import { Generator } from "../golden/generator.ts";
import { expectClose } from "../support/compare.ts";
import { engines } from "../support/engines.ts";
import { addGradient } from "./gradient.ts";

const fixture = readFixture("adamw");
const all = await engines();
/** Half an ulp of 1 in float32. */
const U = 2 ** -24;

/** (2u - 1) * scale, rounded to float32: what the fixture's script draws. */
function draw(generator: Generator, shape: readonly number[], scale: number): Float32Array {
  const size = shape.reduce((product, n) => product * n, 1);
  return Float32Array.from({ length: size }, () => (2 * generator.uniform() - 1) * scale);
}

function start(generator: Generator): Tensor[] {
  return fixture.shapes.map((shape) =>
    tensor(draw(generator, shape, 1), { shape, requiresGrad: true }),
  );
}

function make(item: OptimizerCase, parameters: readonly Tensor[]): Optimizer {
  const groups = item.groups.map((group, i) => ({ ...group, params: [parameters[i]!] }));
  if (item.optimizer === "AdamW") return new AdamW(groups, { betas: item.betas!, eps: item.eps! });
  return new SGD(groups, { momentum: item.momentum! });
}

function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

/** How far PyTorch's own float32 run is off, at worst, in a list of numbers. */
function worstOf(item: OptimizerCase, kept: number, i: number): number {
  const truth = item.float64.parameters[kept]![i]!;
  return largest(item.float32.parameters[kept]![i]!.map((value, at) => value - truth[at]!));
}

for (const { name, engine } of all) {
  for (const item of fixture.cases) {
    test(`fifty steps of ${item.optimizer} (${item.name}) equal PyTorch's (${name})`, () => {
      engine.run(() => {
        const generator = new Generator(12345);
        const parameters = start(generator);
        const optimizer = make(item, parameters);
        for (let t = 1; t <= fixture.steps; t++) {
          for (const parameter of parameters) {
            addGradient(parameter, draw(generator, parameter.shape, 1 / (1 << (t % 4))));
          }
          optimizer.setScheduleFactor(item.lr[t - 1]![0]! / item.groups[0]!.lr);
          optimizer.step();
          optimizer.zeroGrad();
          const kept = fixture.keptSteps.indexOf(t);
          if (kept < 0) continue;
          for (const [i, parameter] of parameters.entries()) {
            const expected = item.float64.parameters[kept]![i]!;
            // Twice what PyTorch's own float32 is off; in the first steps at least two ulps of the largest.
            const allowed = Math.max(2 * worstOf(item, kept, i), 4 * U * largest(expected));
            expectClose(parameter.toArray(), expected, allowed, { what: `step ${t}, ${i}` });
          }
        }
        const { parameters: states } = optimizer.stateDict();
        for (const [i, state] of states.entries()) {
          const { expAvg, momentumBuffer, expAvgSq } = item.float64;
          const first = (expAvg ?? momentumBuffer)?.[i];
          assert.is(state?.step, fixture.steps);
          // A moment m = β·m + c·g, |g| <= 1, gets four half ulps of at most 1/(1-β) a step, kept for 1/(1-β) steps.
          const keeps = 1 / (1 - (item.betas?.[0] ?? item.momentum ?? 0));
          const scale = item.optimizer === "AdamW" ? 1 : keeps;
          if (first !== undefined) {
            expectClose(state!.moments[0]!, first, 4 * U * keeps * scale, { what: `first ${i}` });
          }
          // Sums of squares have no cancellation: four half ulps a step, relative, and β2's own at every power.
          if (expAvgSq !== undefined) {
            expectClose(state!.moments[1]!, expAvgSq[i]!, (_, e) => 6 * U * fixture.steps * e, {
              what: `second ${i}`,
            });
          }
        }
        optimizer.dispose();
        for (const parameter of parameters) parameter.dispose();
      });
    });
  }

  test(`clipping equals PyTorch's, also where nothing is clipped (${name})`, () => {
    engine.run(() => {
      for (const { seed, maxNorm, float64 } of fixture.clipping) {
        const generator = new Generator(seed);
        const parameters = fixture.shapes.map((shape) => zeros(shape, { requiresGrad: true }));
        for (const parameter of parameters) {
          addGradient(parameter, draw(generator, parameter.shape, 1));
        }
        // 48 squares of float32 numbers are exact in float64, their sum is off by at most 48 half ulps.
        expectClose([clipGradNorm(parameters, maxNorm)], [float64.norm], 2 ** -47 * float64.norm);
        for (const [i, parameter] of parameters.entries()) {
          // The factor and the product are rounded once each, to half an ulp.
          expectClose(parameter.grad!, float64.grads[i]!, (_, e) => 2.001 * U * Math.abs(e));
        }
        for (const parameter of parameters) parameter.dispose();
      }
    });
  });

  for (const item of fixture.candle) {
    test(`a line fitted by ${item.optimizer} ends where PyTorch and candle end (${name})`, () => {
      engine.run(() => {
        const { lr, betas, eps, weightDecay = 0 } = item;
        const weight = zeros([2, 1], { requiresGrad: true });
        const bias = zeros([1], { requiresGrad: true });
        const points = [
          [2, 1],
          [7, 4],
          [-4, 12],
          [5, 8],
        ];
        const optimizer =
          item.optimizer === "AdamW"
            ? new AdamW([weight, bias], { lr, betas: betas!, eps: eps!, weightDecay })
            : new SGD([weight, bias], { lr });
        for (let step = 0; step < item.steps; step++) {
          scope(() => {
            const x = tensor(points);
            const y = tensor(points.map(([a = 0, b = 0]) => [3 * a + b - 2]));
            const error = x.matmul(weight).add(bias).sub(y);
            error.mul(error).sum().backward();
          });
          optimizer.step();
          optimizer.zeroGrad();
        }
        const found = [...weight.toArray(), ...bias.toArray()];
        // candle prints SGD to 8 digits and AdamW to 4 decimals.
        const allowed = item.optimizer === "SGD" ? 1e-6 : 5e-5;
        expectClose(found, [...item.published.weight, ...item.published.bias], allowed);
        expectClose(found, [...item.float64.weight, ...item.float64.bias], 2e-6);
        optimizer.dispose();
        weight.dispose();
        bias.dispose();
      });
    });
  }
}

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
