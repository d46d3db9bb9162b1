// `lowrank inspect`: what is in a model directory, an adapter directory, a safetensors file or a checkpoint. Which of
// them it is, is found by looking. Nothing is computed: the engine stays off.

import type { Arguments } from "./arguments.ts";
import { CommandLineError } from "./arguments.ts";
import { type Command, defineCommand } from "./command.ts";
import { bytes, plural, whole } from "./format.ts";
import { type Inspection, inspect } from "./inspection.ts";
import { flag, type OptionsFor } from "./option.ts";
import { adapterOption, jsonOption, modelOption } from "./session.ts";
import { oneLine, widthOf } from "./style.ts";
import { row } from "./summary.ts";
import { groupTensors, type TensorEntry, type TensorGroup } from "./tensorTable.ts";
import type { Terminal } from "./terminal.ts";

interface InspectValues {
  readonly model: string | undefined;
  readonly adapter: string | undefined;
  readonly tensors: boolean;
  readonly json: boolean;
}

const options: OptionsFor<InspectValues> = {
  model: modelOption,
  adapter: adapterOption,
  tensors: flag("list every tensor, not one line for all layers"),
  json: jsonOption,
};

const WIDEST_NAME = 120;

/** The most lines of the short table; a model has a few dozens. */
const MOST_GROUPS = 1000;

// Every name in an adapter's file begins with it; only the full list spells it out.
const PEFT_PREFIX = /^base_model\.model\./;

export const inspectCommand: Command = defineCommand({
  name: "inspect",
  summary: "show what is in a model, an adapter or a safetensors file",
  description:
    "PATH is a model directory, an adapter directory, a .safetensors file or a checkpoint of train; without it the " +
    "embedded model is shown. --model DIR and --adapter DIR may be written for it.",
  examples: [
    ["lowrank-out/adapter", "rank, scale, targets and tensors of an adapter"],
    ["--json", "the embedded model, for a program"],
  ],
  options,
  positional: "PATH",
  run,
});

async function run(
  args: Arguments<OptionsFor<InspectValues>>,
  terminal: Terminal,
): Promise<number> {
  const { model, adapter, tensors, json } = args.values;
  const paths = [args.positional, model, adapter].filter((path) => path !== undefined);
  if (paths.length > 1) {
    throw new CommandLineError(
      `One thing is inspected at a time, but ${paths.join(" and ")} were given.`,
    );
  }
  const inspection = await inspect(paths[0]);
  if (json) {
    const { facts: _, ...data } = inspection;
    terminal.event({ event: "inspection", ...data });
    return 0;
  }
  print(inspection, tensors, terminal);
  return 0;
}

function print({ facts, tensors, warnings }: Inspection, every: boolean, terminal: Terminal): void {
  for (const [label, text] of facts) row(terminal, label, text);
  for (const warning of warnings) row(terminal, "Note", warning);
  const shown = every ? tensors : groupTensors(tensors, MOST_GROUPS);
  const more =
    tensors.length - shown.reduce((sum, { count = 1 }: Partial<TensorGroup>) => sum + count, 0);
  // Rows are made twice: of hundreds of thousands of tensors they would take much memory.
  const widths = [0, 0, 0, 0];
  for (const group of shown) {
    cellsOf(group, every).forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, widthOf(cell));
    });
  }
  terminal.line();
  for (const group of shown) {
    const [name, dtype, shape, size] = cellsOf(group, every);
    const cells = [
      // One name of a megabyte must not make all rows as long.
      name.padEnd(Math.min(widths[0] ?? 0, WIDEST_NAME)),
      dtype.padEnd(widths[1] ?? 0),
      shape.padEnd(widths[2] ?? 0),
    ];
    terminal.line(`  ${cells.join("  ")}  ${terminal.style.dim(size.padStart(widths[3] ?? 0))}`);
  }
  if (more > 0) terminal.line(`  and ${plural(more, "tensor")} more; --tensors lists all`);
  const size = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const numbers = tensors.reduce((sum, tensor) => sum + tensor.shape.reduce((a, b) => a * b, 1), 0);
  terminal.line();
  row(
    terminal,
    "In all",
    `${plural(tensors.length, "tensor")}, ${whole(numbers)} numbers, ${bytes(size)}`,
  );
}

/** Name, dtype, shape and size. */
function cellsOf(
  { name, dtype, shape, bytes: size, count = 1 }: TensorEntry & Partial<TensorGroup>,
  every: boolean,
): [string, string, string, string] {
  return [
    oneLine(every ? name : name.replace(PEFT_PREFIX, "")),
    dtype,
    `[${shape.join(", ")}]`,
    count === 1 ? bytes(size) : `${count} × ${bytes(size)}`,
  ];
}
