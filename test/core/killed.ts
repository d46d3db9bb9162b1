// File systems that stop: as if the process were killed at an operation, or the disk failed there once.

import { type FileSystem, fileSystem } from "../../src/core/files.ts";

/** A real file system, and how many of its operations were asked for. */
export interface Stopping {
  readonly fs: FileSystem;
  readonly count: () => number;
}

/** Does operations until the n-th, counted from 0; that one and all after it are never done, as after kill -9. */
export function killedAt(n: number, base: Partial<FileSystem> = {}): Stopping {
  return stopping(base, (at) => at >= n);
}

/** Fails at the n-th operation, once. */
export function failingAt(n: number, base: Partial<FileSystem> = {}): Stopping {
  return stopping(base, (at) => at === n);
}

/** A file system that knows no hard links, such as FAT. */
export const noLinks: Partial<FileSystem> = {
  linkSync() {
    throw Object.assign(new Error("EPERM"), { code: "EPERM" });
  },
};

function stopping(base: Partial<FileSystem>, fails: (at: number) => boolean): Stopping {
  const real: FileSystem = { ...fileSystem(), ...base };
  let count = 0;
  const wrapped = Object.entries(real)
    .filter(([, member]) => typeof member === "function")
    .map(([name, member]: [string, (...args: unknown[]) => unknown]) => [
      name,
      (...args: unknown[]) => {
        if (fails(count++)) throw Object.assign(new Error("EIO"), { code: "EIO" });
        return member(...args);
      },
    ]);
  return { fs: Object.fromEntries(wrapped) as FileSystem, count: () => count };
}
