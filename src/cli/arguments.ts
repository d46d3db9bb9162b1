// From the words after `lowrank <command>` to checked values: `parseArgs` of Node cuts them into tokens, the table of
// options says what they mean. Everything wrong here is wrong usage: exit code 2.

import { parseArgs } from "node:util";
import { nearestNames } from "../core/nearest.ts";
import { withoutSecrets } from "../core/secrets.ts";
import { flagOf, type Option, type Options, type Values } from "./option.ts";

/** The command line makes no sense; nothing was done. */
export class CommandLineError extends Error {
  override name = "CommandLineError";

  constructor(message: string) {
    super(withoutSecrets(message));
  }
}

/** What was read. */
export interface Arguments<O extends Options> {
  readonly values: Values<O>;
  /** The options that were given. */
  readonly given: ReadonlySet<keyof O>;
  /** The one argument without a name, if the command takes one. */
  readonly positional: string | undefined;
}

const SHORT: Readonly<Record<string, string>> = { h: "help" };

/**
 * Reads the arguments of one subcommand.
 * @param positional what the argument without a name is called; without it none is allowed
 * @throws CommandLineError
 */
export function readArguments<O extends Options>(
  words: readonly string[],
  options: O,
  positional?: string,
): Arguments<O> {
  const byFlag = new Map<string, [keyof O, Option<unknown>]>();
  const config: Record<string, { type: "string" | "boolean"; short?: string }> = {};
  for (const [key, option] of Object.entries(options)) {
    const name = flagOf(key).slice(2);
    byFlag.set(name, [key, option]);
    const short = Object.entries(SHORT).find(([, long]) => long === name)?.[0];
    config[name] = {
      type: option.kind === "flag" ? "boolean" : "string",
      ...(short === undefined ? {} : { short }),
    };
  }
  const { tokens } = parseArgs({
    args: [...words],
    options: config,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = Object.fromEntries(
    Object.entries(options).map(([key, option]) => [key, option.fallback]),
  );
  const given = new Set<keyof O>();
  const bare: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") bare.push(token.value);
    if (token.kind !== "option") continue;
    const found = byFlag.get(token.name);
    if (found === undefined)
      throw unknownOption(token.rawName, [...byFlag.keys()], tokenAfter(words, token.index));
    const [key, option] = found;
    values[key as string] = readValue(option, flagOf(String(key)), token.value, token.inlineValue);
    given.add(key);
  }
  const [first, ...rest] = bare;
  const extra = positional === undefined ? first : rest[0];
  if (extra !== undefined) {
    throw new CommandLineError(
      positional === undefined
        ? `${JSON.stringify(extra)} belongs to no option. Every value follows the name of its option, as in --out DIR.`
        : `One ${positional} is taken, but a second argument ${JSON.stringify(extra)} was found.`,
    );
  }
  return { values: values as Values<O>, given, positional: first };
}

function readValue(
  option: Option<unknown>,
  name: string,
  value: string | undefined,
  inline: boolean | undefined,
): unknown {
  if (option.kind === "flag") {
    if (value === undefined) return true;
    throw new CommandLineError(
      `${name} takes no value, but ${JSON.stringify(value)} was given. Write ${name} alone.`,
    );
  }
  const usage = `${name} ${option.placeholder}`;
  if (value === undefined) throw new CommandLineError(`${name} needs a value: ${usage}.`);
  if (!inline && value.startsWith("--")) {
    throw new CommandLineError(
      `${name} needs a value (${usage}), but the option ${value} follows. If that is the value, write ${name}=${value}.`,
    );
  }
  return option.read(value, (expected) => {
    throw new CommandLineError(`${name} is ${JSON.stringify(value)}, but must be ${expected}.`);
  });
}

function tokenAfter(words: readonly string[], index: number): string {
  return words[index] ?? "";
}

function unknownOption(raw: string, names: readonly string[], word: string): CommandLineError {
  const wanted = raw.replace(/^-+/, "");
  const [nearest] = nearestNames(wanted, names);
  const isNegative = /^-\d/.test(word);
  const advice = isNegative
    ? "A value that begins with a minus sign is written with =, as in --lr=-1"
    : `Did you mean --${nearest}?`;
  return new CommandLineError(
    `There is no option ${isNegative ? word : raw}. ${advice}${isNegative ? "." : ""}`,
  );
}
