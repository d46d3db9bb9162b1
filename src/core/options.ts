// Objects of options: a key that nobody knows is a mistake, most often of spelling, and would else train, save or
// generate with a default in silence.

import { UsageError } from "./error.ts";
import { kindOf } from "./kind.ts";
import { nearestNames } from "./nearest.ts";

/** The names of the options O. One that is missing, and one too many, does not compile. */
export type OptionNames<O> = Readonly<Record<keyof O, true>>;

/** What stands for options that were not given, where a look at them would cost: in single ops. */
export const NO_OPTIONS: Readonly<Record<never, never>> = Object.freeze({});

/**
 * Throws unless `options` is an object that holds no other keys than the known ones.
 * @param what whose options they are, such as "Trainer" or "generate"
 * @throws UsageError with the nearest name
 */
export function expectOptions<O extends object>(
  options: O,
  known: OptionNames<O>,
  what: string,
): void {
  if (options === NO_OPTIONS) return;
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new UsageError(
      `The options of ${what} must be an object, but ${kindOf(options)} was given. They are ${Object.keys(known).join(", ")}.`,
    );
  }
  // Inherited keys are read like own ones, and so are asked for as well.
  for (const key in options) {
    // What every object has, such as `constructor`, is not true.
    if ((known as Readonly<Record<string, unknown>>)[key] !== true) {
      throw unknownOption(key, known, what);
    }
  }
}

function unknownOption(key: string, known: object, what: string): UsageError {
  const names = Object.keys(known);
  const [nearest] = nearestNames(key, names);
  return new UsageError(
    `${JSON.stringify(key)} is not an option of ${what}; did you mean ${nearest}? The options are ${names.join(", ")}.`,
  );
}
