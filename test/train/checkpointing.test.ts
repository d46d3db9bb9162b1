// The trainer's gradientCheckpointing: a way to go about a run, not a part of what it computes.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { engines } from "../support/engines.ts";
import { makeRun } from "./run.ts";

const [{ engine }] = (await engines()) as [Awaited<ReturnType<typeof engines>>[0]];

test("with gradientCheckpointing a run has the same bits, may go on from one without, and leaves the model as it was", () => {
  const plain = { steps: 4, gradientAccumulation: 2, loraDropout: 0.2 };
  const states = engine.run(() => {
    const [a, b] = [makeRun(plain), makeRun({ ...plain, gradientCheckpointing: true })];
    a.trainer.trainStep();
    b.trainer.trainStep();
    assert.equal(b.trainer.state(), a.trainer.state());
    b.trainer.loadState(a.trainer.state());
    assert.not(b.model.gradientCheckpointing);
    for (const { trainer } of [a, b])
      for (const report of trainer.run()) assert.ok(report.loss > 0);
    const ends = [a, b].map(({ trainer }) => trainer.state());
    a.end();
    b.end();
    return ends;
  });
  assert.equal(states[1], states[0]);
});

test.run();
