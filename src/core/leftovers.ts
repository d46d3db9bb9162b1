// What killed processes left behind: temporary files and directories that nobody will rename any more.
import { type FileSystem, fileSystem } from "./files.ts";
import { isLeftover, isTemporaryName } from "./temporary.ts";

/**
 * Removes from a directory the temporary files and directories of processes that are gone. Those of a process that
 * lives stay, and so does every other file. A directory that is missing or cannot be written is left as it is.
 */
export function removeLeftovers(directory: string, fs: FileSystem = fileSystem()): void {
  try {
    for (const name of fs.readdirSync(directory)) {
      if (!isTemporaryName(name)) continue;
      const path = `${directory}/${name}`;
      const { mtimeMs } = fs.statSync(path, { throwIfNoEntry: false }) ?? {};
      if (isLeftover(name, mtimeMs)) discardTree(path, fs);
    }
  } catch {
    // Nothing depends on it.
  }
}

/** Removes a temporary file, or a directory with all that is in it; never what a link leads to. */
export function discardTree(path: string, fs: FileSystem): void {
  // A link goes here, also one to a directory (which Windows takes as a directory).
  for (const remove of [fs.unlinkSync, fs.rmdirSync]) {
    try {
      remove.call(fs, path);
      return;
    } catch {
      // A directory that holds something, or nothing at all.
    }
  }
  try {
    for (const name of fs.readdirSync(path)) discardTree(`${path}/${name}`, fs);
    fs.rmdirSync(path);
  } catch {
    // It was never made, or the disk is beyond help.
  }
}
