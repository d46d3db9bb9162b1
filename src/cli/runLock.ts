// The lock of a run's place: one file DIR/lock-<n>, which says what process holds it. A process that has ended holds
// nothing, however it ended, so that no lock is ever in the way of `--resume` after a crash.
//   create lock-<n+1>, which only one process can → look at all the others → one lives: step back; none: it is ours
// Of two holders the later one would have seen the file of the earlier one, and nobody removes the file of a process
// that lives: so there is never more than one.

import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { LowrankError, UsageError } from "../core/error.ts";
import { exists, list, makeDirectory, removeFile, withPath } from "../core/files.ts";
import {
  hostName,
  type ProcessState,
  processNamespace,
  processState,
  startTicks,
} from "../core/process.ts";

/** Names of lock files. */
export const LOCK_FILE: RegExp = /^lock-(\d{1,9})$/;

// Each try that fails means that another process has come or gone just then.
const TRIES = 100;

// A file is written right after it was made; one that says nothing for so long was left by a crash in between.
const PATIENCE_MS = 500;
const PAUSE_MS = 20;

/** A process, so that it can be told from another one which got its number later. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Where its number counts: containers have numbers of their own. Null where the system does not say. */
  readonly namespace: string | null;
  /** When it started, in ticks of the system; null where the system does not say. */
  readonly started: string | null;
}

/** A lock that this process holds. */
export interface RunLock {
  release(): void;
}

/** Another process, which may still run, holds the place. */
export class PlaceHeldError extends UsageError {}

/**
 * Takes the lock in `directory`, which is made if it is missing.
 * @throws PlaceHeldError
 */
export function takeLock(directory: string): RunLock {
  for (let tries = 0; tries < TRIES; tries++) {
    makeDirectory(directory);
    const found = locksIn(directory);
    found.forEach(refuseHeld);
    const number = 1 + Math.max(0, ...found.map((lock) => lock.number));
    const path = `${directory}/lock-${number}`;
    if (!create(path)) continue;
    const others = locksIn(directory).filter((lock) => lock.number !== number);
    try {
      others.forEach(refuseHeld);
    } catch (error) {
      removeFile(path);
      throw error;
    }
    for (const other of others) removeFile(other.path);
    return { release: () => removeFile(path) };
  }
  throw new LowrankError(
    `Could not lock ${JSON.stringify(directory)}: other processes make and remove files there all the time.`,
  );
}

/**
 * Looks whether another process holds the lock in `directory`, and changes nothing.
 * @throws PlaceHeldError
 */
export function refuseHeldPlace(directory: string): void {
  locksIn(directory).forEach(refuseHeld);
}

interface LockFile {
  readonly path: string;
  readonly number: number;
}

function locksIn(directory: string): LockFile[] {
  const names = exists(directory) ? list(directory) : [];
  return names.flatMap((name) => {
    const number = LOCK_FILE.exec(name)?.[1];
    return number === undefined ? [] : [{ path: `${directory}/${name}`, number: Number(number) }];
  });
}

function refuseHeld({ path }: LockFile): void {
  const holder = readHolder(path);
  const state = holder === null ? "gone" : stateOf(holder);
  if (holder === null || state === "gone") return;
  if (state === "alive") {
    throw new PlaceHeldError(
      `Another run is writing to this place: process ${holder.pid} holds ${JSON.stringify(path)}. Wait until it has ` +
        "ended, or choose another place with --out DIR.",
    );
  }
  throw new PlaceHeldError(
    `Another run writes to this place, or did so until it was cut off: process ${holder.pid} of ` +
      `${JSON.stringify(holder.host)}, of which nothing can be said from here. If it has ended, remove ` +
      `${JSON.stringify(path)} and start again; otherwise wait for it, or choose another place with --out DIR.`,
  );
}

/** Whether the process still runs, as far as this one can tell. */
function stateOf({ pid, host, namespace, started }: Holder): ProcessState {
  const own = processNamespace();
  const isElsewhere = namespace !== null && own !== null && namespace !== own;
  if (isElsewhere || host !== hostName()) return "unknown";
  const state = processState(pid);
  if (state !== "alive") return state;
  // The number alone may be another process's by now.
  const now = startTicks(pid);
  if (now === null || started === null) return "unknown";
  return started === now ? "alive" : "gone";
}

/** Makes the file; false if it is there, or its directory has just gone. */
function create(path: string): boolean {
  const { pid } = process;
  const started = startTicks(pid);
  const holder: Holder = { pid, host: hostName(), namespace: processNamespace(), started };
  return withPath("lock", path, () => {
    let file: number;
    try {
      file = openSync(path, "wx");
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EEXIST" || code === "ENOENT") return false;
      throw error;
    }
    try {
      writeSync(file, `${JSON.stringify(holder)}\n`);
    } catch (error) {
      removeFile(path);
      throw error;
    } finally {
      closeSync(file);
    }
    return true;
  });
}

/** Who holds the file; null if it is gone, or says nothing. */
function readHolder(path: string): Holder | null {
  for (let waited = 0; waited < PATIENCE_MS; waited += PAUSE_MS) {
    if (!exists(path)) return null;
    const holder = holderIn(path);
    if (holder !== null) return holder;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
  }
  return null;
}

function holderIn(path: string): Holder | null {
  try {
    const text = readFileSync(path, "utf8");
    const { pid, host, namespace, started } = JSON.parse(text) as Record<string, unknown>;
    const isText = (value: unknown) => value === null || typeof value === "string";
    const isHolder =
      Number.isSafeInteger(pid) &&
      Number(pid) > 0 &&
      typeof host === "string" &&
      isText(namespace) &&
      isText(started);
    return isHolder ? ({ pid, host, namespace, started } as Holder) : null;
  } catch {
    return null;
  }
}
