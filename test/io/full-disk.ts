// A disk that is full after some bytes, and what lies below a directory, to see that nothing changed.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type FileSystem, fileSystem } from "../../src/core/files.ts";

/** The real file system on a disk that takes this many bytes in all. */
export function smallDisk(capacity: number): FileSystem {
  const real = fileSystem();
  let left = capacity;
  return {
    ...real,
    writeSync(file, data, offset, length) {
      if (left === 0) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
      const fitting = Math.min(length, left);
      left -= fitting;
      return real.writeSync(file, data, offset, fitting);
    },
  };
}

/** Every file below `path` by name, with a hash of its bytes. */
export function snapshot(path: string): Record<string, string> {
  const names = readdirSync(path, { recursive: true, encoding: "utf8" }).sort();
  const files = names.filter((name) => statSync(join(path, name)).isFile());
  const hash = (name: string) =>
    createHash("sha256")
      .update(readFileSync(join(path, name)))
      .digest("hex");
  return Object.fromEntries(files.map((name) => [name, hash(name)]));
}
