// `lowrank merge`: a model with an adapter merged into its weights, W + s·B·A, as a Hugging Face directory.

import { realpathSync } from "node:fs";
import { exists, readFile } from "../core/files.ts";
import { loadAdapter } from "../io/adapter.ts";
import { saveModel, type WeightType } from "../io/model.ts";
import { type Arguments, CommandLineError } from "./arguments.ts";
import { type Command, defineCommand } from "./command.ts";
import { bytes } from "./format.ts";
import { choice, type OptionsFor, target } from "./option.ts";
import { checkTarget } from "./runDirectory.ts";
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
  readonly dtype: WeightType;
  readonly threads: number | undefined;
  readonly deterministic: boolean;
  readonly wideVectors: boolean;
  readonly json: boolean;
}

const options: OptionsFor<MergeValues> = {
  adapter: adapterOption,
  model: modelOption,
  out: target(undefined, "DIR", "where the merged model goes"),
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
  checkTarget(out, "model");
  if (values.model !== undefined && isSame(out, values.model)) {
    throw new CommandLineError(
      "--out is the directory of the model itself, which would be lost. Name another directory.",
    );
  }
  await startEngine(values);
  const model = await openModel(values.model);
  const base = summarizeModel(model);
  const adapter = await loadAdapter(model, from);
  for (const message of [...model.warnings, ...adapter.warnings]) {
    if (json) terminal.event({ event: "warning", message });
    else terminal.note(message);
  }
  adapter.merge();
  await saveModel(model, out, { dtype });
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

function isSame(a: string, b: string): boolean {
  return exists(a) && exists(b) && realpathSync(a) === realpathSync(b);
}
