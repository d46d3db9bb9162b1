// The options of adapter methods: what one row of a table is, checks that many rows share, and a whole table applied to
// what a caller or a file gives.

import { UsageError } from "../core/error.ts";
import { kindOf } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { optionName } from "../core/wording.ts";
import { expectPrepack } from "../tensor/pack.ts";

/** How the command reads an option's value from a word. */
export type FlagKind = "number" | "switch" | "names";

/** One option of a method. */
export interface OptionRow<T> {
  /** PEFT's name of it, a key of adapter_config.json. */
  readonly key: string;
  /** The value when it is not given. */
  readonly fallback: T;
  /** One line of help. */
  readonly help: string;
  /**
   * Checks a value from outside.
   * @param option how errors call the option
   * @throws UsageError that says what was found and what is allowed
   */
  readonly check: (value: unknown, option: string) => T;
  /** The option of the command that sets it, such as `--alpha`; absent: none does. */
  readonly flag?: { readonly name: string; readonly kind: FlagKind };
  /** Whether training depends on it beyond the shapes of the tensors: a resumed run compares it. */
  readonly trains?: boolean;
  /** What a value in a file means here; the file keeps its own when it is written again. */
  readonly stored?: (value: unknown) => unknown;
  /** A remark on a value in a file, or null. */
  readonly storedRemark?: (value: unknown) => string | null;
  /** PEFT declares it as a Python float, which is written with a point: 0.0. */
  readonly float?: boolean;
}

/** The options of a method, one row each: what C has, and nothing else. */
export type OptionTable<C> = { readonly [K in keyof C]: OptionRow<C[K]> };

/** The rows of a table by option. */
export function rowsOf<C extends object>(
  table: OptionTable<C>,
): readonly (readonly [keyof C & string, OptionRow<unknown>])[] {
  const rows = Object.entries<OptionRow<unknown>>(table as Record<string, OptionRow<unknown>>);
  return rows as readonly [string, OptionRow<unknown>][] as readonly [
    keyof C & string,
    OptionRow<unknown>,
  ][];
}

/**
 * Complete and checked options.
 * @param what whose options they are, for errors
 * @throws UsageError that names the option, what was given and what is allowed
 */
export function resolveOptions<C extends object>(
  table: OptionTable<C>,
  options: object,
  what: string,
): C {
  const known = Object.fromEntries(rowsOf(table).map(([name]) => [name, true]));
  expectOptions(options, { ...known, prepack: true } as OptionNames<object>, what);
  expectPrepack(options);
  return resolveValues(table, (name) => Reflect.get(options, name));
}

/** The same for values that come from anywhere. */
export function resolveValues<C extends object>(
  table: OptionTable<C>,
  read: (name: keyof C & string, row: OptionRow<unknown>) => unknown,
): C {
  const config: Partial<Record<keyof C, unknown>> = {};
  for (const [name, row] of rowsOf(table)) {
    const value = read(name, row) ?? null;
    config[name] = value === null ? row.fallback : row.check(value, optionName(name));
  }
  return config as C;
}

/** What of a config a resumed run must share, as plain data. */
export function fingerprintOf<C extends object>(
  table: OptionTable<C>,
  config: C,
): Record<string, unknown> {
  const rows = rowsOf(table).filter(([, { trains }]) => trains === true);
  return Object.fromEntries(
    rows.map(([name]) => {
      const value: unknown = config[name];
      return [name, value instanceof Map ? [...value] : value];
    }),
  );
}

/** Throws about an option's value. */
export function wrong(option: string, found: unknown, expected: string): never {
  const shown = Array.isArray(found)
    ? `[${found.map(kindOf).join(",").slice(0, 120)}]`
    : kindOf(found);
  throw new UsageError(`${option} is ${shown}, but must be ${expected}.`);
}

/** A check for whole numbers from `least` to `most`. */
export function whole(least: number, most: number): OptionRow<number>["check"] {
  return (value, option) => {
    const fits = typeof value === "number" && Number.isInteger(value);
    if (fits && value >= least && value <= most) return value;
    return wrong(option, value, `a whole number from ${least} to ${most}`);
  };
}

/** A check for finite numbers. */
export function finite(value: unknown, option: string): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  return wrong(option, value, "a finite number");
}

/** A check for probabilities of dropout. */
export function probability(value: unknown, option: string): number {
  const number = finite(value, option);
  if (number >= 0 && number < 1) return number;
  return wrong(option, value, "a probability from 0 up to but not including 1");
}

/** A check for true and false. */
export function boolean(value: unknown, option: string): boolean {
  return typeof value === "boolean" ? value : wrong(option, value, "true or false");
}
