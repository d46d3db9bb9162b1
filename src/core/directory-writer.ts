// Saves a directory of files, such as an adapter, all or nothing. A new directory is filled under a temporary name
// and renamed as a whole. Into an existing one the files are committed together and then move to their places, as
// pending.ts tells; hard links to the old files allow to go back if a move fails.
//   write       out/lowrank-….tmp/files/…  and stamps/…
//   commit      rename to out/lowrank-unfinished-save: from here on readers get the new files
//   move        out/lowrank-unfinished-save/files/<name> to out/<name>, one after the other
import { UsageError } from "./error.ts";
import {
  absolutePath,
  discard,
  type FileSystem,
  fileSystem,
  flushDirectory,
  kindOfPath,
  list,
  makeDirectory,
  parentOf,
  temporaryPath,
  withPath,
  writeBytes,
} from "./files.ts";
import { discardTree, removeLeftovers } from "./leftovers.ts";
import { finishPending, lookAt, move, moveOrder, PENDING, writeStamps } from "./pending.ts";
import { isTemporaryName, temporaryFor } from "./temporary.ts";

/** What a directory that exists may hold already. */
export interface WriteDirectoryOptions {
  /** What is saved, as errors call it; default "directory". */
  readonly noun?: string;
  /** Whether a file of this name is of the writer's own kind: it may be there, and goes when not rewritten. */
  readonly owns?: (name: string) => boolean;
  /** Whether something of this name may lie there and stay. */
  readonly ignores?: (name: string) => boolean;
  /** Whether this file, which lies at `path` and the save replaces or removes, may go unasked; default all. */
  readonly mayReplace?: (name: string, path: string) => boolean;
  /** Replace files that may not go unasked, and write beside other things, which stay; default false. */
  readonly overwrite?: boolean;
}

/**
 * Writes `files` into the directory `path`, which may be missing, empty, or hold only what the options allow; the
 * names in `files` are always of the writer's kind. A process that is killed leaves, for readers through
 * `pending.ts`, the old files or the new ones; the next save there removes what else it left.
 * @throws UsageError when something else is there, listing it; nothing is touched then
 */
export function writeDirectory(
  path: string,
  files: ReadonlyMap<string, Uint8Array>,
  options: WriteDirectoryOptions = {},
  fs: FileSystem = fileSystem(),
): void {
  for (const name of files.keys()) {
    const isPlain = /^[^\\/:\0]+$/.test(name) && name !== "." && name !== "..";
    if (isPlain && name !== PENDING && !isTemporaryName(name)) continue;
    throw new UsageError(`${JSON.stringify(name)} is not the plain name of a file.`);
  }
  const whole = absolutePath(path);
  if (kindOfPath(whole, fs) === null && writeNew(whole, path, files, fs)) return;
  if (kindOfPath(whole, fs) !== "directory") {
    throw new UsageError(
      `${JSON.stringify(path)} is a file, but a directory is to be written there. Choose another path.`,
    );
  }
  const check = (): string[] => staleNames(whole, path, files, options, fs);
  check();
  removeLeftovers(whole, fs);
  withPath("write into the directory", path, () => replace(whole, files, check, options, fs));
}

/**
 * Finishes a save that was killed in a directory, as far as nobody has written its files since, and removes temporary
 * files of processes that are gone, with those that version 0.1.0 left for files that are `owned`. Every other file
 * stays, and so does a directory that is missing or cannot be written.
 */
export function tidyDirectory(
  directory: string,
  owned: (name: string) => boolean = () => false,
  fs: FileSystem = fileSystem(),
): void {
  try {
    finishPending(directory, fs);
    removeLeftovers(directory, fs);
    for (const name of list(directory, fs)) {
      const path = `${directory}/${name}`;
      if (owned(temporaryFor(name) ?? "") && kindOfPath(path, fs) === "file") discard(path, fs);
    }
  } catch {
    // Nothing depends on it: readers look through what is there, and the next save tries again.
  }
}

