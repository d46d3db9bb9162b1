// A save into a directory that holds an older one. The new files are committed at once, by the rename of a directory
// with all of them; then each moves to its own place. Until the last has moved, readers look here first.
//   out/lowrank-unfinished-save/files/<name>              the new file; a directory says that the old file goes
//   out/lowrank-unfinished-save/stamps/<old>,<new>,<name> size and time of the file before and after, as a name
// A rename from files/ to its place is right at any time and for any process: it never changes what a reader gets.
// So whoever comes by finishes the moves. A new save commits after that, since the directory must be gone for it.
// Nothing is written into a file for it: a disk that is full to the last byte does not stop a save halfway.
import {
  type FileSystem,
  fileSystem,
  flushDirectory,
  kindOfPath,
  list,
  nameOf,
  parentOf,
  readFile,
  statusOf,
  temporaryPath,
} from "./files.ts";
import { discardTree } from "./leftovers.ts";
import { isTemporaryName } from "./temporary.ts";

/** Where committed files wait. */
export const PENDING = "lowrank-unfinished-save";

const NOTHING = "none";

/** A committed save that has not moved to its place as a whole. */
interface Pending {
  /** The files that still wait, and whether each takes its place or only removes the old one. */
  readonly waiting: ReadonlyMap<string, "file" | "removal">;
  readonly stamps: ReadonlyMap<string, Stamps>;
  /** Waiting files whose place somebody has written since. */
  readonly changed: ReadonlySet<string>;
  /** False when the whole directory was written by somebody since: then it counts as it lies. */
  readonly counts: boolean;
}

interface Stamps {
  readonly before: string;
  readonly after: string;
}

/** Lays down in the directory `pending` what shall be known of the file `name` while it waits. */
export function writeStamps(
  pending: string,
  name: string,
  isFile: boolean,
  target: string,
  fs: FileSystem,
): void {
  const after = isFile ? stampOf(`${pending}/files/${name}`, fs) : NOTHING;
  fs.mkdirSync(`${pending}/stamps/${stampOf(target, fs)},${after},${keyOf(name)}`);
}

/** The name itself where it leaves room for its stamps in a name of 255 bytes, else a few letters for it. */
function keyOf(name: string): string {
  if (new TextEncoder().encode(name).length <= 150) return name;
  let hash = 0n;
  for (const letter of name)
    hash = BigInt.asUintN(64, (hash ^ BigInt(letter.codePointAt(0) ?? 0)) * 0x100000001b3n);
  return `,${hash.toString(36)}`;
}

/** Size and time of a file, in words; NOTHING if there is none. */
function stampOf(path: string, fs: FileSystem): string {
  const status = statusOf(path, fs);
  if (status === undefined) return NOTHING;
  return status.isFile() ? `${status.size ?? ""}-${Math.trunc(status.mtimeMs ?? 0)}` : "other";
}

const sizeOf = (stamp: string): string => stamp.split("-", 1)[0] ?? "";

/** What waits in a directory, or null if nothing does. */
function readPending(directory: string, fs: FileSystem): Pending | null {
  // Files may move away while this looks at them; then it looks again.
  for (let tries = 0; tries < 100; tries++) {
    const parts = readParts(directory, fs);
    if (parts === null || parts.waiting.size === 0) return null;
    const pending = judge(directory, parts, fs);
    const again = readParts(directory, fs);
    if (again !== null && textOf(again) === textOf(parts)) return pending;
  }
  return null;
}

type Parts = Pick<Pending, "waiting" | "stamps">;

const textOf = ({ waiting, stamps }: Parts): string => JSON.stringify([[...waiting], [...stamps]]);

