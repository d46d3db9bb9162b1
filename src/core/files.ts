// Files, where the runtime has a file system: Node, Deno and Bun hand it out through
// `process.getBuiltinModule`, so that nothing here is an import that a browser's bundler would stumble over.
// A file is never changed in place: its new bytes are written beside it under a temporary name, flushed,
// and renamed over it. Whatever fails, a full disk included, the old file stays whole.
import { LowrankError, UsageError } from "./error.ts";
import { temporaryName } from "./temporary.ts";

/** What is used of `node:fs`; tests put in one that fails. */
export interface FileSystem {
  readFileSync(path: string): Uint8Array;
  readdirSync(path: string): string[];
  statSync(path: string, options: { throwIfNoEntry: false }): FileStatus | undefined;
  mkdirSync(path: string, options?: { recursive: true }): unknown;
  rmdirSync(path: string): void;
  unlinkSync(path: string): void;
  renameSync(from: string, to: string): void;
  linkSync(from: string, to: string): void;
  openSync(path: string, flags: string): number;
  fstatSync(file: number): { readonly size: number };
  readSync(file: number, bytes: Uint8Array, offset: number, length: number, at: number): number;
  writeSync(file: number, bytes: Uint8Array, offset: number, length: number): number;
  fsyncSync(file: number): void;
  closeSync(file: number): void;
  /** Without it the path as it is given stands for the place. */
  realpathSync?(path: string): string;
}

export interface FileStatus {
  isFile(): boolean;
  isDirectory(): boolean;
  readonly size?: number;
  readonly mtimeMs?: number;
  readonly ino?: number;
}

/** The runtime's file system; a UsageError where there is none. */
export function fileSystem(): FileSystem {
  const fs = globalThis.process?.getBuiltinModule?.("node:fs");
  if (fs?.readFileSync !== undefined) return fs as unknown as FileSystem;
  throw new UsageError(NO_FILES);
}

const NO_FILES = "This runtime has no file system; pass the files as bytes by name instead.";

const SENTENCES: ReadonlyMap<string | undefined, string> = new Map(
  Object.entries({
    ENOENT: "there is no such file or directory",
    EACCES: "permission was denied",
    EPERM: "permission was denied",
    EROFS: "the file system is read-only",
    EISDIR: "it is a directory, not a file",
    ENOTDIR: "a part of the path is a file, not a directory",
    ENOTEMPTY: "the directory is not empty",
    EEXIST: "it exists already",
    ENOSPC:
      "the disk is full; nothing that was saved before is lost, free some space and try again",
    EDQUOT: "the quota of the disk is used up; nothing that was saved before is lost",
    EFBIG: "the file is too large for this file system",
    EMFILE: "too many files are open",
    ENAMETOOLONG: "the name is too long",
    ELOOP: "its links lead in a circle",
    EIO: "the disk reports an error",
    NotCapable: "the runtime denies access; start it with permission to read and write files",
  }),
);

/** Runs `action`; what the file system throws becomes a LowrankError, one sentence that names the path. */
export function withPath<T>(doing: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof LowrankError) throw error;
    const { code, name, message } = error as { code?: string; name?: string; message?: string };
    const reason = SENTENCES.get(code) ?? SENTENCES.get(name) ?? message ?? String(error);
    throw new LowrankError(`Could not ${doing} ${JSON.stringify(path)}: ${reason}.`, {
      cause: error,
    });
  }
}

