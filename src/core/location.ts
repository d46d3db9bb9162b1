// Where something is read from or written to, as callers name it: a path, a file: URL (text or object), or an address
// of the web. The one place that tells them apart, for the library and the command.
import { UsageError } from "./error.ts";
import { kindOf } from "./kind.ts";
import { hrefOf } from "./realm.ts";

/** A path, or a URL as text or as an object. */
export type PathLike = string | URL;

/** What a location says: a path of the file system, or an address of the web. */
export type Place = { readonly path: string } | { readonly web: URL };

/** A location that names neither; `expected` ends the sentence "it is …, but must be". */
export interface NoPlace {
  readonly expected: string;
}

const WEB = /^https?:\/\//i;
// Two letters or more: `C:\models` is a path. A file may be called "data:1", so a data URL is known by its comma.
const OTHER = /^[a-z][a-z0-9+.-]+:\/\/|^data:[^,/]*(?:\/[^,/]*)?,|^blob:(?:null|https?|file)\b/i;
const ANY = "a path, or an http, https or file URL";
/** What something is written to. */
export const LOCAL = "a path or a file URL";

/** Whether a value is a location at all. */
export function isLocation(value: unknown): value is PathLike {
  return typeof value === "string" || hrefOf(value) !== undefined;
}

/** Tells what a location names. */
export function readPlace(value: unknown): Place | NoPlace {
  const text = typeof value === "string" ? value : hrefOf(value);
  if (text === undefined) return { expected: ANY };
  if (text === "") return { expected: `${ANY}, not an empty text` };
  if (WEB.test(text)) {
    const web = parse(text);
    return web === null
      ? { expected: "a whole address, as https://example.org/model is" }
      : { web };
  }
  if (/^file:/i.test(text)) return readFileUrl(text);
  return OTHER.test(text) || typeof value !== "string" ? { expected: ANY } : { path: text };
}

function parse(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

function readFileUrl(text: string): Place | NoPlace {
  const url = parse(text);
  // `new URL` takes file:model for /model, and the "." of file://./model for a host.
  const isWhole = /^file:\//i.test(text) && url !== null && url.host !== ".";
  const whole = "a file URL with the whole path, as file:///home/me/model is";
  if (!isWhole) return { expected: `${whole}; a path such as ./model is written without file:` };
  try {
    const toPath = globalThis.process?.getBuiltinModule?.("node:url")?.fileURLToPath;
    return { path: toPath?.(url.href) ?? decodeURIComponent(url.pathname) };
  } catch {
    // It names a host, or holds an encoded slash or a broken escape.
    return { expected: whole };
  }
}

/**
 * What a location names.
 * @param what whose location it is, for the error
 * @throws UsageError for other protocols, for a file URL that names no path, for anything but text and URLs
 */
export function placeOf(value: unknown, what: string): Place {
  const place = readPlace(value);
  if (!("expected" in place)) return place;
  throw wrong(value, what, place.expected);
}

/**
 * The path that a location names, to write to it.
 * @throws UsageError as `placeOf` does, and for an address of the web
 */
export function pathOf(value: unknown, what: string): string {
  const place = placeOf(value, what);
  if ("path" in place) return place.path;
  throw wrong(value, what, `${LOCAL}: nothing can be written to an address of the web`);
}

function wrong(value: unknown, what: string, expected: string): UsageError {
  const text = typeof value === "string" ? value : hrefOf(value);
  const found = text === undefined ? kindOf(value) : JSON.stringify(text);
  return new UsageError(`${what} is ${found}, but must be ${expected}.`);
}
