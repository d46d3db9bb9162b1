// The steps of a run: reports, checkpoints, Ctrl-C. A step is synchronous, so the loop hands over to the event loop
// after each one; that is when signals arrive.

import { setImmediate as nextTurn } from "node:timers/promises";
import { LowrankError, MemoryError } from "../core/error.ts";
import { removeFile } from "../core/files.ts";
import { DivergenceError } from "../train/divergence.ts";
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

/** A run that came to its end before its last step, and the state that it can go on from. */
abstract class RunEndedError extends LowrankError {
  /** The step in which it ended. */
  readonly step: number;
  readonly checkpoint: string | null;

  constructor(cause: Error, step: number, state: Checkpoint | undefined, advice: string) {
    super(`${cause.message}${advice}`, { cause });
    this.step = step;
    this.checkpoint = state?.path ?? null;
  }
}

/** The loss, a gradient or a weight stopped being a number. */
class DivergedError extends RunEndedError {
  override name = "DivergedError";

  constructor(cause: DivergenceError, state: Checkpoint | undefined, resume: string) {
    // In the first step it is not the rate that is to blame.
    const where =
      state === undefined || cause.step === 1
        ? ""
        : ` The last good checkpoint is kept: ${state.path} (step ${state.step}). Go on from it with ` +
          `${resume} and a lower --lr.`;
    super(cause, cause.step, state, where);
  }
}

/** Anything else went wrong; the name is that of what did. */
class StoppedError extends RunEndedError {
  constructor(cause: LowrankError, step: number, state: Checkpoint | undefined, resume: string) {
    const isShort = cause instanceof MemoryError;
    const start = isShort
      ? " In the command a step takes less with --gradient-checkpointing, a smaller --block-size, or a smaller --batch-size " +
        "of which --accumulate makes several one step."
      : "";
    const goOn = isShort ? `${resume} and --gradient-checkpointing` : resume;
    const where =
      state === undefined || state.step === 0
        ? start
        : ` The state after step ${state.step} is kept: ${state.path}. Go on from it with ${goOn}.`;
    super(cause, step, state, where);
    this.name = cause.name;
  }
}

/** What a program may want to know of an error that ended a run. */
export function placeOf(error: unknown): { step?: number; checkpoint?: string | null } {
  return error instanceof RunEndedError ? { step: error.step, checkpoint: error.checkpoint } : {};
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
 * Trains to the end, or until a signal comes; either way the state after the last step is on disk then, and also when a
 * step or an evaluation fails.
 * @throws DivergedError when a loss, a gradient or a weight is not finite
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
    if (saved?.step === trainer.step) return saved;
    saved = directory.save(trainer.step, trainer.state());
    onCheckpoint(saved);
    return saved;
  };
  try {
    if (first === 0) save();
    while (!trainer.done && wish.signal === null) {
      const before = performance.now();
      const report = trainer.trainStep();
      seconds += (performance.now() - before) / 1000;
      tokens += report.inputTokens;
      const tokensPerSecond = tokens / seconds;
      const secondsLeft = (seconds / (trainer.step - first)) * (steps - trainer.step);
      onStep(report, { tokensPerSecond, secondsLeft });
      if (trainer.step % checkpointEvery === 0) save();
      if (evalEvery > 0 && trainer.step % evalEvery === 0 && !trainer.done)
        onEvaluate(trainer.step);
      await nextTurn();
    }
    return {
      stopped: trainer.done ? null : wish.signal,
      checkpoint: save(),
      tokensPerSecond: seconds > 0 ? tokens / seconds : 0,
      seconds,
    };
  } catch (error) {
    throw ended(error, trainer, directory, save);
  } finally {
    wish.release();
  }
}

/** The error to end a run with: the last good state is on disk, and it says where. */
function ended(
  error: unknown,
  trainer: Trainer,
  directory: RunDirectory,
  save: () => Checkpoint,
): unknown {
  if (error instanceof DivergenceError) {
    // The weights after the last step gave this loss: the state before it is the last good one, the one to resume from.
    const states = directory.checkpoints();
    const good = states.findIndex((state) => state.step < trainer.step);
    for (const { path } of states.splice(0, good)) removeFile(path);
    return new DivergedError(error, states[0], directory.resumeCommand);
  }
  try {
    save();
  } catch {
    // What went wrong first is what is to be told; an earlier state may be there.
  }
  if (!(error instanceof LowrankError)) return error;
  const [state] = directory.checkpoints();
  return new StoppedError(error, trainer.step + 1, state, directory.resumeCommand);
}