/** The files that go since the save does not write them anew. Throws when the save is not allowed. */
function staleNames(
  whole: string,
  path: string,
  files: ReadonlyMap<string, Uint8Array>,
  { noun = "directory", owns, ignores, mayReplace, overwrite = false }: WriteDirectoryOptions,
  fs: FileSystem,
): string[] {
  const isKnown = (name: string) => files.has(name) || owns?.(name) === true;
  const view = lookAt(whole, fs);
  const kinds = new Map(
    view.names.map((name) => [
      name,
      // Another process may have moved it just now.
      kindOfPath(view.pathOf(name), fs) ?? kindOfPath(`${whole}/${name}`, fs),
    ]),
  );
  const isPlain = (name: string) => kinds.get(name) === "file";
  // What a save of version 0.1.0 left behind when it was killed.
  const isLeft = (name: string) => !files.has(name) && isKnown(temporaryFor(name) ?? "");
  const old = view.names.filter((name) => (isKnown(name) || isLeft(name)) && isPlain(name));
  const affected = old.filter((name) => !isLeft(name));
  const foreign = view.names.filter(
    (name) => kinds.get(name) !== null && !old.includes(name) && ignores?.(name) !== true,
  );
  const blocked = foreign.filter((name) => files.has(name) || name === PENDING);
  const taken = affected.filter((name) => mayReplace?.(name, view.pathOf(name)) === false);
  // Files beside one's own have been there when it was loaded, or came after it was saved.
  const isOwn = mayReplace !== undefined && affected.length > 0 && taken.length === 0;
  if (blocked.length > 0 || (!overwrite && foreign.length > 0 && !isOwn && taken.length === 0)) {
    const advice = blocked.length > 0 ? "" : ", or pass overwrite to write beside them";
    throw new UsageError(
      `The directory ${JSON.stringify(path)} already holds something else: ${shown(foreign)}. ` +
        `Choose another path${advice}.`,
    );
  }
  if (!overwrite && taken.length > 0) {
    throw new UsageError(
      `The directory ${JSON.stringify(path)} already holds ${shown(taken)}, which this ${noun} was neither ` +
        "loaded from nor saved to, or which changed since. Choose another path, or pass overwrite to replace " +
        `the ${noun} that is there.`,
    );
  }
  return old.filter((name) => !files.has(name));
}

function shown(names: readonly string[]): string {
  const words = names.slice(0, 5).map((name) => JSON.stringify(name));
  if (names.length > words.length) words.push(`and ${names.length - words.length} more`);
  return words.join(", ");
}

/** Fills a directory and puts it where nothing is; false if something has come there meanwhile. */
function writeNew(
  whole: string,
  path: string,
  files: ReadonlyMap<string, Uint8Array>,
  fs: FileSystem,
): boolean {
  const parent = parentOf(whole);
  makeDirectory(parent, fs);
  removeLeftovers(parent, fs);
  const temporary = temporaryPath(parent);
  return withPath("write the directory", path, () => {
    try {
      fs.mkdirSync(temporary);
      for (const [name, bytes] of files) writeBytes(`${temporary}/${name}`, bytes, fs);
      flushDirectory(temporary, fs);
      fs.renameSync(temporary, whole);
    } catch (error) {
      discardTree(temporary, fs);
      if (kindOfPath(whole, fs) !== null) return false;
      throw error;
    }
    flushDirectory(parent, fs);
    return true;
  });
}

function replace(
  whole: string,
  files: ReadonlyMap<string, Uint8Array>,
  check: () => string[],
  { owns }: WriteDirectoryOptions,
  fs: FileSystem,
): void {
  const isKnown = (name: string) => files.has(name) || owns?.(name) === true;
  const temporary = temporaryPath(whole);
  try {
    fs.mkdirSync(temporary);
    fs.mkdirSync(`${temporary}/files`);
    for (const [name, bytes] of files) writeBytes(`${temporary}/files/${name}`, bytes, fs);
    commit(
      whole,
      temporary,
      files,
      () => {
        finishPending(whole, fs, isKnown);
        return check();
      },
      fs,
    );
  } catch (error) {
    discardTree(temporary, fs);
    throw error;
  }
  moveAll(whole, moveOrder([...files.keys()]), fs);
  try {
    finishPending(whole, fs, isKnown);
  } catch {
    // An old file that cannot be removed stays hidden from readers; the next save tries again.
  }
  flushDirectory(whole, fs);
}

