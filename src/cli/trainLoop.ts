// The steps of a run: reports, checkpoints, Ctrl-C. A step is synchronous, so the loop hands over to the event loop
// after each one; that is when signals arrive.

import { setImmediate as nextTurn } from "node:timers/promises";
import { LowrankError, MemoryError } from "../core/error.ts";
import { removeFile } from "../core/files.ts";
import type { StepReport } from "../train/progress.ts";
import type { Trainer } from "../train/trainer.ts";
import type { Checkpoint, RunDirectory } from "./runDirectory.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** A signal that asks to stop. */
export type StopSignal = (typeof SIGNALS)[number];

/** Speed of the steps of this process. */
export interface Pace {
  readonly tokensPerSecond: number;
  readonly secondsLeft: number;
}

export interface LoopOptions {
  readonly directory: RunDirectory;
  /** Steps from one checkpoint to the next. */
  readonly checkpointEvery: number;
  /** Steps from one evaluation to the next; 0 for none. */
  readonly evalEvery: number;
  readonly onEvaluate: (step: number) => void;
  readonly onStep: (report: StepReport, pace: Pace) => void;
  readonly onCheckpoint: (checkpoint: Checkpoint) => void;
}

export interface LoopEnd {
  /** The signal that ended the loop before the run's end. */
  readonly stopped: StopSignal | null;
  /** The state after the last step that was done. */
  readonly checkpoint: Checkpoint;
  readonly tokensPerSecond: number;
  readonly seconds: number;
}

/** The loss stopped being a number. */
export class DivergedError extends LowrankError {
  override name = "DivergedError";
  /** The step whose loss it was, and the last checkpoint before. */
  readonly step: number;
  readonly checkpoint: string | null;

  constructor(cause: Error, step: number, checkpoint: Checkpoint | undefined, resume: string) {
    const where =
      checkpoint === undefined
        ? ""
        : ` The last good checkpoint is kept: ${checkpoint.path} (step ${checkpoint.step}). Go on from it with ` +
          `${resume} and a lower --lr.`;
    super(`${cause.message}${where}`, { cause });
    this.step = step;
    this.checkpoint = checkpoint?.path ?? null;
  }
}

/** Takes the first signal as a wish to stop; the next one finds no listener and ends the process. */
class StopWish {
  signal: StopSignal | null = null;
  readonly #listener = (signal: NodeJS.Signals): void => {
    this.signal = SIGNALS.find((name) => name === signal) ?? "SIGTERM";
    this.release();
  };

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#listener);
  }

  release(): void {
    for (const signal of SIGNALS) process.off(signal, this.#listener);
  }
}

/**
 * Trains to the end, or until a signal comes; either way the state after the last step is on disk then.
 * @throws DivergedError when a loss is not finite
 */
export async function trainLoop(trainer: Trainer, options: LoopOptions): Promise<LoopEnd> {
  const { directory, checkpointEvery, evalEvery, onEvaluate, onStep, onCheckpoint } = options;
  const { steps } = trainer.options;
  const first = trainer.step;
  const wish = new StopWish();
  let saved: Checkpoint | null = null;
  let tokens = 0;
  let seconds = 0;
  const save = (): Checkpoint => {
    saved = directory.save(trainer.step, trainer.state());
    onCheckpoint(saved);
    return saved;
  };
  try {
    if (first === 0) save();
    while (!trainer.done && wish.signal === null) {
      const before = performance.now();
      const report = step(trainer, directory);
      seconds += (performance.now() - before) / 1000;
      tokens += report.tokens;
      const tokensPerSecond = tokens / seconds;
      const secondsLeft = (seconds / (trainer.step - first)) * (steps - trainer.step);
      onStep(report, { tokensPerSecond, secondsLeft });
      if (trainer.step % checkpointEvery === 0) save();
      if (evalEvery > 0 && trainer.step % evalEvery === 0 && !trainer.done)
        onEvaluate(trainer.step);
      await nextTurn();
    }
    const last = saved as Checkpoint | null;
    return {
      stopped: trainer.done ? null : wish.signal,
      checkpoint: last?.step === trainer.step ? last : save(),
      tokensPerSecond: seconds > 0 ? tokens / seconds : 0,
      seconds,
    };
  } finally {
    wish.release();
  }
}

function step(trainer: Trainer, directory: RunDirectory): StepReport {
  try {
    return trainer.trainStep();
  } catch (error) {
    if (!(error instanceof LowrankError) || error instanceof MemoryError) throw error;
    // The weights after the last step gave this loss: the state before it is the last good one, the one to resume from.
    const states = directory.checkpoints();
    const good = states.findIndex((state) => state.step < trainer.step);
    for (const { path } of states.splice(0, good)) removeFile(path);
    throw new DivergedError(error, trainer.step + 1, states[0], directory.resumeCommand);
  }
}
