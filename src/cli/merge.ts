// `lowrank merge`: a model with an adapter merged into its weights, W + s·B·A, as a Hugging Face directory.

import { UsageError } from "../core/error.ts";
import { readFile } from "../core/files.ts";
import { loadAdapter } from "../io/adapter.ts";
import { saveModel, type WeightType } from "../io/model.ts";
import { type Arguments, CommandLineError } from "./arguments.ts";
import { type Command, defineCommand } from "./command.ts";
import { bytes } from "./format.ts";
import { liesIn } from "./inputGuard.ts";
import { choice, flag, type OptionsFor, target } from "./option.ts";
import { checkModelTarget } from "./runDirectory.ts";
import {
  adapterOption,
  engineOptions,
  jsonOption,
  modelOption,
  openModel,
  startEngine,
} from "./session.ts";
import { adapterText, modelText, row, summarizeAdapter, summarizeModel } from "./summary.ts";
import type { Terminal } from "./terminal.ts";

interface MergeValues {
  readonly model: string | undefined;
  readonly adapter: string | undefined;
  readonly out: string | undefined;
  readonly overwrite: boolean;
  readonly dtype: WeightType;
  readonly threads: number | undefined;
  readonly deterministic: boolean;
  readonly wideVectors: boolean;
  readonly json: boolean;
}

const options: OptionsFor<MergeValues> = {
  adapter: adapterOption,
  model: modelOption,
  out: target("DIR", "where the merged model goes"),
  overwrite: flag("replace the model that --out holds"),
  dtype: choice(["F32", "F16", "BF16"], "F32", "how weights are stored (F32 loses nothing)"),
  ...engineOptions,
  json: jsonOption,
};

export const mergeCommand: Command = defineCommand({
  name: "merge",
  summary: "merge an adapter into a model and save the model",
  description:
    "Writes a Hugging Face model directory whose weights hold the adapter. The model and the adapter stay as they are.",
  examples: [
    ["--adapter lowrank-out/adapter --out merged", "into the embedded model"],
    [
      "--model llama --adapter style --out llama-style --dtype BF16",
      "into a model of yours, in 16 bits",
    ],
  ],
  options,
  saves: true,
  run,
});

async function run(
  { values }: Arguments<OptionsFor<MergeValues>>,
  terminal: Terminal,
): Promise<number> {
  const { adapter: from, out, dtype, json } = values;
  if (from === undefined)
    throw new CommandLineError("Which adapter? Name its directory with --adapter DIR.");
  if (out === undefined)
    throw new CommandLineError("Where to? Name a directory for the merged model with --out DIR.");
  checkOut(out, values);
  await startEngine(values);
  const model = await openModel(values.model);
  const base = summarizeModel(model);
  const adapter = await loadAdapter(model, from);
  for (const message of [...model.warnings, ...adapter.warnings]) {
    if (json) terminal.event({ event: "warning", message });
    else terminal.note(message);
  }
  adapter.merge();
  await saveModel(model, out, { dtype, overwrite: values.overwrite });
  const size = readFile(`${out}/model.safetensors`).length;
  const summary = summarizeAdapter(adapter);
  if (json) {
    terminal.event({ event: "done", model: base, adapter: summary, out, dtype, bytes: size });
    return 0;
  }
  row(terminal, "Model", modelText(base));
  row(terminal, "Adapter", adapterText(summary));
  row(terminal, "Merged", `${out}, ${dtype}, ${bytes(size)}`);
  return 0;
}

/** Throws if something would be lost that nobody has given up. */
function checkOut(out: string, { model, overwrite }: MergeValues): void {
  const found = checkModelTarget(out);
  if (model !== undefined && liesIn(model, out)) {
    throw new CommandLineError(
      "--out is the directory of the model itself, which would be lost. Name another directory.",
    );
  }
  if (found === null || overwrite) return;
  throw new UsageError(
    `The directory ${JSON.stringify(out)} already holds a model: ${JSON.stringify(found)}. Nothing was changed. Choose ` +
      "another place with --out DIR, or replace that model with --overwrite.",
  );
}
