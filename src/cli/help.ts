// The texts of --help, made from the tables of commands and options.

import type { Command } from "./command.ts";
import { wrap } from "./format.ts";
import { flagOf, type Option } from "./option.ts";
import { widthOf } from "./style.ts";
import type { Terminal } from "./terminal.ts";

/** Rows of two columns; the second is wrapped beside the first. */
function table(rows: readonly (readonly [string, string])[], columns: number): string[] {
  const left = Math.max(...rows.map(([name]) => widthOf(name))) + 2;
  return rows.flatMap(([name, text]) => {
    const [first = "", ...rest] = wrap(text, columns - left - 2);
    const indent = " ".repeat(left + 2);
    return [
      `  ${name}${" ".repeat(left - widthOf(name))}${first}`,
      ...rest.map((line) => `${indent}${line}`),
    ];
  });
}

function optionRow(key: string, option: Option<unknown>): readonly [string, string] {
  const value = option.placeholder === "" ? "" : ` ${option.placeholder}`;
  const fallback = option.shown === "" ? "" : ` (default ${option.shown})`;
  return [`${flagOf(key)}${value}`, `${option.help}${fallback}`];
}

/** `lowrank --help` */
export function mainHelp(
  commands: readonly Command[],
  version: string,
  terminal: Terminal,
): string {
  const { style, columns } = terminal;
  return [
    `${style.bold("lowrank")} ${version}: fine-tune small Transformers with LoRA`,
    "",
    `${style.bold("Usage")}  lowrank <command> [options]`,
    "",
    style.bold("Commands"),
    ...table(
      commands.map(({ name, summary }) => [style.accent(name), summary]),
      columns,
    ),
    "",
    style.bold("Everywhere"),
    ...table(
      [
        ["lowrank <command> --help", "the options of a command"],
        ["--json", "one JSON object a line on standard output, for programs"],
        ["--version", "print the version"],
      ],
      columns,
    ),
    "",
    `${style.bold("Exit codes")}  0 done, 1 an error in the input or the run, 2 wrong usage, 130 stopped by Ctrl-C`,
    "",
    "Without options, `lowrank train` fine-tunes the embedded model on the bundled text.",
  ].join("\n");
}

/** `lowrank <command> --help` */
export function commandHelp(command: Command, terminal: Terminal): string {
  const { style, columns } = terminal;
  const rows = Object.entries(command.options).map(([key, option]) => optionRow(key, option));
  return [
    `${style.bold(`lowrank ${command.name}`)}: ${command.summary}`,
    "",
    `${style.bold("Usage")}  lowrank ${command.name} ${command.usage}`,
    "",
    ...wrap(command.description, columns - 2).map((line) => (line === "" ? "" : `  ${line}`)),
    "",
    style.bold("Options"),
    ...table(rows, columns),
    "",
    style.bold("Examples"),
    ...command.examples.flatMap(([words, what]) => [
      `  ${style.accent(`lowrank ${command.name}${words === "" ? "" : ` ${words}`}`)}`,
      `      ${what}`,
    ]),
  ].join("\n");
}
