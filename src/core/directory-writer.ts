// Saves a directory of files, such as an adapter, all or nothing. A new directory is filled under a
// temporary name and renamed as a whole. Into an existing one the files are written beside the old ones
// and then renamed one after the other; hard links to the old files allow to go back if that fails halfway.
//   out/            adapter_config.json           adapter_model.safetensors
//   while saving    adapter_config.json.x1.tmp    adapter_model.safetensors.x2.tmp     (new)
//   while renaming  adapter_config.json.x3.tmp    adapter_model.safetensors.x4.tmp     (links to the old)
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
  temporaryFor,
  temporaryName,
  withPath,
  writeBytes,
} from "./files.ts";

/** What a directory that exists may hold already. */
export interface WriteDirectoryOptions {
  /** Whether a file of this name is of the writer's own kind: it may be there, and goes when not rewritten. */
  readonly owns?: (name: string) => boolean;
  /** Write although the directory holds other things, which stay as they are; default false. */
  readonly overwrite?: boolean;
}

/**
 * Writes `files` into the directory `path`, which may be missing, empty, or hold only what `options.owns`
 * knows; the names in `files` are always known.
 * @throws UsageError when something else is there, listing it; nothing is changed then
 */
export function writeDirectory(
  path: string,
  files: ReadonlyMap<string, Uint8Array>,
  options: WriteDirectoryOptions = {},
  fs: FileSystem = fileSystem(),
): void {
  for (const name of files.keys()) {
    if (/^[^\\/:]+$/.test(name) && name !== "." && name !== "..") continue;
    throw new UsageError(`${JSON.stringify(name)} is not the plain name of a file.`);
  }
  const kind = kindOfPath(path, fs);
  if (kind === null) {
    writeNew(absolutePath(path), files, fs);
    return;
  }
  if (kind !== "directory") {
    throw new UsageError(
      `${JSON.stringify(path)} is a file, but a directory is to be written there. Choose another path.`,
    );
  }
  const present = list(path, fs);
  const isKnown = (name: string) => files.has(name) || options.owns?.(name) === true;
  // What an earlier save left behind when it was killed is known as well.
  const isOwn = (name: string) => isKnown(name) || isKnown(temporaryFor(name) ?? "");
  const isPlain = (name: string) => kindOfPath(`${path}/${name}`, fs) === "file";
  const foreign = present.filter((name) => !isOwn(name) || (files.has(name) && !isPlain(name)));
  const blocked = foreign.some((name) => files.has(name));
  if (blocked || (foreign.length > 0 && options.overwrite !== true)) {
    const shown = foreign.slice(0, 5).map((name) => JSON.stringify(name));
    if (foreign.length > shown.length) shown.push(`and ${foreign.length - shown.length} more`);
    const advice = blocked ? "" : ", or pass overwrite to write beside them";
    throw new UsageError(
      `The directory ${JSON.stringify(path)} already holds something else: ${shown.join(", ")}. ` +
        `Choose another path${advice}.`,
    );
  }
  const stale = present.filter((name) => isOwn(name) && !files.has(name) && isPlain(name));
  replace(path, files, new Set(present), fs);
  for (const name of stale) discard(`${path}/${name}`, fs);
  flushDirectory(path, fs);
}

function writeNew(path: string, files: ReadonlyMap<string, Uint8Array>, fs: FileSystem): void {
  makeDirectory(parentOf(path), fs);
  const temporary = temporaryName(path);
  withPath("write the directory", path, () => {
    try {
      fs.mkdirSync(temporary);
      for (const [name, bytes] of files) writeBytes(`${temporary}/${name}`, bytes, fs);
      flushDirectory(temporary, fs);
      fs.renameSync(temporary, path);
    } catch (error) {
      for (const name of files.keys()) discard(`${temporary}/${name}`, fs);
      try {
        fs.rmdirSync(temporary);
      } catch {
        // It was never made.
      }
      throw error;
    }
  });
  flushDirectory(parentOf(path), fs);
}

function replace(
  path: string,
  files: ReadonlyMap<string, Uint8Array>,
  present: ReadonlySet<string>,
  fs: FileSystem,
): void {
  const written = new Map<string, string>();
  const kept = new Map<string, string | null>();
  withPath("write into the directory", path, () => {
    try {
      for (const [name, bytes] of files) {
        const temporary = temporaryName(`${path}/${name}`);
        written.set(name, temporary);
        writeBytes(temporary, bytes, fs);
      }
      for (const [name, temporary] of written) {
        kept.set(name, keep(`${path}/${name}`, fs));
        fs.renameSync(temporary, `${path}/${name}`);
        written.delete(name);
      }
    } catch (error) {
      for (const temporary of written.values()) discard(temporary, fs);
      for (const [name, link] of kept) {
        const target = `${path}/${name}`;
        const renamed = !written.has(name);
        if (link !== null && renamed) putBack(link, target, fs);
        else if (link !== null) discard(link, fs);
        else if (renamed && !present.has(name)) discard(target, fs);
      }
      throw error;
    }
  });
  for (const link of kept.values()) if (link !== null) discard(link, fs);
}

/** A second name for the old file; null if there is none, or the file system has no hard links. */
function keep(path: string, fs: FileSystem): string | null {
  const link = temporaryName(path);
  try {
    fs.linkSync(path, link);
    return link;
  } catch {
    return null;
  }
}

function putBack(link: string, path: string, fs: FileSystem): void {
  try {
    fs.renameSync(link, path);
  } catch {
    // The link stays and still holds the old file.
  }
}
