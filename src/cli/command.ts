// A subcommand: its name, its table of options, and what it does. `defineCommand` ties the table to the types of the
// values that `run` gets.

import { speakIn } from "../core/wording.ts";
import { type Arguments, readArguments } from "./arguments.ts";
import { flag, flagWording, type Options } from "./option.ts";
import type { Terminal } from "./terminal.ts";

/** A subcommand as the front door sees it. */
export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What stands after the name in the usage line. */
  readonly usage: string;
  /** Paragraphs of the help. */
  readonly description: string;
  /** Lines to try, without `lowrank` in front, and what they do. */
  readonly examples: readonly (readonly [string, string])[];
  readonly options: Options;
  /** It saves files, which is worth doing even if nobody reads what it prints. */
  readonly saves?: true;
  /** Runs it; the result is the exit code. */
  run(words: readonly string[], terminal: Terminal, help: () => void): Promise<number>;
}

/** What makes a command; `positional` names the one argument that has no option before it. */
export interface CommandDefinition<O extends Options>
  extends Omit<Command, "run" | "options" | "usage"> {
  readonly options: O;
  readonly positional?: string;
  readonly run: (args: Arguments<O>, terminal: Terminal) => Promise<number>;
}

const HELP = { help: flag("print this help") };

/** Makes a command that reads and checks its arguments before it runs. */
export function defineCommand<O extends Options>(definition: CommandDefinition<O>): Command {
  const { name, summary, description, examples, saves, positional } = definition;
  const options = { ...definition.options, ...HELP };
  return {
    name,
    summary,
    description,
    examples,
    options,
    ...(saves === undefined ? {} : { saves }),
    usage: positional === undefined ? "[options]" : `[${positional}] [options]`,
    async run(words, terminal, help) {
      // Help is given whatever else stands there.
      if (words.includes("--help") || words.includes("-h")) {
        help();
        return 0;
      }
      const args = readArguments(words, definition.options, positional);
      const fallSilent = speakIn(flagWording(options));
      try {
        return await definition.run(args, terminal);
      } finally {
        fallSilent();
      }
    },
  };
}
