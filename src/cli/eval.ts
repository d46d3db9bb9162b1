// `lowrank eval`: how well a model, with or without an adapter, predicts a text.

import { withoutSecrets } from "../core/secrets.ts";
import { batchesOf } from "../data/dataset.ts";
import { formOf } from "../data/records.ts";
import { wholeText } from "../data/wholeText.ts";
import { loadAdapter } from "../io/adapter.ts";
import type { PretrainedModel } from "../io/pretrained.ts";
import { readTextFile } from "../io/text.ts";
import type { TokenBatch } from "../nn/batch.ts";
import { bitsPerByte, evaluate, readTokens } from "../train/evaluate.ts";
import type { Arguments } from "./arguments.ts";
import { type Command, defineCommand } from "./command.ts";
import { MOST, RUN, VALIDATION } from "./defaults.ts";
import { duration, plural, whole } from "./format.ts";
import { count, flag, type OptionsFor, real } from "./option.ts";
import {
  adapterOption,
  bundledText,
  dataOption,
  engineOptions,
  fitBlockSize,
  jsonOption,
  modelOption,
  openModel,
  openText,
  startEngine,
} from "./session.ts";
import {
  type AdapterSummary,
  adapterText,
  type EngineSummary,
  engineText,
  type ModelSummary,
  modelText,
  row,
  summarizeAdapter,
  summarizeModel,
} from "./summary.ts";
import type { Terminal } from "./terminal.ts";

interface EvalValues {
  readonly model: string | undefined;
  readonly adapter: string | undefined;
  readonly data: string | undefined;
  readonly all: boolean;
  readonly validation: number;
  readonly batchSize: number;
  readonly blockSize: number | undefined;
  readonly threads: number | undefined;
  readonly deterministic: boolean;
  readonly wideVectors: boolean;
  readonly json: boolean;
}

const options: OptionsFor<EvalValues> = {
  model: modelOption,
  adapter: adapterOption,
  data: dataOption,
  all: flag("take the whole text, not only the part that train holds out"),
  validation: real(
    VALIDATION,
    { above: 0, below: 1 },
    "the part that is held out; the same value gives the part that train held out",
  ),
  batchSize: count(RUN.batchSize, { least: 1, most: MOST.batchTokens }, "rows in a batch"),
  blockSize: count(
    undefined,
    { least: 1, most: MOST.batchTokens, shown: `${RUN.blockSize}, or what the model takes` },
    "tokens in a row; more give each token more context",
  ),
  ...engineOptions,
  json: jsonOption,
};

export const evalCommand: Command = defineCommand({
  name: "eval",
  summary: "measure the loss on a text, with or without an adapter",
  description:
    "Prints loss in nats a token, perplexity, bits per byte and speed, on the part of the text that train holds out, " +
    "or with --all on all of it. Bits per byte compare models with different tokenizers.",
  examples: [
    ["", "the embedded model on the held-out part of the bundled text"],
    ["--adapter lowrank-out/adapter", "the same with an adapter"],
    ["--data other.txt --all --json", "every token of a file, for a program"],
  ],
  options,
  run,
});

/** What is predicted. */
interface Part {
  readonly name: string;
  readonly batches: Iterable<TokenBatch>;
  /** Bytes that the predicted tokens spell. */
  readonly bytes: number;
}

interface Evaluation {
  readonly event: "evaluation";
  readonly model: ModelSummary;
  readonly adapter: AdapterSummary | null;
  readonly engine: EngineSummary;
  readonly text: string;
  readonly loss: number;
  readonly perplexity: number;
  readonly bitsPerByte: number;
  readonly tokens: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

async function run(
  { values }: Arguments<OptionsFor<EvalValues>>,
  terminal: Terminal,
): Promise<number> {
  const engine = await startEngine(values);
  const model = await openModel(values.model);
  const summary = summarizeModel(model);
  const adapter = values.adapter === undefined ? null : await loadAdapter(model, values.adapter);
  for (const message of [...model.warnings, ...(adapter?.warnings ?? [])]) {
    if (values.json) terminal.event({ event: "warning", message });
    else terminal.note(message);
  }
  if (adapter === null) model.freeze();
  const part = values.all ? await everything(model, values) : await heldOut(model, values);
  let read = 0;
  const note = (batch: TokenBatch): void => {
    read += readTokens(batch);
  };
  const before = performance.now();
  const { loss, perplexity, tokens } = evaluate(model, watched(part.batches, note));
  const seconds = (performance.now() - before) / 1000;
  const result: Evaluation = {
    event: "evaluation",
    model: summary,
    adapter: adapter === null ? null : summarizeAdapter(adapter),
    engine: { build: engine.build, threads: engine.threads },
    text: part.name,
    loss,
    perplexity,
    bitsPerByte: bitsPerByte({ loss, perplexity, tokens }, part.bytes),
    tokens,
    bytes: part.bytes,
    seconds,
    tokensPerSecond: read / seconds,
  };
  if (values.json) terminal.event(result);
  else print(result, terminal);
  return 0;
}

/** The batches, each shown to `watch` as it is taken. */
function* watched(
  batches: Iterable<TokenBatch>,
  watch: (batch: TokenBatch) => void,
): Generator<TokenBatch> {
  for (const batch of batches) {
    watch(batch);
    yield batch;
  }
}

function print(result: Evaluation, terminal: Terminal): void {
  const say = (label: string, text: string) => row(terminal, label, text);
  const { bold } = terminal.style;
  say("Model", modelText(result.model));
  if (result.adapter !== null) say("Adapter", adapterText(result.adapter));
  say("Text", `${result.text}: ${plural(result.tokens, "token")}, ${plural(result.bytes, "byte")}`);
  say("Engine", engineText(result.engine));
  terminal.line();
  say("Loss", `${bold(result.loss.toFixed(4))} nats a token`);
  say("Perplexity", bold(result.perplexity.toPrecision(4)));
  say("Bits", `${bold(result.bitsPerByte.toFixed(4))} per byte`);
  say("Time", `${duration(result.seconds)}, ${whole(result.tokensPerSecond)} tokens per second`);
}

function nameOf(data: string | undefined): string {
  return data === undefined ? "the bundled text" : withoutSecrets(data);
}

async function heldOut(model: PretrainedModel, values: EvalValues): Promise<Part> {
  const { data: path, batchSize, validation } = values;
  const blockSize = fitBlockSize(values.blockSize, RUN.blockSize, model.config, batchSize);
  const data = await openText(model, path, { batchSize, blockSize, validation });
  const name = `the held-out part of ${nameOf(path)}`;
  return { name, batches: data.validationBatches(), bytes: data.summary.validationBytes };
}

/** Every token of a text but the first of each document, which nothing comes before. */
async function everything(model: PretrainedModel, values: EvalValues): Promise<Part> {
  const { batchSize } = values;
  const { tokenizer, config } = model;
  const blockSize = fitBlockSize(values.blockSize, RUN.blockSize, config, batchSize);
  const name = nameOf(values.data);
  const form = values.data === undefined ? "plain" : formOf(name);
  const read = async () =>
    values.data === undefined ? bundledText() : (await readTextFile(values.data)).bytes;
  // No name for the bytes: they are not kept beside what is made of them.
  const { rows, bytes } = wholeText(tokenizer, await read(), { form, blockSize, name });
  return { name, batches: batchesOf(rows, batchSize, blockSize), bytes };
}
