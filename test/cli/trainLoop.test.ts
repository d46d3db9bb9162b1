// What a run says of a step that fails: divergence is called so and nothing else is, and the last good state is kept.

import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RunDirectory } from "../../src/cli/runDirectory.ts";
import { type LoopEnd, type Pace, placeOf, trainLoop } from "../../src/cli/trainLoop.ts";
import { LowrankError, MemoryError, ShapeError } from "../../src/core/error.ts";
import type { Dataset } from "../../src/data/dataset.ts";
import type { StepReport } from "../../src/train/progress.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { engines } from "../support/engines.ts";
import { temporaryPaths } from "../support/temporary.ts";
import { makeRun, type Run } from "../train/run.ts";

const { engine } = (await engines())[0]!;
const place = temporaryPaths("lowrank-loop");

interface Tried {
  readonly directory: RunDirectory;
  readonly error: Error | null;
  readonly end: LoopEnd | null;
  readonly paces: readonly (Pace & { readonly report: StepReport })[];
}

/** Trains 8 steps of a run; `fails` throws in the batches that are to fail. */
async function trained(
  run: Run,
  options: { fails?: (index: number) => void; onEvaluate?: () => void } = {},
): Promise<Tried> {
  const { fails, onEvaluate = () => {} } = options;
  const directory = new RunDirectory(place());
  directory.begin("{}");
  const data: Dataset = Object.create(run.data, {
    batchAt: {
      value: (index: number) => {
        fails?.(index);
        return run.data.batchAt(index);
      },
    },
  });
  const trainer = new Trainer(run.model, data, run.trainer.options);
  const paces: (Pace & { readonly report: StepReport })[] = [];
  const loop = trainLoop(trainer, {
    directory,
    checkpointEvery: 100,
    evalEvery: 2,
    onEvaluate,
    onStep: (report, pace) => paces.push({ ...pace, report }),
    onCheckpoint: () => {},
  });
  const [end, error] = await loop.then(
    (end) => [end, null] as const,
    (reason: Error) => [null, reason] as const,
  );
  trainer.dispose();
  return { directory, error, end, paces };
}

/** A failure of the fourth step; the state itself asks for batch 0. */
const inStepFour =
  (error: Error): ((index: number) => void) =>
  (index) => {
    if (index === 3) throw error;
  };

const stepsOf = ({ directory }: Tried): number[] => directory.checkpoints().map(({ step }) => step);

function withRun(body: (run: Run) => Promise<void>): () => Promise<void> {
  return async () => {
    const run = engine.run(() => makeRun());
    await body(run);
    run.end();
  };
}

test(
  "an error of another kind keeps its name and words, and the state before the step is saved",
  withRun(async (run) => {
    for (const cause of [
      new MemoryError("Out of memory: a tensor asked for 8 bytes."),
      new ShapeError("Shape [9] is too large."),
      new LowrankError("The engine is odd."),
    ]) {
      const tried = await trained(run, { fails: inStepFour(cause) });
      const { error, directory } = tried;
      assert.instance(error, LowrankError);
      assert.is(error?.name, cause.name);
      const [state] = directory.checkpoints();
      assert.is(state?.step, 3);
      assert.is(
        error?.message,
        `${cause.message} The state after step 3 is kept: ${state?.path}. Go on from it with ${directory.resumeCommand}${
          cause instanceof MemoryError ? " and --gradient-checkpointing" : ""
        }.`,
      );
      assert.not.match(error?.message ?? "", /--lr|diverge|learning rate/i);
      assert.equal(placeOf(error), { step: 4, checkpoint: state?.path });
      run.trainer.loadState(readFileSync(state!.path));
      assert.is(run.trainer.step, 3);
    }
  }),
);

test(
  "an error of the program itself stays what it is, and the state before the step is saved",
  withRun(async (run) => {
    const bug = new TypeError("x is not a function");
    const tried = await trained(run, { fails: inStepFour(bug) });
    assert.is(tried.error, bug);
    assert.equal(stepsOf(tried), [3, 0]);
  }),
);

test(
  "an evaluation that fails on the way costs no step",
  withRun(async (run) => {
    const cause = new MemoryError("Out of memory.");
    const onEvaluate = () => {
      throw cause;
    };
    const tried = await trained(run, { onEvaluate });
    assert.is(tried.error?.name, "MemoryError");
    assert.equal(stepsOf(tried), [2, 0]);
  }),
);

test(
  "in the first step there is nothing to go on with, and nothing is said of it",
  withRun(async (run) => {
    const cause = new ShapeError("Shape [9] is too large.");
    let asked = 0;
    // The first state asks for the batch as well.
    const fails = () => {
      if (++asked > 1) throw cause;
    };
    const { error } = await trained(run, { fails });
    assert.is(error?.message, cause.message);
  }),
);

test(
  "a first step that does not fit says which options make it smaller",
  withRun(async (run) => {
    let asked = 0;
    const fails = () => {
      if (++asked > 1) throw new MemoryError("Out of memory.");
    };
    const { error } = await trained(run, { fails });
    assert.is(error?.name, "MemoryError");
    assert.match(error?.message ?? "", /^Out of memory\. .*--gradient-checkpointing.*--batch-size/);
  }),
);

test(
  "weights that are no numbers before anything has trained are not the rate's fault",
  withRun(async (run) => {
    const [weight] = run.model.parameters();
    weight!.set(new Float32Array(weight!.size).fill(Number.NaN));
    const tried = await trained(run);
    assert.is(tried.error?.name, "DivergedError");
    assert.match(tried.error?.message ?? "", /step 1: the loss is NaN.*No weight has been trained/);
    assert.not.match(tried.error?.message ?? "", /--lr|[Ll]ower/);
    assert.equal(stepsOf(tried), [0]);
  }),
);

test(
  "tokens per second are those that steps have read",
  withRun(async (run) => {
    const tried = await trained(run);
    assert.is(tried.error, null);
    assert.is(tried.paces.length, 8);
    const read = tried.paces.reduce((sum, { report }) => sum + report.inputTokens, 0);
    const { tokensPerSecond, seconds } = tried.end!;
    assert.ok(Math.abs((tokensPerSecond * seconds) / read - 1) < 1e-9);
    assert.equal(stepsOf(tried), [8, 0]);
  }),
);

test.run();
