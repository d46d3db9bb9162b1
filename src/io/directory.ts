// Where the files of a model or an adapter come from: a directory, a URL below which they lie, or bytes by
// file name. A reader asks for files by plain name and need not know which it is.
import { FormatError, LowrankError, UsageError } from "../core/error.ts";
import { kindOfPath, list, pathOfUrl, readFile } from "../core/files.ts";
import { quote } from "./json.ts";

/** Files by plain name. */
export interface FileSource {
  /** How error messages call the place. */
  readonly name: string;
  /** The bytes of a file, or null if there is none of this name. */
  read(file: string): Promise<Uint8Array | null>;
  /** The names that exist, or null where they cannot be listed (a URL). */
  list(): string[] | null;
}

/** What stands for a model or an adapter: a directory, a URL, or bytes by file name. */
export type FileLocation =
  | string
  | URL
  | ReadonlyMap<string, Uint8Array>
  | Readonly<Record<string, Uint8Array>>;

/** Opens a place to read files from. A string is a URL if it begins with http:// or https://. */
export function openSource(location: FileLocation): FileSource {
  if (typeof location === "string") {
    if (/^https?:\/\//i.test(location)) return fromUrl(new URL(location));
    return fromDirectory(location);
  }
  if (location instanceof URL) {
    if (location.protocol === "http:" || location.protocol === "https:") return fromUrl(location);
    if (location.protocol === "file:") return fromDirectory(pathOfUrl(location));
    throw new UsageError(
      `${quote(location.href)} cannot be read; give an http, https or file URL.`,
    );
  }
  if (typeof location === "object" && location !== null) return fromBytes(location);
  throw new UsageError(
    "A model or adapter is a directory, a URL, or an object of bytes by file name; found " +
      `${location === null ? "null" : typeof location}.`,
  );
}

/** Requires a plain file name: nothing that could lead out of the directory. */
export function checkFileName(file: string, where: string): string {
  if (/^[^\\/:%?#\0]{1,255}$/.test(file) && file !== "." && file !== "..") return file;
  throw new FormatError(
    `${where} names the file ${quote(file)}; only plain names of files in the same directory are allowed.`,
  );
}

function fromDirectory(path: string): FileSource {
  const kind = kindOfPath(path);
  if (kind !== "directory") {
    refusePickle(path);
    const found = kind === null ? "there is nothing" : "it is a file";
    throw new UsageError(
      `${quote(path)} is not a directory: ${found}. Give the directory that holds config.json or ` +
        "adapter_config.json.",
    );
  }
  return {
    name: path,
    list: () => list(path),
    async read(file) {
      const whole = `${path}/${checkFileName(file, path)}`;
      return kindOfPath(whole) === null ? null : readFile(whole);
    },
  };
}

function fromUrl(url: URL): FileSource {
  const base = new URL(url);
  base.hash = "";
  base.pathname = base.pathname.replace(/\/*$/, "/");
  return {
    name: base.href,
    list: () => null,
    async read(file) {
      const target = new URL(base);
      target.pathname += checkFileName(file, base.href);
      const failed = (reason: string, cause?: unknown) =>
        new LowrankError(`Could not fetch ${target.href}: ${reason}.`, { cause });
      let response: Response;
      try {
        response = await fetch(target);
      } catch (error) {
        throw failed(error instanceof Error ? error.message : String(error), error);
      }
      if (response.status === 404) return null;
      if (!response.ok)
        throw failed(`the server answers ${response.status} ${response.statusText}`);
      // Servers of web apps answer a missing file with the app's start page.
      if (response.headers.get("content-type")?.startsWith("text/html")) return null;
      try {
        return new Uint8Array(await response.arrayBuffer());
      } catch (error) {
        throw failed(error instanceof Error ? error.message : String(error), error);
      }
    },
  };
}

function fromBytes(
  files: ReadonlyMap<string, Uint8Array> | Readonly<Record<string, Uint8Array>>,
): FileSource {
  const map = new Map<string, Uint8Array>(files instanceof Map ? files : Object.entries(files));
  for (const [file, bytes] of map) {
    if (bytes instanceof Uint8Array) continue;
    throw new UsageError(
      `The file ${quote(String(file))} must be given as a Uint8Array of its bytes.`,
    );
  }
  return {
    name: "the files given",
    list: () => [...map.keys()].sort(),
    read: async (file) => map.get(file) ?? null,
  };
}

/** Reads a file that must be there. */
export async function readRequired(source: FileSource, file: string): Promise<Uint8Array> {
  const bytes = await source.read(file);
  if (bytes !== null) return bytes;
  const names = source.list();
  const shown = names?.slice(0, 10).map(quote).join(", ");
  const found = names === null ? "" : `; found ${shown === "" ? "nothing" : shown}`;
  throw new FormatError(`There is no ${file} in ${source.name}${found}.`);
}

/** Throws if `file` is of a kind that stores weights as a Python pickle. */
export function refusePickle(file: string): void {
  if (!/\.(bin|pt|pth|ckpt|pkl|pickle)$/i.test(file)) return;
  throw new FormatError(
    `${quote(file)} is a pickle, and reading a pickle can run code; convert it to safetensors first ` +
      "(in Python: safetensors.torch.save_file(torch.load(file, weights_only=True), new_file)).",
  );
}