/** Null where there is nothing of the kind, or what no save left there. */
function readParts(directory: string, fs: FileSystem): Parts | null {
  const path = `${directory}/${PENDING}`;
  // This look is all that a directory without a pending save costs.
  if (kindOfPath(path, fs) !== "directory") return null;
  const stamps = new Map<string, Stamps>();
  for (const stamp of namesIn(`${path}/stamps`, fs)) {
    const [, before, after, key] = /^([^,]+),([^,]+),(.+)$/s.exec(stamp) ?? [];
    if (before !== undefined && after !== undefined) stamps.set(key ?? "", { before, after });
  }
  const waiting = new Map<string, "file" | "removal">();
  for (const name of namesIn(`${path}/files`, fs)) {
    const kind = kindOfPath(`${path}/files/${name}`, fs);
    if (kind === null) continue;
    if (kind === "other" || !stamps.has(keyOf(name))) return null;
    waiting.set(name, kind === "file" ? "file" : "removal");
  }
  const strange = namesIn(path, fs).some((name) => name !== "files" && name !== "stamps");
  return strange ? null : { waiting, stamps };
}

function namesIn(path: string, fs: FileSystem): string[] {
  try {
    return fs.readdirSync(path).sort();
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}

function judge(directory: string, { waiting, stamps }: Parts, fs: FileSystem): Pending {
  // A copy of a directory may have new times everywhere; sizes alone say something then.
  const copied = [...waiting].some(
    ([name, kind]) =>
      kind === "file" &&
      stampOf(`${directory}/${PENDING}/files/${name}`, fs) !== stamps.get(keyOf(name))?.after,
  );
  const isSame = (now: string, then: string) =>
    copied ? sizeOf(now) === sizeOf(then) : now === then;
  const changed = new Set<string>();
  for (const name of waiting.keys()) {
    const now = stampOf(`${directory}/${name}`, fs);
    if (now !== NOTHING && !isSame(now, stamps.get(keyOf(name))?.before ?? "")) changed.add(name);
  }
  const keys = new Set([...waiting.keys()].map(keyOf));
  const moved = [...stamps].filter(([key]) => !keys.has(key));
  const rewritten = moved.filter(
    ([key, { after }]) =>
      after !== NOTHING &&
      !key.startsWith(",") &&
      !isSame(stampOf(`${directory}/${key}`, fs), after),
  );
  // Before the first move all old files are there. After it, a config that was edited does not fit what has moved.
  const isWrittenAnew = changed.size > 0 && (moved.length === 0 || rewritten.length > 0);
  return { waiting, stamps, changed, counts: !isWrittenAnew };
}

/** Whether the name in a directory belongs to saves on their way, which no reader sees. */
export function isOnTheWay(directory: string, name: string, fs: FileSystem): boolean {
  return isTemporaryName(name) || (name === PENDING && readParts(directory, fs) !== null);
}

/** A directory as readers see it. */
export interface DirectoryView {
  /** The names that will be there when a save that waits has moved, sorted. */
  readonly names: readonly string[];
  /** Where the bytes of a file lie at this moment. */
  pathOf(name: string): string;
}

/** Looks at a directory, through a save that waits in it. */
export function lookAt(directory: string, fs: FileSystem = fileSystem()): DirectoryView {
  const names = new Set(list(directory, fs).filter((name) => !isOnTheWay(directory, name, fs)));
  const pending = readPending(directory, fs);
  for (const name of pending?.waiting.keys() ?? []) {
    if (isFileWaiting(pending, name)) names.add(name);
    else if (isRemoved(pending, name)) names.delete(name);
  }
  const pathOf = (name: string) =>
    `${directory}/${isFileWaiting(pending, name) ? `${PENDING}/files/` : ""}${name}`;
  return { names: [...names].sort(), pathOf };
}

const isFileWaiting = (pending: Pending | null, name: string): boolean =>
  pending?.counts === true && pending.waiting.get(name) === "file";

/** Whether an old file counts as removed; one that somebody has written since is not meant. */
const isRemoved = (pending: Pending | null, name: string): boolean =>
  pending?.counts === true && pending.waiting.get(name) === "removal" && !pending.changed.has(name);

/** Where the bytes of a file lie at this moment; null if a save removes it. */
export function currentPath(path: string, fs: FileSystem = fileSystem()): string | null {
  const [directory, name] = [parentOf(path), nameOf(path)];
  const pending = readPending(directory, fs);
  if (isRemoved(pending, name)) return null;
  return isFileWaiting(pending, name) ? `${directory}/${PENDING}/files/${name}` : path;
}

/** The whole of a file, also while a save into its directory is unfinished; null if there is none. */
export function readCurrent(path: string, fs: FileSystem = fileSystem()): Uint8Array | null {
  return withCurrent(path, readFile, fs);
}

/** What `read` makes of a file, wherever a save has it; null if there is none. */
export function withCurrent<T>(
  path: string,
  read: (found: string, fs: FileSystem) => T,
  fs: FileSystem = fileSystem(),
): T | null {
  for (let tries = 0; ; tries++) {
    const found = currentPath(path, fs);
    if (found === null) return null;
    try {
      if (kindOfPath(found, fs) !== null) return read(found, fs);
      if (found === path) return null;
    } catch (error) {
      if (found === path || tries === 100) throw error;
    }
    // It has moved to its place just now.
  }
}

/**
 * Moves what waits in a directory to its place, except over files that somebody has written since, unless
 * `mayReplace` lets it. What nobody will ever move, since the directory was written anew, goes with `mayReplace`.
 * @throws what the file system throws where it cannot be written
 */
export function finishPending(
  directory: string,
  fs: FileSystem,
  mayReplace?: (name: string) => boolean,
): void {
  const path = `${directory}/${PENDING}`;
  if (kindOfPath(path, fs) !== "directory") return;
  const pending = readPending(directory, fs);
  if (pending?.counts) {
    const isFree = (name: string) => !pending.changed.has(name) || mayReplace?.(name) === true;
    for (const name of moveOrder([...pending.waiting.keys()].filter(isFree))) {
      move(directory, name, pending.waiting.get(name) === "file", fs);
    }
  }
  flushDirectory(directory, fs);
  if (pending !== null && mayReplace !== undefined && readPending(directory, fs) !== null) {
    const temporary = temporaryPath(directory);
    rename(path, temporary, fs);
    discardTree(temporary, fs);
  }
  removeEmpty(path, fs);
}

/** The order of moves: weights before the config, so that no reader at all finds a new config beside old weights. */
export function moveOrder(names: readonly string[]): string[] {
  return [...names].sort().reverse();
}

/** Moves a file to its place, or removes the old one; false if another process has done so already. */
export function move(directory: string, name: string, isFile: boolean, fs: FileSystem): boolean {
  const source = `${directory}/${PENDING}/files/${name}`;
  const target = `${directory}/${name}`;
  if (isFile) return rename(source, target, fs);
  let isMine = true;
  try {
    fs.unlinkSync(target);
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
    isMine = false;
  }
  removeQuietly(source, fs);
  return isMine;
}

/** Renames what another process may have taken away already; false if it has. */
function rename(from: string, to: string, fs: FileSystem): boolean {
  try {
    fs.renameSync(from, to);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
    return false;
  }
}

/** Removes the directory when nothing waits in it any more; what another save puts there meanwhile stays. */
function removeEmpty(path: string, fs: FileSystem): void {
  // The names are read first: those of another save differ.
  const stamps = namesIn(`${path}/stamps`, fs);
  if (kindOfPath(`${path}/files`, fs) !== null && !removeQuietly(`${path}/files`, fs)) return;
  for (const stamp of stamps) removeQuietly(`${path}/stamps/${stamp}`, fs);
  removeQuietly(`${path}/stamps`, fs);
  removeQuietly(path, fs);
}

/** Removes an empty directory; false if it is none. */
function removeQuietly(path: string, fs: FileSystem): boolean {
  try {
    fs.rmdirSync(path);
    return true;
  } catch {
    return false;
  }
}