/** The whole of a file. */
export function readFile(path: string, fs: FileSystem = fileSystem()): Uint8Array {
  const bytes = withPath("read", path, () => fs.readFileSync(path));
  // A plain view: Node's Buffer overrides some methods of Uint8Array, slice among them.
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What is at `path`: "file", "directory", "other" (a device, a pipe), or null for nothing. */
export function kindOfPath(
  path: string,
  fs: FileSystem = fileSystem(),
): "file" | "directory" | "other" | null {
  const status = statusOf(path, fs);
  if (status === undefined) return null;
  if (status.isFile()) return "file";
  return status.isDirectory() ? "directory" : "other";
}

/** What the file system says of `path`; undefined where there is nothing. */
export function statusOf(path: string, fs: FileSystem): FileStatus | undefined {
  return withPath("look at", path, () => {
    try {
      return fs.statSync(path, { throwIfNoEntry: false });
    } catch (error) {
      // A path through a file, such as "notes.txt/x", names nothing.
      if ((error as { code?: string }).code === "ENOTDIR") return undefined;
      throw error;
    }
  });
}

/** Whether anything is at `path`. */
export function exists(path: string, fs: FileSystem = fileSystem()): boolean {
  return kindOfPath(path, fs) !== null;
}

/** The names in a directory, sorted. */
export function list(path: string, fs: FileSystem = fileSystem()): string[] {
  return withPath("list", path, () => fs.readdirSync(path)).sort();
}

/** Makes a directory and those above it; one that exists is fine. */
export function makeDirectory(path: string, fs: FileSystem = fileSystem()): void {
  // Node 20 never ends with a relative path in a working directory that was deleted.
  const whole = absolutePath(path);
  withPath("make the directory", path, () => fs.mkdirSync(whole, { recursive: true }));
}

/** Removes a file if it is there. */
export function removeFile(path: string, fs: FileSystem = fileSystem()): void {
  withPath("remove", path, () => {
    try {
      fs.unlinkSync(path);
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOENT") throw error;
    }
  });
}

/** Writes a file as a whole or not at all. */
export function writeFile(path: string, bytes: Uint8Array, fs: FileSystem = fileSystem()): void {
  const kind = kindOfPath(path, fs);
  if (kind === "directory" || kind === "other") {
    // Renaming over a device such as /dev/null would put a file in its place.
    const what = kind === "directory" ? "a directory" : "not a regular file";
    throw new LowrankError(
      `Could not write ${JSON.stringify(path)}: it is ${what}. Choose another path.`,
    );
  }
  const temporary = temporaryPath(parentOf(path));
  withPath("write", path, () => {
    try {
      writeBytes(temporary, bytes, fs);
      fs.renameSync(temporary, path);
    } catch (error) {
      discard(temporary, fs);
      throw error;
    }
  });
  flushDirectory(parentOf(path), fs);
}

/** A path in `directory` that nothing else uses. */
export function temporaryPath(directory: string): string {
  return `${directory}/${temporaryName()}`;
}

/** Creates a file, which must not exist, and waits until the disk has its bytes. Throws what `fs` throws. */
export function writeBytes(path: string, bytes: Uint8Array, fs: FileSystem): void {
  const file = fs.openSync(path, "wx");
  try {
    for (let offset = 0; offset < bytes.length; ) {
      // One call may write less than asked, and takes at most 2 GiB.
      const length = Math.min(bytes.length - offset, 1 << 30);
      const written = fs.writeSync(file, bytes, offset, length);
      if (written === 0) throw new Error("the disk takes no more bytes");
      offset += written;
    }
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
}

/** Removes a temporary file after a failure, of which the caller reports the cause. */
export function discard(path: string, fs: FileSystem): void {
  try {
    fs.unlinkSync(path);
  } catch {
    // It was never made, or the disk is beyond help.
  }
}

/** Makes a rename durable. Windows cannot open a directory; there the rename is durable by itself. */
export function flushDirectory(path: string, fs: FileSystem): void {
  try {
    const directory = fs.openSync(path, "r");
    try {
      fs.fsyncSync(directory);
    } finally {
      fs.closeSync(directory);
    }
  } catch {
    // The file is in place all the same.
  }
}

/** The directory that holds `path`. */
export function parentOf(path: string): string {
  return pathModule().dirname(path);
}

/** The last part of `path`. */
export function nameOf(path: string): string {
  return pathModule().basename(path);
}

/**
 * The whole path from the root, without a slash at its end.
 * @throws LowrankError for a relative path in a working directory that was deleted
 */
export function absolutePath(path: string): string {
  const { isAbsolute, resolve } = pathModule();
  return isAbsolute(path) ? resolve(path) : resolve(workingDirectory(), path);
}

/** The path by which links and relative paths to one place are one; of a place that is not there, the whole path. */
export function realPath(path: string, fs: FileSystem = fileSystem()): string {
  const whole = absolutePath(path);
  try {
    return fs.realpathSync?.(whole) ?? whole;
  } catch {
    return whole;
  }
}

/**
 * The directory in which relative paths begin.
 * @throws LowrankError when it was deleted
 */
export function workingDirectory(): string {
  let directory: string | undefined;
  try {
    directory = globalThis.process?.cwd();
  } catch {
    // The system does not know its path any more.
  }
  // The runtime may remember what it was called.
  if (directory !== undefined && exists(directory)) return directory;
  throw new LowrankError(
    "The working directory was deleted, so relative paths lead nowhere. Change to a directory that exists " +
      "(cd), or give whole paths.",
  );
}

interface PathModule {
  dirname(path: string): string;
  basename(path: string): string;
  isAbsolute(path: string): boolean;
  resolve(...paths: string[]): string;
}

function pathModule(): PathModule {
  const path = globalThis.process?.getBuiltinModule?.("node:path");
  if (path !== undefined) return path;
  throw new UsageError(NO_FILES);
}
