// The optimizers of the float64 reference against PyTorch's float64 runs (test/fixtures/adamw.json).

import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Arr, array, sizeOf } from "../../src/reference/array.ts";
import { adamW, clipGradNorm, sgd } from "../../src/reference/optim.ts";
import { type OptimizerCase, readFixture } from "../fixtures/fixture.ts";
import { Generator } from "../golden/generator.ts";

const fixture = readFixture("adamw");

/** (2u - 1) * scale, rounded to float32: what the fixture's script draws. */
function draw(generator: Generator, shape: readonly number[], scale: number): Arr {
  const data = Float32Array.from(
    { length: sizeOf(shape) },
    () => (2 * generator.uniform() - 1) * scale,
  );
  return array(shape, data);
}

// Fifty steps of a handful of float64 roundings each; 1e-12 is about a hundred times their worst sum.
function isClose(actual: Arr, expected: readonly number[] | undefined, what: string): void {
  assert.is(actual.data.length, expected?.length, what);
  for (const [i, value] of (expected ?? []).entries()) {
    const difference = Math.abs(actual.data[i]! - value);
    assert.ok(difference <= 1e-12 * (1 + Math.abs(value)), `${what}[${i}]: off by ${difference}`);
  }
}

interface State {
  p: Arr;
  m: Arr;
  v: Arr;
}

function stepOf(item: OptimizerCase, group: number, t: number, state: State, g: Arr): State {
  const { weightDecay } = item.groups[group]!;
  const lr = item.lr[t - 1]![group]!;
  if (item.optimizer === "AdamW") {
    const options = { lr, step: t, betas: item.betas!, eps: item.eps!, weightDecay };
    return adamW(state.p, g, state.m, state.v, options);
  }
  const { p, velocity } = sgd(state.p, g, state.m, { lr, momentum: item.momentum!, weightDecay });
  return { p, m: velocity, v: state.v };
}

for (const item of fixture.cases) {
  test(`fifty steps of ${item.optimizer} (${item.name}) equal PyTorch's`, () => {
    const generator = new Generator(12345);
    const states: State[] = fixture.shapes.map((shape) => ({
      p: draw(generator, shape, 1),
      m: array(shape),
      v: array(shape),
    }));
    for (let t = 1; t <= fixture.steps; t++) {
      for (const [i, shape] of fixture.shapes.entries()) {
        const gradient = draw(generator, shape, 1 / (1 << (t % 4)));
        states[i] = stepOf(item, i, t, states[i]!, gradient);
        const kept = item.float64.parameters[fixture.keptSteps.indexOf(t)];
        if (kept !== undefined) isClose(states[i]!.p, kept[i], `step ${t}: parameter ${i}`);
      }
    }
    for (const [i, { m, v }] of states.entries()) {
      const first = item.float64.expAvg ?? item.float64.momentumBuffer;
      if (first !== undefined) isClose(m, first[i], `first moment ${i}`);
      if (item.float64.expAvgSq !== undefined) isClose(v, item.float64.expAvgSq[i], `second ${i}`);
    }
  });
}

test("clipping by the global norm equals PyTorch's, also where nothing is clipped", () => {
  for (const { seed, maxNorm, float64 } of fixture.clipping) {
    const generator = new Generator(seed);
    const before = fixture.shapes.map((shape) => draw(generator, shape, 1));
    const { gradients, norm } = clipGradNorm(before, maxNorm);
    isClose(array([], [norm]), [float64.norm], "norm");
    for (const [i, g] of gradients.entries()) isClose(g, float64.grads[i], `gradient ${i}`);
  }
});

test("a line fitted to four points ends where PyTorch and candle end", () => {
  const points = [
    [2, 1],
    [7, 4],
    [-4, 12],
    [5, 8],
  ];
  for (const item of fixture.candle) {
    const { lr, betas, eps, weightDecay = 0 } = item;
    // p = [w0, w1, b]
    let state: State = { p: array([3]), m: array([3]), v: array([3]) };
    for (let step = 1; step <= item.steps; step++) {
      const g = array([3]);
      for (const [a = 0, b = 0] of points) {
        const [w0 = 0, w1 = 0, bias = 0] = state.p.data;
        const error = w0 * a + w1 * b + bias - (3 * a + b - 2);
        for (const [i, x] of [a, b, 1].entries()) g.data[i]! += 2 * error * x;
      }
      if (item.optimizer === "AdamW") {
        const options = { lr, step, betas: betas!, eps: eps!, weightDecay };
        state = adamW(state.p, g, state.m, state.v, options);
      } else {
        state.p = sgd(state.p, g, state.m, { lr }).p;
      }
    }
    // AdamW divides by the root of v, so it carries early roundings of the sums along: 1e-9.
    const { float64, published } = item;
    for (const [i, value] of [...float64.weight, ...float64.bias].entries()) {
      assert.ok(Math.abs(state.p.data[i]! - value) <= 1e-9, `${item.optimizer} ${i}`);
    }
    // candle computes in float32; its own test prints SGD to 8 digits and AdamW to 4 decimals.
    const allowed = item.optimizer === "SGD" ? 1e-6 : 5e-5;
    for (const [i, value] of [...published.weight, ...published.bias].entries()) {
      assert.ok(Math.abs(state.p.data[i]! - value) <= allowed, `${item.optimizer} ${i}`);
    }
  }
});

test.run();
