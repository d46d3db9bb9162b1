// The options of a subcommand as a table: one entry says how a value is read, what is allowed, what the help prints
// and what holds when the option is not given. Parsing, checking, --help and "did you mean" all read this table.
// The key `batchSize` is the option `--batch-size`.

import { LOCAL, readPlace } from "../core/location.ts";

import type { Wording } from "../core/wording.ts";

/** One option; T is what its value becomes. */
export interface Option<T> {
  /** A flag takes no value. */
  readonly kind: "flag" | "value";
  /** What stands for the value in the help, such as DIR. */
  readonly placeholder: string;
  readonly help: string;
  /** The value when the option is not given. */
  readonly fallback: T;
  /** How the help shows the fallback; empty for none. */
  readonly shown: string;
  /** Reads a value; `fail` takes what was expected. */
  readonly read: (text: string, fail: (expected: string) => never) => T;
  /** The option of the library that it sets, where that has another name. */
  readonly sets?: string;
}

/** The same option, which sets one of the library that has another name. */
export function setting<T>(library: string, option: Option<T>): Option<T> {
  return { ...option, sets: library };
}

/** What sentences call the options of the library in a command with these options: by their flags. */
export function flagWording(options: Options): Wording {
  const flags = new Map(
    Object.entries(options).map(([key, { sets = key }]) => [sets, flagOf(key)]),
  );
  return (option) => flags.get(option);
}

/** Options by their camelCase names. */
export type Options = Readonly<Record<string, Option<unknown>>>;

/** The values of a table of options. */
export type Values<O extends Options> = {
  readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never;
};

/** The table for a set of values. */
export type OptionsFor<V> = { readonly [K in keyof V]: Option<V[K]> };

/** The option's name on the command line: "batchSize" becomes "--batch-size". */
export function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** A switch: present or not. */
export function flag(help: string): Option<boolean> {
  return { kind: "flag", placeholder: "", help, fallback: false, shown: "", read: () => true };
}

/** A text that must not be empty. */
export function text(placeholder: string, help: string): Option<string | undefined> {
  return {
    kind: "value",
    placeholder,
    help,
    fallback: undefined,
    shown: "",
    read: (value, fail) =>
      value === "" ? fail(`${article(placeholder)}, not an empty text`) : value,
  };
}

/** Reads a place: a path, that of a file: URL too, or where `web` says so an address of the web. */
export function readLocation(
  value: string,
  placeholder: string,
  web: boolean,
  fail: (expected: string) => never,
): string {
  if (value === "") return fail(`${article(placeholder)}, not an empty text`);
  const place = readPlace(value);
  if ("expected" in place) return fail(place.expected);
  if ("path" in place) return place.path;
  return web ? place.web.href : fail(`${LOCAL}: nothing can be written to an address of the web`);
}

/** Where something is read from: a path or a URL. */
export function source(placeholder: string, help: string): Option<string | undefined> {
  const read: Option<string>["read"] = (value, fail) =>
    readLocation(value, placeholder, true, fail);
  return { kind: "value", placeholder, help, fallback: undefined, shown: "", read };
}

/** Where something is written to: a path or a file: URL. `shown`: what the help says is taken without it. */
export function target(placeholder: string, help: string, shown = ""): Option<string | undefined> {
  const read: Option<string>["read"] = (value, fail) =>
    readLocation(value, placeholder, false, fail);
  return { kind: "value", placeholder, help, fallback: undefined, shown, read };
}

function article(placeholder: string): string {
  const words: Readonly<Record<string, string>> = {
    DIR: "a directory",
    FILE: "a file",
    TEXT: "a text",
    NAMES: "names",
  };
  return words[placeholder] ?? `a value for ${placeholder}`;
}

/** The range of a number; both ends are allowed unless `above` or `below` say otherwise. */
export interface Range {
  readonly least?: number;
  readonly most?: number;
  /** Greater than this. */
  readonly above?: number;
  /** Less than this. */
  readonly below?: number;
  /** The value when the option is not given; the help shows `shown` instead where that is said. */
  readonly shown?: string;
}

function describe(kind: string, { least, most, above, below }: Range): string {
  const low =
    least !== undefined ? `of at least ${least}` : above !== undefined ? `above ${above}` : "";
  const high = most !== undefined ? `at most ${most}` : below !== undefined ? `below ${below}` : "";
  return [kind, [low, high].filter((part) => part !== "").join(" and ")]
    .filter((part) => part !== "")
    .join(" ");
}

function isInside(value: number, { least, most, above, below }: Range): boolean {
  return (
    value >= (least ?? Number.NEGATIVE_INFINITY) &&
    value <= (most ?? Number.POSITIVE_INFINITY) &&
    value > (above ?? Number.NEGATIVE_INFINITY) &&
    value < (below ?? Number.POSITIVE_INFINITY)
  );
}

/** A whole number. `fallback` undefined: the command decides. */
export function count<T extends number | undefined>(
  fallback: T,
  range: Range,
  help: string,
): Option<T | number> {
  const expected = describe("a whole number", { least: 0, ...range });
  return {
    kind: "value",
    placeholder: "N",
    help,
    fallback,
    shown: range.shown ?? (fallback === undefined ? "" : String(fallback)),
    read: (value, fail) => {
      const number = Number(value);
      const isWhole = /^\d+$/.test(value) && Number.isSafeInteger(number);
      return isWhole && isInside(number, { least: 0, ...range }) ? number : fail(expected);
    },
  };
}

/** A number, also in the spelling 2e-3. */
export function real<T extends number | undefined>(
  fallback: T,
  range: Range,
  help: string,
): Option<T | number> {
  return {
    kind: "value",
    placeholder: "X",
    help,
    fallback,
    shown: range.shown ?? (fallback === undefined ? "" : String(fallback)),
    read: (value, fail) => {
      const isNumber = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value);
      const number = isNumber ? Number(value) : Number.NaN;
      return Number.isFinite(number) && isInside(number, range)
        ? number
        : fail(describe("a number", range));
    },
  };
}

/** One of a few words. */
export function choice<T extends string>(
  words: readonly T[],
  fallback: T,
  help: string,
): Option<T> {
  return {
    kind: "value",
    placeholder: "NAME",
    help: `${help}: ${words.slice(0, -1).join(", ")} or ${words.at(-1)}`,
    fallback,
    shown: fallback,
    read: (value, fail) =>
      words.find((word) => word === value) ?? fail(`one of ${words.join(", ")}`),
  };
}

/** Module names: a comma list, or a regular expression for whole paths with a leading ^. */
export function names<T extends string | undefined>(
  fallback: T,
  help: string,
): Option<T | string | readonly string[]> {
  return {
    kind: "value",
    placeholder: "NAMES",
    help,
    fallback,
    shown: fallback ?? "",
    read: (value, fail) => {
      if (value === "") return fail("names of modules, with commas between them");
      // Patterns are for whole paths, so that ^ says nothing but "this is a pattern".
      if (value.startsWith("^")) return value.slice(1).replace(/\$$/, "");
      if (value.toLowerCase() === "all-linear") return "all-linear";
      const list = value.split(",").map((name) => name.trim());
      return list.includes("") ? fail("names with one comma between two of them") : list;
    },
  };
}
