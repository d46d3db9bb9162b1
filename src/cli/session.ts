// What all commands begin with: the engine, the model, its tokens. And the options for it, under the same names
// everywhere.

import { type Engine, init } from "../core/engine.ts";
import { defaultThreads } from "../core/features.ts";
import type { Dataset, DatasetOptions } from "../data/dataset.ts";
import { openPrompt } from "../data/documentTokens.ts";
import type { FileSource } from "../io/directory.ts";
import { loadModel } from "../io/model.ts";
import { BUNDLED_TEXT, EMBEDDED_MODEL, openPackaged } from "../io/packaged.ts";
import type { PretrainedModel } from "../io/pretrained.ts";
import { loadText } from "../io/text.ts";
import type { ModelConfig } from "../nn/config.ts";
import { CommandLineError } from "./arguments.ts";
import { MOST } from "./defaults.ts";
import { count, flag, type Option, source } from "./option.ts";

/** Options of every command that computes. */
export const engineOptions: {
  readonly threads: Option<number | undefined>;
  readonly deterministic: Option<boolean>;
  readonly wideVectors: Option<boolean>;
} = {
  threads: count(
    undefined,
    { least: 1, most: 64, shown: "all cores, at most 8" },
    "threads to compute with; the result is the same for any number",
  ),
  deterministic: flag("use the baseline build, which gives the same bits on every machine"),
  wideVectors: flag(
    "let V8 pair vectors (experimental; Node 24, x86-64 with AVX2): less time, the same bits",
  ),
};

export const jsonOption: Option<boolean> = flag("print one JSON object a line instead of text");

export const modelOption: Option<string | undefined> = source(
  "DIR",
  "the model: a Hugging Face directory (default the embedded model)",
);

export const adapterOption: Option<string | undefined> = source(
  "DIR",
  "the adapter: a PEFT directory, such as train writes",
);

export const dataOption: Option<string | undefined> = source(
  "FILE",
  'plain text, or records with "text" or "prompt" and "completion": .jsonl, .ndjson, a .json array (default the bundled text)',
);

/** The named model or the embedded one. */
export async function openModel(path: string | undefined): Promise<PretrainedModel> {
  // The library's own advice is for programs.
  if (path === undefined)
    await openPackaged(EMBEDDED_MODEL, "config.json", "Name a model with --model DIR.");
  return loadModel(path);
}

function openBundled(): Promise<FileSource> {
  const { directory, file } = BUNDLED_TEXT;
  return openPackaged(directory, file, "Name a text with --data FILE.");
}

/** The bytes of the bundled text. */
export async function bundledText(): Promise<Uint8Array> {
  const source = await openBundled();
  return (await source.read(BUNDLED_TEXT.file)) ?? new Uint8Array(0);
}

/** The batches of the named text or the bundled one. */
export async function openText(
  model: PretrainedModel,
  path: string | undefined,
  options: DatasetOptions,
): Promise<Dataset> {
  if (path !== undefined) return loadText(model, { ...options, path });
  await openBundled();
  return loadText(model, options);
}

/** Starts the engine. */
export async function startEngine(values: {
  readonly threads: number | undefined;
  readonly deterministic: boolean;
  readonly wideVectors: boolean;
}): Promise<Engine> {
  const { threads, deterministic, wideVectors } = values;
  // A number is given in any case, so that all threads are there when the summary names them.
  return init({ deterministic, wideVectors, threads: threads ?? defaultThreads() });
}

/** The tokens of a prompt, as training lays out the beginning of a text. A model with a begin token needs none. */
export function promptTokens(model: PretrainedModel, prompt: string): Int32Array {
  const ids = openPrompt(model, prompt);
  if (ids.length > 0) return ids;
  throw new CommandLineError(
    "The prompt is empty, and this model has no begin token to start from. Give --prompt TEXT.",
  );
}

/**
 * The length of a row: what was asked for if it fits the model, else the default or all that the model takes.
 * @throws CommandLineError for rows longer than the model takes, or a batch of too many tokens
 */
export function fitBlockSize(
  asked: number | undefined,
  fallback: number,
  { maxPositions, window }: Pick<ModelConfig, "maxPositions" | "window">,
  batchSize: number,
): number {
  if (asked !== undefined && asked > maxPositions) {
    const limit =
      window === undefined
        ? `but this model takes at most ${maxPositions} tokens at a time`
        : `past the window of ${window} tokens, which is as far as this model is supported`;
    throw new CommandLineError(`--block-size is ${asked}, ${limit}. Give at most that.`);
  }
  const blockSize = asked ?? Math.min(fallback, maxPositions);
  if (batchSize * blockSize > MOST.batchTokens) {
    throw new CommandLineError(
      `--batch-size is ${batchSize}, with rows of ${blockSize} tokens, but a batch has at most ${MOST.batchTokens} ` +
        `tokens. Give at most ${Math.floor(MOST.batchTokens / blockSize)}; train takes several batches for one step ` +
        "with --accumulate.",
    );
  }
  return blockSize;
}
