// The front door: finds the subcommand, and turns whatever is thrown into a sentence and an exit code.
//   0  done        1  an error in the input or the run        2  wrong usage

import { LowrankError } from "../core/error.ts";
import { nearestNames } from "../core/nearest.ts";
import { withoutSecrets } from "../core/secrets.ts";
import { CommandLineError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { evalCommand } from "./eval.ts";
import { generateCommand } from "./generate.ts";
import { commandHelp, mainHelp } from "./help.ts";
import { inspectCommand } from "./inspect.ts";
import { mergeCommand } from "./merge.ts";
import type { Terminal } from "./terminal.ts";
import { trainCommand } from "./train.ts";
import { placeOf } from "./trainLoop.ts";
import { version } from "./version.ts";

const COMMANDS: readonly Command[] = [
  trainCommand,
  evalCommand,
  generateCommand,
  mergeCommand,
  inspectCommand,
];

/**
 * Runs `lowrank` with these words.
 * @returns the exit code
 */
export async function runCommandLine(
  words: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const [name, ...rest] = words;
  const json = words.includes("--json");
  try {
    return await dispatch(name, rest, terminal);
  } catch (error) {
    return report(error, name, json, terminal);
  }
}

/** Whether these words run a command that saves files. */
export function savesFiles([name]: readonly string[]): boolean {
  return COMMANDS.some((command) => command.name === name && command.saves === true);
}

async function dispatch(
  name: string | undefined,
  rest: readonly string[],
  terminal: Terminal,
): Promise<number> {
  if (name === undefined) {
    terminal.note(mainHelp(COMMANDS, version(), terminal));
    return 2;
  }
  if (name === "--version" || name === "-V") {
    terminal.line(version());
    return 0;
  }
  if (name === "--help" || name === "-h" || name === "help") {
    const wanted = rest.find((word) => !word.startsWith("-"));
    if (wanted === undefined) terminal.line(mainHelp(COMMANDS, version(), terminal));
    else terminal.line(commandHelp(find(wanted), terminal));
    return 0;
  }
  const command = find(name);
  return command.run(rest, terminal, () => terminal.line(commandHelp(command, terminal)));
}

function find(name: string): Command {
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command !== undefined) return command;
  const names = COMMANDS.map((candidate) => candidate.name);
  if (name.startsWith("-")) {
    throw new CommandLineError(
      `The command comes first, as in lowrank train ${name}. The commands are ${names.join(", ")}.`,
    );
  }
  throw new CommandLineError(
    `There is no command ${JSON.stringify(name)}. Did you mean ${nearestNames(name, names)[0]}? The commands are ${names.join(", ")}.`,
  );
}

function report(
  error: unknown,
  name: string | undefined,
  json: boolean,
  terminal: Terminal,
): number {
  const isUsage = error instanceof CommandLineError;
  const isKnown = isUsage || error instanceof LowrankError;
  const kind = error instanceof Error ? error.name : "Error";
  const message = error instanceof Error ? error.message : String(error);
  if (json) {
    terminal.event({ event: "error", name: kind, message, ...placeOf(error) });
  }
  const { bad, dim } = terminal.noteStyle;
  if (isKnown) {
    terminal.note(`${bad("lowrank:")} ${message}`);
    const known = COMMANDS.some((command) => command.name === name);
    if (isUsage) terminal.note(dim(`Help: lowrank ${known ? `${name} ` : ""}--help`));
    return isUsage ? 2 : 1;
  }
  const stack = error instanceof Error ? (error.stack ?? message) : message;
  terminal.note(
    `${bad("lowrank:")} This is an error in lowrank itself. Please report it with what follows.`,
  );
  terminal.note(withoutSecrets(stack));
  return 1;
}
