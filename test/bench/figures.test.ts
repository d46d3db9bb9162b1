// The arithmetic of the benchmark, on times that are made up: nothing here depends on how fast anything is.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { counted, mapped, percentile, quotient, timesFigure } from "../../bench/figure.ts";
import { type Entrant, race } from "../../bench/race.ts";

test("percentiles are values that occurred, and of nothing there are none", () => {
  const values = [5, 1, 4, 2, 3, 6, 10, 9, 8, 7, 11];
  assert.is(percentile(values, 0.5), 6);
  assert.is(percentile(values, 0.1), 2);
  assert.is(percentile(values, 0.9), 10);
  assert.is(percentile([3], 0.9), 3);
  assert.ok(Number.isNaN(percentile([], 0.5)));
});

test("a quotient's best is the best against the best, and its median that of the rounds", () => {
  const figure = quotient([2, 3, 8], [4, 2, 4]);
  assert.equal(figure, { best: 1, median: 1.5, low: 0.5, high: 2, rounds: 3 });
});

test("rounds that do not count are left out of the percentiles, not out of the best", () => {
  const figure = quotient([2, 3, 8, 1], [4, 3, 4, 4], [true, true, true, false]);
  assert.equal(figure, { best: 1 / 3, median: 1, low: 0.5, high: 2, rounds: 3 });
});

test("a change of unit changes every value, and a count is its own median", () => {
  const micros = mapped(timesFigure([2, 1, 3]), (time) => 1000 * time);
  assert.equal(micros, { best: 1000, median: 2000, low: 1000, high: 3000, rounds: 3 });
  assert.equal(counted(7), { best: 7, median: 7, low: 7, high: 7, rounds: 1 });
});

/** A clock that only what runs moves on, and entrants whose calls take so many milliseconds in each round. */
function inClock(): {
  readonly now: () => number;
  readonly entrant: (name: string, work: number, times: readonly number[]) => Entrant;
} {
  let clock = 0;
  return {
    now: () => clock,
    entrant: (name, work, times) => {
      let call = -1;
      return {
        name,
        work,
        // The call before the first round is for compilers.
        run: () => (clock += times[Math.max(0, call++) % times.length] ?? 0),
      };
    },
  };
}

test("a race's ratios and shares follow from its times", () => {
  const { now, entrant } = inClock();
  const roof = { ...entrant("roof", 1e7, [1]), calls: 1 };
  const run = race([entrant("a", 2e7, [4, 8, 5]), entrant("b", 4e7, [5, 8, 4])], {
    rounds: 3,
    now,
    roof,
  });
  assert.is(run.rounds, 3);
  assert.is(run.roof, 1e10);
  assert.equal(run.times("a"), { best: 4, median: 5, low: 4, high: 8, rounds: 3 });
  assert.equal(run.over("a", "b"), { best: 1, median: 1, low: 0.8, high: 1.25, rounds: 3 });
  // The roof would take 2 ms for the work of a, and 4 ms for that of b.
  assert.equal(run.share("a"), { best: 0.5, median: 0.4, low: 0.25, high: 0.5, rounds: 3 });
  assert.equal(run.share("b"), { best: 1, median: 0.8, low: 0.5, high: 1, rounds: 3 });
  assert.not.ok(run.isDisturbed);
  assert.throws(() => run.times("c"), /no c/);
});

test("only rounds at full clock count, as long as there are three", () => {
  const { now, entrant } = inClock();
  // Two of six measurements of the roof are slow: what lies beside them does not count.
  const slowAtTimes = entrant("roof", 1e7, [1, 1, 1, 1, 2, 2]);
  const run = race([entrant("a", 1e7, [2, 2, 3, 2, 2, 3])], {
    rounds: 3,
    seconds: 5,
    now,
    roof: slowAtTimes,
    fullClock: true,
  });
  const { rounds, median } = run.times("a");
  assert.ok(rounds > 3);
  assert.not.ok(run.isDisturbed);
  assert.ok(run.share("a").rounds < rounds);
  assert.ok(median >= 2);
});

test("a race whose machine is never quiet says so and gives what there is", () => {
  const { now, entrant } = inClock();
  // Every second roof is slow: no round lies between two fast ones.
  const run = race([entrant("a", 1e7, [2])], {
    rounds: 3,
    seconds: 0,
    now,
    roof: entrant("roof", 1e7, [1, 2]),
    fullClock: true,
  });
  assert.ok(run.isDisturbed);
  assert.is(run.rounds, 3);
  assert.is(run.share("a").rounds, 3);
  assert.is(run.share("a").best, 0.5);
});

test.run();
