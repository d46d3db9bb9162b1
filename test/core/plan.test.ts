// The memory of a captured step is planned: what a module made on the way to its result is used for other things as soon
// as nothing reads it. Whatever the ops and their order, the bits are those of a step that keeps everything.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Engine, Engine as Engines } from "../../src/core/engine.ts";
import { ReleasedError, UsageError } from "../../src/core/error.ts";
import { Op } from "../../src/core/op.ts";
import { gelu } from "../../src/tensor/activation.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { composite, scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { seed } from "../support/arbitraries.ts";
import { engines } from "../support/engines.ts";
import { engine, inEngine } from "../support/inEngine.ts";
import { type Choice, OPS, stepsOf } from "./programs.ts";

const all = await engines();

/** Steps with what backward and a captured step may give up given up, which must be those that keep everything. */
function expectAlike(
  one: Engine,
  choices: readonly Choice[],
  start: number,
  trained: number,
): void {
  const plain = choices.map((c) => ({
    ...c,
    bracket: c.bracket === 3 ? 3 : Math.min(c.bracket, 1),
  }));
  const expected = stepsOf(one, { choices: plain, start, trained }, false);
  const run = (which: readonly Choice[], captured: boolean): unknown[] =>
    stepsOf(one, { choices: which, start, trained }, captured);
  assert.equal(run(choices, false), expected, "segments");
  assert.equal(run(plain, true), expected, "captured");
  assert.equal(run(choices, true), expected, "captured segments");
}

inEngine("every op of the engine with a gradient is in the list above", () => {
  const seen = new Set<string>();
  for (const op of OPS.keys()) {
    stepsOf(
      engine,
      { choices: [{ op, first: 0, second: 0, bracket: 0 }], start: 1, trained: 0 },
      false,
      seen,
    );
  }
  const computed = Object.values(Op).filter(
    ({ code }) => code > Op.Detach.code && code < Op.Recompute.code,
  );
  const missing = computed.filter(({ name }) => !seen.has(name)).map(({ name }) => name);
  // No gradient flows through a cache; capturedCache.test.ts captures it.
  assert.equal(missing, ["WriteCache"]);
});

inEngine("each op alone gives the same bits captured, in a module and in a segment", () => {
  for (const [op, source] of OPS.entries()) {
    // Its sources are made in the segment, and so is what reads its result.
    const choices = [2, 0, 0, 3].map((bracket, i) => ({
      op: i === 0 ? 0 : op,
      first: 0,
      second: 1,
      bracket,
    }));
    for (const trained of [0, 255]) {
      try {
        expectAlike(engine, choices, 7, trained);
      } catch (error) {
        throw new Error(`op ${op}, ${String(source)}`, { cause: error });
      }
    }
  }
});

for (const { name, engine: one } of all) {
  test(`random programs give the same bits captured, in modules and segments (${name})`, () => {
    const choice = fc.record({
      op: fc.nat(OPS.length - 1),
      first: fc.nat(3),
      second: fc.nat(6),
      bracket: fc.constantFrom(0, 0, 0, 0, 1, 2, 3),
    });
    fc.assert(
      fc.property(
        fc.record({
          choices: fc.array(choice, { minLength: 1, maxLength: 24 }),
          start: seed,
          trained: fc.nat(255),
        }),
        ({ choices, start, trained }) => expectAlike(one, choices, start, trained),
      ),
      { numRuns: 60 },
    );
  });
}

const parameter = (...values: number[]): Tensor =>
  tensor(values, { requiresGrad: true, persistent: true });

inEngine("what a module made may be used until a backward pass is over, not after", () => {
  const w = parameter(2);
  let late = false;
  const step = capture(() => {
    let inner: Tensor | undefined;
    const y = composite({ engine }, () => {
      inner = w.mul(w);
      return inner.exp().log();
    });
    const other = late ? y : inner!.mul(10);
    y.sum().backward();
    return late ? inner!.mul(10) : other;
  });
  assert.is(step().item(), 40);
  assert.is(step().item(), 40);
  step.dispose();
  late = true;
  assert.throws(
    () => step(),
    (error: Error) =>
      error instanceof ReleasedError && /let the module return it/.test(error.message),
  );
  w.dispose();
});

inEngine("losses of several modules may each go back, but no two through one module", () => {
  const run = (captured: boolean): Float32Array => {
    const w = parameter(2);
    const body = (): void => {
      const losses = [3, 5].map((factor) =>
        composite({ engine }, () => w.mul(w).exp().log().mul(factor).sum()),
      );
      for (const loss of losses) loss.backward();
    };
    const step = capture(body);
    for (let i = 0; i < 3; i++) captured ? step() : scope(body);
    const gradient = w.grad!;
    step.dispose();
    w.dispose();
    return gradient;
  };
  assert.equal(run(true), run(false));
  const w = parameter(2);
  const twice = capture(() => {
    const y = composite({ engine }, () => w.mul(w).exp());
    y.mul(2).sum().backward();
    y.mul(3).sum().backward();
  });
  assert.throws(
    () => twice(),
    (error: Error) => error instanceof UsageError && /Add the losses/.test(error.message),
  );
  w.dispose();
});

test("of a long chain in a module a captured step holds what backward reads, and little more", async () => {
  const one = await Engines.create({ threads: 1 });
  const bytes = 65536;
  const peak = one.run(() => {
    const w = tensor(new Float32Array(bytes / 4), { requiresGrad: true, persistent: true });
    const step = capture(() => {
      const y = composite({ engine: one }, () => {
        let z: Tensor = w.mul(2);
        // Of each turn backward reads the first op's input alone.
        for (let i = 0; i < 10; i++) z = gelu(z).add(1).neg().add(w);
        return z.sum();
      });
      y.backward();
    });
    step();
    step();
    return one.stats().arenaPeak;
  });
  // Ten inputs, two values while they are made, two gradients, and the constants 2 and 1.
  assert.ok(peak < 14.5 * bytes, `${peak / bytes}`);
});

test.run();
