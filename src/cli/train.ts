// `lowrank train`: from a model and a text to an adapter, a merged model, and the numbers that say what it did.
//   take a place → set up → [resume] → before → steps → adapter → after → merged

import { constants } from "node:os";
import { FormatError } from "../core/error.ts";
import { absolutePath, readFile } from "../core/files.ts";
import { arithmeticOf } from "../train/arithmetic.ts";
import type { Arguments } from "./arguments.ts";
import { type Command, defineCommand } from "./command.ts";
import { guardInputs } from "./inputGuard.ts";
import type { OptionsFor } from "./option.ts";
import type { RunDirectory } from "./runDirectory.ts";
import { takePlace } from "./runPlace.ts";
import {
  checkFingerprint,
  describeOptions,
  formatRecord,
  otherBits,
  type RunRecord,
  readRecord,
  wordsOf,
} from "./runRecord.ts";
import { jsonView, type Terminal } from "./terminal.ts";
import type { TrainEvent } from "./trainEvents.ts";
import { type LoopEnd, type StopSignal, trainLoop } from "./trainLoop.ts";
import { type TrainValues, trainOptions } from "./trainOptions.ts";
import { finish, heldOut, look } from "./trainResult.ts";
import { type Run, setUp } from "./trainSetup.ts";
import { trainView } from "./trainView.ts";

export const trainCommand: Command = defineCommand({
  name: "train",
  summary: "fine-tune a model on a text with LoRA",
  description:
    "Trains a LoRA adapter, or with --full the whole model, and shows held-out loss and a sample before and after. " +
    "Without options it fine-tunes the embedded model on the bundled text.\n\n" +
    "Writes DIR/adapter (as PEFT does), DIR/merged (a Hugging Face directory) and DIR/checkpoint. " +
    "A place that holds a run is left alone unless --resume or --overwrite is given; without --out the next free " +
    "place is taken.\n\n" +
    "Ctrl-C, SIGTERM and a terminal that closes finish the step, save the state and say how to go on; a resumed run " +
    "gives the same bits as one that was never stopped, unless it gets another --lr.",
  examples: [
    ["", "the embedded model on the bundled text"],
    ["--data notes.txt --out notes", "on a text of your own"],
    [
      "--data pairs.jsonl --targets q_proj,v_proj --r 16 --alpha 32",
      "loss on the completions only",
    ],
    ["--out notes --resume", "go on after Ctrl-C or a crash"],
    ["--data notes.txt --out notes --overwrite", "once more, in the place of the run before"],
  ],
  options: trainOptions,
  saves: true,
  run: train,
});

async function train(
  args: Arguments<OptionsFor<TrainValues>>,
  terminal: Terminal,
): Promise<number> {
  const place = takePlace(args);
  try {
    return await trainIn(place.directory, args, terminal);
  } finally {
    place.release();
  }
}

async function trainIn(
  directory: RunDirectory,
  args: Arguments<OptionsFor<TrainValues>>,
  terminal: Terminal,
): Promise<number> {
  const earlier = args.values.resume ? readRecord(directory, args) : null;
  const values = earlier?.values ?? args.values;
  if (earlier !== null) guardInputs(directory, values);
  const show = values.json ? jsonView<TrainEvent>(terminal) : trainView(terminal, values);
  const run = await setUp(values, directory, show);
  const record = earlier === null ? begin(run) : goOn(run, earlier.record);
  const end = await trainLoop(run.trainer, {
    directory,
    checkpointEvery: values.checkpointEvery,
    evalEvery: values.evalEvery,
    onEvaluate: (step) => {
      const evaluation = heldOut(run);
      if (evaluation !== null) show({ event: "evaluation", when: "during", step, ...evaluation });
    },
    onStep: (report, pace) => show({ event: "step", ...report, steps: values.steps, ...pace }),
    onCheckpoint: ({ step, path }) => show({ event: "checkpoint", step, path }),
  });
  if (end.stopped !== null) return stop(run, end, end.stopped);
  await finish(run, record.before, end);
  if (record.overwrites === true) directory.removeOthers(values.full);
  directory.writeRun(formatRecord({ ...record, finished: true }));
  return 0;
}

function stop({ directory, show }: Run, end: LoopEnd, signal: StopSignal): number {
  const { step, path } = end.checkpoint;
  const resume = directory.resumeCommand;
  show({ event: "interrupted", signal, step, checkpoint: path, resume });
  // As a shell tells how a process ended that the signal itself has ended.
  return 128 + constants.signals[signal];
}

/** Begins a new run, when what comes before its first step has gone well; the result is its record. */
function begin(run: Run): RunRecord {
  const before = heldOut(run);
  look(run, "before", before);
  const record: RunRecord = {
    ...describeOptions(run.values, absolutePath),
    fingerprint: run.fingerprint,
    ...arithmeticOf(run.engine),
    before,
    ...(run.values.overwrite ? { overwrites: true } : {}),
  };
  run.directory.begin(formatRecord(record));
  return record;
}

/** Takes the newest state that is whole; the result is the record. */
function goOn(run: Run, record: RunRecord): RunRecord {
  const { directory, trainer, engine, show, values } = run;
  checkFingerprint(record, run.fingerprint);
  const other = otherBits(record, engine);
  directory.tidy();
  if (other !== null) show({ event: "warning", message: other });
  const skipped: { path: string; reason: string }[] = [];
  for (const { path, step } of directory.checkpoints()) {
    try {
      trainer.loadState(readFile(path), path);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      skipped.push({ path, reason: error.message });
      continue;
    }
    show({
      event: "resumed",
      step,
      checkpoint: path,
      skipped,
      lossBefore: record.before?.loss ?? null,
    });
    // What was said of the whole run need not be said of its last state again.
    if (other === null) for (const message of trainer.warnings) show({ event: "warning", message });
    const words = wordsOf(values, absolutePath);
    const rate = (from: readonly string[]) => from.find((word) => /^--lr=/.test(word));
    if (rate(words) !== rate(record.arguments)) {
      const message = `The run goes on with ${rate(words)}: the result is not that of one which was never stopped.`;
      show({ event: "warning", message });
      const changed = { ...record, ...describeOptions(values, absolutePath) };
      directory.writeRun(formatRecord(changed));
      return changed;
    }
    return record;
  }
  throw new FormatError(
    `No checkpoint of the run is whole:\n  ${skipped.map(({ reason }) => reason).join("\n  ")}\n` +
      "Start the run again with --overwrite in the place of --resume.",
  );
}