/** Turns the filled directory `temporary` into the save that counts, in one rename. */
function commit(
  whole: string,
  temporary: string,
  files: ReadonlyMap<string, Uint8Array>,
  prepare: () => string[],
  fs: FileSystem,
): void {
  for (let tries = 1; ; tries++) {
    const stale = prepare();
    fs.mkdirSync(`${temporary}/stamps`);
    for (const name of stale) fs.mkdirSync(`${temporary}/files/${name}`);
    for (const name of [...files.keys(), ...stale])
      writeStamps(temporary, name, files.has(name), `${whole}/${name}`, fs);
    for (const part of ["/files", "/stamps", ""]) flushDirectory(`${temporary}${part}`, fs);
    try {
      fs.renameSync(temporary, `${whole}/${PENDING}`);
      break;
    } catch (error) {
      // Another process has committed a save just now, and is to be finished first.
      const { code } = error as { code?: string };
      const isThere = code === "ENOTEMPTY" || code === "EEXIST";
      if (tries === 100 || !(isThere || kindOfPath(`${whole}/${PENDING}`, fs) !== null))
        throw error;
      for (const name of stale) fs.rmdirSync(`${temporary}/files/${name}`);
      discardTree(`${temporary}/stamps`, fs);
    }
  }
  flushDirectory(whole, fs);
}

/** Moves the committed files to their places, or takes the save back if one cannot. */
function moveAll(whole: string, names: readonly string[], fs: FileSystem): void {
  const kept = new Map<string, string>();
  const moved: string[] = [];
  let isAlone = true;
  try {
    for (const name of names) {
      keep(whole, name, kept, fs);
      isAlone &&= move(whole, name, true, fs);
      moved.push(name);
    }
  } catch (error) {
    // Where another process moves files as well, the save stands.
    if (isAlone) goBack(whole, names, moved, kept, fs);
    throw error;
  }
  for (const link of kept.values()) discard(link, fs);
}

/** Keeps the old file under a second name. Without hard links it goes aside: readers look at the new one already. */
function keep(whole: string, name: string, kept: Map<string, string>, fs: FileSystem): void {
  const target = `${whole}/${name}`;
  const link = temporaryPath(whole);
  try {
    fs.linkSync(target, link);
  } catch {
    if (kindOfPath(target, fs) === null) return;
    fs.renameSync(target, link);
  }
  kept.set(name, link);
}

/**
 * Takes a committed save back. The moved files go where they waited before the old ones come back: a reader gets the
 * new files until the rename at the end, and the old ones from there on.
 */
function goBack(
  whole: string,
  names: readonly string[],
  moved: readonly string[],
  kept: ReadonlyMap<string, string>,
  fs: FileSystem,
): void {
  const pending = `${whole}/${PENDING}`;
  try {
    for (const name of moved) fs.renameSync(`${whole}/${name}`, `${pending}/files/${name}`);
    for (const [name, link] of kept) {
      if (kindOfPath(`${whole}/${name}`, fs) === null) fs.renameSync(link, `${whole}/${name}`);
      else discard(link, fs);
    }
    const temporary = temporaryPath(whole);
    fs.renameSync(pending, temporary);
    const waiting = new Set(list(`${temporary}/files`, fs));
    // Another process moves files at the same time: then the save stands.
    if (names.every((name) => waiting.has(name))) discardTree(temporary, fs);
    else fs.renameSync(temporary, pending);
  } catch {
    // The save stands, and readers get it whole.
  }
  flushDirectory(whole, fs);
}
