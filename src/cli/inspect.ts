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
  const groups = every ? tensors.map(alone) : groupTensors(tensors);
  const rows = groups.map((group) => [
    oneLine(every ? group.name : group.name.replace(PEFT_PREFIX, "")),
    group.dtype,
    `[${group.shape.join(", ")}]`,
    group.count === 1 ? bytes(group.bytes) : `${group.count} × ${bytes(group.bytes)}`,
  ]);
  const widths = [0, 1, 2, 3].map((column) =>
    rows.reduce((most, cells) => Math.max(most, widthOf(cells[column] ?? "")), 0),
  );
  terminal.line();
  for (const [name = "", dtype = "", shape = "", size = ""] of rows) {
    const cells = [
      // One name of a megabyte must not make all rows as long.
      name.padEnd(Math.min(widths[0] ?? 0, WIDEST_NAME)),
      dtype.padEnd(widths[1] ?? 0),
      shape.padEnd(widths[2] ?? 0),
    ];
    terminal.line(`  ${cells.join("  ")}  ${terminal.style.dim(size.padStart(widths[3] ?? 0))}`);
  }
  const size = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const numbers = tensors.reduce((sum, tensor) => sum + tensor.shape.reduce((a, b) => a * b, 1), 0);
  terminal.line();
  row(
    terminal,
    "In all",
    `${plural(tensors.length, "tensor")}, ${whole(numbers)} numbers, ${bytes(size)}`,
  );
}

function alone(tensor: TensorEntry): TensorGroup {
  return { ...tensor, count: 1 };
}
