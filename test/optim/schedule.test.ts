// Schedules against transformers' rates, and their shape.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { init } from "../../src/core/engine.ts";
import { UsageError } from "../../src/core/error.ts";
import {
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  type Schedule,
} from "../../src/optim/schedule.ts";
import { readFixture } from "../fixtures/fixture.ts";
import { expectClose } from "../support/compare.ts";

await init({ threads: 1 });

test("the rates of twenty steps equal transformers'", () => {
  const schedules: Readonly<Record<string, Schedule>> = {
    constant: constantSchedule(),
    constant_with_warmup: constantSchedule({ warmupSteps: 4 }),
    linear: linearSchedule({ warmupSteps: 4, steps: 20 }),
    cosine: cosineSchedule({ warmupSteps: 4, steps: 20 }),
  };
  for (const { name, lr } of readFixture("adamw").schedules) {
    const schedule = schedules[name]!;
    const rates = lr.map((_, done) => 1e-3 * schedule(done));
    // A factor is at most 1 and a handful of float64 roundings away, each of 2^-53.
    expectClose(rates, lr, 1e-3 * 2 ** -50, { what: name });
  }
});

const lengths = fc.record({
  warmupSteps: fc.integer({ min: 0, max: 50 }),
  steps: fc.integer({ min: 0, max: 200 }),
});

test("a factor rises during the warm-up, is 1 right after it, falls, and is 0 from the end on", () => {
  for (const make of [linearSchedule, cosineSchedule]) {
    fc.assert(
      fc.property(lengths, ({ warmupSteps, steps }) => {
        const schedule = make({ warmupSteps, steps });
        for (let done = 0; done <= Math.max(steps, warmupSteps) + 3; done++) {
          const factor = schedule(done);
          assert.ok(factor >= 0 && factor <= 1);
          if (done < warmupSteps) assert.is(factor, done / warmupSteps);
          else if (done >= steps) assert.is(factor, 0);
          else if (done === warmupSteps) assert.is(factor, 1);
          else assert.ok(factor < schedule(done - 1) && factor > 0);
        }
      }),
    );
  }
});

test("the cosine is at 1/2 half way, and as far from 1 as from 0 on either side", () => {
  const schedule = cosineSchedule({ warmupSteps: 10, steps: 110 });
  expectClose([schedule(60)], [0.5], 2 ** -52);
  for (let i = 1; i <= 50; i++) {
    expectClose([schedule(60 - i) + schedule(60 + i)], [1], 2 ** -51);
  }
});

test("lengths and steps that make no sense are refused by name", () => {
  const refused: readonly (readonly [() => unknown, RegExp])[] = [
    [() => constantSchedule({ warmupSteps: -1 }), /warmupSteps is -1/],
    [() => linearSchedule({ steps: 1.5 }), /steps is 1\.5/],
    [() => cosineSchedule({ steps: Number.NaN }), /steps is NaN/],
    [() => cosineSchedule({ steps: 10, warmupSteps: 0.5 }), /warmupSteps is 0\.5/],
    [() => constantSchedule()(-1), /step is -1/],
  ];
  for (const [make, message] of refused) {
    assert.throws(make, (error: unknown) => {
      return error instanceof UsageError && message.test(error.message);
    });
  }
});

test.run();
