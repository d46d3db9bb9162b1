// Files whose beginning is judged before the rest is read: a header that is refused costs no memory for its data.
import { type FileSystem, fileSystem, kindOfPath, readFile, withPath } from "./files.ts";

/**
 * Sees the beginning of a file before the rest is read, none of it at first: gives how many bytes of it must be there,
 * and throws for what it refuses. It is asked again with more until that many are there. It never asks for more than
 * there is.
 * @param size of the whole file; Infinity where nobody knows
 */
export type Gate = (head: Uint8Array, size: number) => number;

/** A file in two parts: what its gate asked for, and what follows; null if that was not wanted. */
export interface FileParts {
  readonly head: Uint8Array;
  readonly rest: Uint8Array | null;
}

/** Reads a file of which the gate sees the beginning first. */
export function readParts(
  path: string,
  gate: Gate,
  wantsRest: boolean,
  fs: FileSystem = fileSystem(),
): FileParts {
  // A device or a pipe has no size, and gives its bytes once.
  if (kindOfPath(path, fs) !== "file") return partsOf(readFile(path, fs), gate, wantsRest);
  return withPath("read", path, () => {
    const file = fs.openSync(path, "r");
    try {
      const { size } = fs.fstatSync(file);
      let head = readBytes(file, 0, 0, fs);
      for (let length = gate(head, size); length > head.length; length = gate(head, size)) {
        head = readBytes(file, 0, length, fs);
      }
      return {
        head,
        rest: wantsRest ? readBytes(file, head.length, size - head.length, fs) : null,
      };
    } finally {
      fs.closeSync(file);
    }
  });
}

/** The same of bytes that are there already. */
export function partsOf(bytes: Uint8Array, gate: Gate, wantsRest: boolean): FileParts {
  let head = bytes.subarray(0, 0);
  for (let length = gate(head, bytes.length); length > head.length; ) {
    head = bytes.subarray(0, length);
    length = gate(head, bytes.length);
  }
  return { head, rest: wantsRest ? bytes.subarray(head.length) : null };
}

function readBytes(file: number, begin: number, length: number, fs: FileSystem): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const count = fs.readSync(file, bytes, at, Math.min(length - at, 1 << 30), begin + at);
    if (count === 0) throw new Error("it ended early; something else is writing it");
    at += count;
  }
  return bytes;
}
