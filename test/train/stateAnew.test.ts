// A training state tells of the frozen weights as they are when it is asked for, also after an earlier state.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { setActiveAdapters } from "../../src/adapters/inject.ts";
import { injectLora } from "../../src/adapters/lora.ts";
import { adaptersOf } from "../../src/adapters/set.ts";
import { UsageError } from "../../src/core/error.ts";
import { engines } from "../support/engines.ts";
import { drawAdapter } from "../support/models.ts";
import { makeRun, type Run, type RunOptions } from "./run.ts";

const { engine } = (await engines())[0]!;
const options: RunOptions = { loraDropout: 0.2, gradientAccumulation: 2 };

test("a base that was changed after a state was taken refuses that state", () => {
  engine.run(() => {
    for (const name of ["model.layers.0.self_attn.q_proj.weight", "model.norm.weight"]) {
      const run = makeRun(options);
      run.trainer.trainStep();
      const bytes = run.trainer.state();
      const parameter = new Map(run.model.namedParameters()).get(name)!;
      const values = parameter.toArray();
      parameter.set(values.map((value, i) => (i === 3 ? value + 1 : value)));
      assert.throws(
        () => run.trainer.loadState(bytes),
        (error: unknown) =>
          error instanceof UsageError &&
          /frozen weights .* are \d+, but here \d+/.test(error.message),
      );
      parameter.set(values);
      run.trainer.loadState(bytes);
      run.end();
    }
  });
});

test("a state tells of an adapter that was merged after an earlier state, and goes on where it is merged too", () => {
  engine.run(() => {
    const mergeOther = ({ model }: Run): void => {
      drawAdapter(injectLora(model, { r: 1 }, { adapterName: "other" }));
      setActiveAdapters(model, ["default", "other"]);
      adaptersOf(model).merge(["other"]);
    };
    const run = makeRun(options);
    run.trainer.trainStep();
    run.trainer.state();
    mergeOther(run);
    run.trainer.trainStep();
    const bytes = run.trainer.state();
    const elsewhere = makeRun(options);
    mergeOther(elsewhere);
    elsewhere.trainer.loadState(bytes);
    assert.equal(elsewhere.trainer.state(), bytes);
    assert.equal(elsewhere.trainer.trainStep(), run.trainer.trainStep());
    for (const one of [run, elsewhere]) one.end();
  });
});

test.run();
