// What adapters and models were loaded from or saved to in this process: the object, the place, and how its files
// looked then. Only that may be replaced unasked.
import { type FileSystem, fileSystem, realPath, statusOf } from "../core/files.ts";
import { lookAt } from "../core/pending.ts";

/** Files by name, each with what tells it from every other that may take its place. */
type Marks = ReadonlyMap<string, string>;

const places = new WeakMap<object, Map<string, Marks>>();

/** How the files of a directory look now, as far as `owns` knows them. */
export function marksOf(
  directory: string,
  owns: (name: string) => boolean,
  fs: FileSystem = fileSystem(),
): Marks {
  const { names, pathOf } = lookAt(directory, fs);
  return new Map(names.filter(owns).map((name) => [name, markOf(pathOf(name), fs)]));
}

function markOf(path: string, fs: FileSystem): string {
  const { size, mtimeMs, ino } = statusOf(path, fs) ?? {};
  return [size, mtimeMs, ino].join();
}

/** Notes that the object and the files that looked like `marks` are the same. */
export function notePlace(object: object, directory: string, marks: Marks, fs?: FileSystem): void {
  const known = places.get(object) ?? new Map<string, Marks>();
  known.set(realPath(directory, fs), marks);
  places.set(object, known);
}

/** Whether a file of a directory is still what the object was loaded from or saved to. */
export function isUnchanged(
  object: object,
  directory: string,
  fs: FileSystem = fileSystem(),
): (name: string, path: string) => boolean {
  const marks = places.get(object)?.get(realPath(directory, fs));
  return (name, path) => marks?.get(name) === markOf(path, fs);
}
