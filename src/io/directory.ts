// Where the files of a model or an adapter come from: a directory, a URL below which they lie, or bytes by
// file name. A reader asks for files by plain name and need not know which it is.
import { FormatError, UsageError } from "../core/error.ts";
import { type FileParts, type Gate, partsOf, readParts } from "../core/file-parts.ts";
import { fileSystem, kindOfPath } from "../core/files.ts";
import { BEGINNING, foreignKind, foreignName } from "../core/foreign.ts";
import { isLocation, type PathLike, placeOf } from "../core/location.ts";
import { finishPending, lookAt, readCurrent, withCurrent } from "../core/pending.ts";
import { bytesOf, isMap } from "../core/realm.ts";
import { withoutSecrets } from "../core/secrets.ts";
import { quote } from "./json.ts";
import { askFor, partsOfResponse, wholeOf } from "./web.ts";

/** Files by plain name. */
export interface FileSource {
  /** How error messages call the place. */
  readonly name: string;
  /** Its path, if it is a directory of files that may be saved to. */
  readonly directory?: string;
  /** The bytes of a file, or null if there is none of this name. */
  read(file: string): Promise<Uint8Array | null>;
  /** The same in two parts, the second if it is wanted: what `gate` refuses is not read to its end. */
  readParts(file: string, gate: Gate, wantsRest: boolean): Promise<FileParts | null>;
  /** The names that exist, or null where they cannot be listed (a URL). */
  list(): string[] | null;
  /** Why `read` gave null, where more is known than that there is no such file. */
  why?(file: string): string | null;
}

/** What stands for a model or an adapter: a directory, a URL (text or object), or bytes by file name. */
export type FileLocation =
  | PathLike
  | ReadonlyMap<string, Uint8Array | ArrayBuffer>
  | Readonly<Record<string, Uint8Array | ArrayBuffer>>;

/** Opens a place to read files from. A text is a URL if it begins with http://, https:// or file:. */
export function openSource(location: FileLocation): FileSource {
  if (isLocation(location)) {
    const place = placeOf(location, "The place of a model or an adapter");
    return "web" in place ? fromWeb(place.web) : fromDirectory(place.path);
  }
  if (typeof location === "object" && location !== null) return fromBytes(location);
  throw new UsageError(
    "A model or adapter is a directory, a URL, or an object of bytes by file name; found " +
      `${location === null ? "null" : typeof location}.`,
  );
}

/** Requires a plain file name: nothing that could lead out of the directory. */
export function checkFileName(file: string, where: string): string {
  // Control characters would be part of messages.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/^[^\\/:%?#\x00-\x1f\x7f]{1,255}$/.test(file) && file !== "." && file !== "..") return file;
  throw new FormatError(
    `${where} names the file ${quote(file)}; only plain names of files in the same directory are allowed.`,
  );
}

function fromDirectory(path: string): FileSource {
  const kind = kindOfPath(path);
  if (kind !== "directory") {
    refusePickle(path);
    if (kind === "file") refuseForeign(path);
    const found = kind === null ? "there is nothing" : "it is a file";
    throw new UsageError(
      `${quote(path)} is not a directory: ${found}. Give the directory that holds config.json or ` +
        "adapter_config.json.",
    );
  }
  try {
    finishPending(path, fileSystem());
  } catch {
    // It cannot be written: what waits there is read where it waits.
  }
  return {
    name: path,
    directory: path,
    list: () => [...lookAt(path).names],
    read: async (file) => readCurrent(`${path}/${checkFileName(file, path)}`),
    readParts: async (file, gate, wantsRest) =>
      withCurrent(`${path}/${checkFileName(file, path)}`, (whole, fs) =>
        readParts(whole, gate, wantsRest, fs),
      ),
  };
}

function fromWeb(url: URL): FileSource {
  const base = new URL(url.href);
  base.hash = "";
  base.pathname = base.pathname.replace(/\/*$/, "/");
  const name = withoutSecrets(base.href);
  const reasons = new Map<string, string>();
  const ask = async <T>(file: string, receive: (response: Response) => Promise<T>) => {
    const target = new URL(base.href);
    target.pathname += checkFileName(file, name);
    const answer = await askFor(target, receive);
    if ("bytes" in answer) return answer.bytes;
    reasons.set(file, answer.missing);
    return null;
  };
  return {
    name,
    list: () => null,
    why: (file) => reasons.get(file) ?? null,
    read: (file) => ask(file, wholeOf),
    readParts: (file, gate, wantsRest) =>
      ask(file, (response) => partsOfResponse(response, gate, wantsRest)),
  };
}

function fromBytes(
  files: ReadonlyMap<string, unknown> | Readonly<Record<string, unknown>>,
): FileSource {
  const map = new Map<string, Uint8Array>();
  for (const [file, value] of isMap(files) ? files : Object.entries(files)) {
    const bytes = bytesOf(value);
    if (bytes === null) {
      throw new UsageError(
        `The file ${quote(String(file))} must be given as a Uint8Array of its bytes.`,
      );
    }
    map.set(String(file), bytes);
  }
  return {
    name: "the files given",
    list: () => [...map.keys()].sort(),
    read: async (file) => map.get(file) ?? null,
    async readParts(file, gate, wantsRest) {
      const bytes = map.get(file);
      return bytes === undefined ? null : partsOf(bytes, gate, wantsRest);
    },
  };
}

/** So many directories are looked into for one that was meant. */
const MOST_LOOKED_AT = 100;

/** Reads a file that must be there. */
export async function readRequired(source: FileSource, file: string): Promise<Uint8Array> {
  const bytes = await source.read(file);
  if (bytes !== null) return bytes;
  const names = source.list();
  const other = names?.find((name) => foreignName(name) !== null);
  if (other !== undefined) {
    throw new FormatError(
      `There is no ${file} in ${source.name}; ${quote(other)} ${foreignName(other)}`,
    );
  }
  const inner = source.directory === undefined ? undefined : directoryWith(source, file);
  const hint = inner === undefined ? "" : ` Did you mean ${quote(inner)}?`;
  const shown = names?.slice(0, 10).map(quote).join(", ");
  const reason = source.why?.(file) ?? null;
  const found =
    names === null
      ? reason === null
        ? ""
        : `: ${reason}`
      : `; found ${shown === "" ? "nothing" : shown}`;
  throw new FormatError(`There is no ${file} in ${source.name}${found}.${hint}`);
}

/** A directory below that holds the file, as that of a run holds an adapter and a model. */
function directoryWith({ name: path, list }: FileSource, file: string): string | undefined {
  const base = path.replace(/\/+$/, "");
  return list()
    ?.slice(0, MOST_LOOKED_AT)
    .map((name) => `${base}/${name}`)
    .find((inner) => kindOfPath(`${inner}/${file}`) === "file");
}

/** Throws if a file is of a kind that its first bytes tell. */
function refuseForeign(path: string): void {
  const { head } = readParts(path, (_, size) => Math.min(size, BEGINNING), false);
  const kind = foreignKind(head);
  if (kind !== null) throw new FormatError(`${quote(path)} ${kind}`);
}

/** Throws if `file` is of a kind that stores weights as a Python pickle. */
export function refusePickle(file: string): void {
  if (!/\.(bin|pt|pth|ckpt|pkl|pickle)$/i.test(file)) return;
  throw new FormatError(
    `${quote(file)} is a pickle, and reading a pickle can run code; convert it to safetensors first ` +
      "(in Python: safetensors.torch.save_file(torch.load(file, weights_only=True), new_file)).",
  );
}
