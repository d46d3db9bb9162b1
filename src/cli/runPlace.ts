// Where a run of `lowrank train` goes, decided before anything slow begins. A run has its place for itself: it takes
// one that holds no other run, unless it goes on with that run or is told to write over it, and locks it until it ends.

import { lstatSync, statSync } from "node:fs";
import { LowrankError, UsageError } from "../core/error.ts";
import { absolutePath, exists, list, parentOf } from "../core/files.ts";
import { type Arguments, CommandLineError } from "./arguments.ts";
import { OUT } from "./defaults.ts";
import { guardInputs } from "./inputGuard.ts";
import type { OptionsFor } from "./option.ts";
import { RunDirectory, removeEmptyDirectory } from "./runDirectory.ts";
import { PlaceHeldError, type RunLock, refuseHeldPlace, takeLock } from "./runLock.ts";
import { isFinished } from "./runRecord.ts";
import type { TrainValues } from "./trainOptions.ts";

/** A place that this process has for itself. */
export interface RunPlace {
  readonly directory: RunDirectory;
  /** Lets others in; a place in which nothing was written goes. */
  release(): void;
}

/**
 * Takes the place that the options mean.
 * @throws UsageError, or CommandLineError for options that make no sense together; nothing was changed then
 */
export function takePlace({ values }: Arguments<OptionsFor<TrainValues>>): RunPlace {
  const { out, resume, overwrite } = values;
  if (resume && overwrite) {
    throw new CommandLineError(
      "--resume goes on with the run in --out, and --overwrite replaces it. Give only one of them.",
    );
  }
  if (resume) return takeRun(out === undefined ? newestUnfinished() : new RunDirectory(out));
  if (out !== undefined) {
    const directory = new RunDirectory(out);
    guardInputs(directory, values);
    return takeFree(directory, overwrite);
  }
  if (overwrite) {
    throw new CommandLineError(
      "--overwrite replaces the run in --out: name it with --out DIR. Without --out a run takes the next free place.",
    );
  }
  return takeNext();
}

/** For a new run: a place without another one, unless that is written over. */
function takeFree(directory: RunDirectory, overwrite: boolean): RunPlace {
  const check = (): void => {
    directory.check();
    if (!overwrite) refuseEarlier(directory);
  };
  refuseHeldPlace(directory.states);
  check();
  const place = lock(directory);
  try {
    // Another run may have ended there since.
    check();
    directory.checkNames();
    return place;
  } catch (error) {
    place.release();
    throw error;
  }
}

function refuseEarlier(directory: RunDirectory): void {
  const found = directory.earlier();
  if (found === null) return;
  const resume = directory.isResumable() ? "go on with it with --resume, " : "";
  throw new UsageError(
    `The output directory ${JSON.stringify(directory.path)} already holds a run: ${JSON.stringify(found)}. Nothing ` +
      `was changed. Choose another place with --out DIR, ${resume}or replace it with --overwrite.`,
  );
}

/** For a run that goes on. */
function takeRun(directory: RunDirectory): RunPlace {
  directory.check();
  if (!directory.isResumable()) {
    throw new UsageError(
      `There is no checkpoint in ${JSON.stringify(directory.path)} to resume from. Start the run without --resume, ` +
        "or name its directory with --out DIR.",
    );
  }
  return lock(directory);
}

/** The first of lowrank-out, lowrank-out-2, … that is free; of two processes that look at once each gets its own. */
function takeNext(): RunPlace {
  for (let number = 1; ; number++) {
    const path = number === 1 ? OUT : `${OUT}-${number}`;
    try {
      return takeFree(new RunDirectory(path), false);
    } catch (error) {
      // A link that leads nowhere lies there as well.
      const isTaken =
        error instanceof PlaceHeldError || lstatSync(path, { throwIfNoEntry: false }) !== undefined;
      if (!(error instanceof LowrankError) || !isTaken) throw error;
    }
  }
}

function newestUnfinished(): RunDirectory {
  const runs = list(".")
    .filter((name) => name === OUT || new RegExp(`^${OUT}-\\d+$`).test(name))
    .map((name) => new RunDirectory(name))
    .filter((directory) => directory.isResumable() && !isFinished(directory))
    .map((directory) => ({ directory, saved: savedAt(directory) }))
    .sort((a, b) => b.saved - a.saved);
  const [newest] = runs;
  if (newest !== undefined) return newest.directory;
  throw new UsageError(
    `There is no unfinished run in ${OUT}, ${OUT}-2, … to resume. Name a run with --out DIR, or start one without ` +
      "--resume.",
  );
}

/** When the run saved its newest state, in milliseconds. */
function savedAt(directory: RunDirectory): number {
  return Math.max(0, ...directory.checkpoints().map(({ path }) => statSync(path).mtimeMs));
}

function lock(directory: RunDirectory): RunPlace {
  const missing = missingAbove(directory.states);
  let held: RunLock | null = null;
  const undo = (): void => {
    held?.release();
    held = null;
    for (const path of missing) removeEmptyDirectory(path);
  };
  try {
    held = takeLock(directory.states);
  } catch (error) {
    undo();
    throw error;
  }
  return { directory, release: undo };
}

/** The directory and those above it that are not there, from below. */
function missingAbove(path: string): string[] {
  const missing: string[] = [];
  for (let at = absolutePath(path); !exists(at) && parentOf(at) !== at; at = parentOf(at))
    missing.push(at);
  return missing;
}
