// What there is to say about a model, an adapter and a text, as plain data for events and as rows for readers.

import type { AnyAdapter } from "../adapters/set.ts";
import { withoutSecrets } from "../core/secrets.ts";
import type { Dataset } from "../data/dataset.ts";
import type { PretrainedModel } from "../io/pretrained.ts";
import { bytes, percent, plural, whole, wrap } from "./format.ts";
import type { Terminal } from "./terminal.ts";

const LABEL = 11;

/** Prints "  Label      text", the text wrapped beside the label. */
export function row(terminal: Terminal, label: string, text: string): void {
  const lines = wrap(text, terminal.columns - LABEL - 2);
  lines.forEach((line, i) => {
    const head = i === 0 ? label : "";
    terminal.line(`  ${terminal.style.dim(head.padEnd(LABEL))}${line}`);
  });
}

export interface ModelSummary {
  readonly name: string;
  readonly type: string;
  readonly parameters: number;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
}

/** `parameters` counts the model's own, before an adapter is added. */
export function summarizeModel(
  model: PretrainedModel,
  parameters: number = model.countParameters(),
): ModelSummary {
  const { modelType, layers, hiddenSize, heads, kvHeads, vocabSize, maxPositions } = model.config;
  return {
    name: model.name,
    type: modelType,
    parameters,
    layers,
    hiddenSize,
    heads,
    kvHeads,
    vocabSize,
    maxPositions,
  };
}

export function modelText(model: ModelSummary): string {
  return (
    `${model.name}, ${whole(model.parameters)} parameters\n` +
    `${model.type}: ${plural(model.layers, "layer")} of width ${model.hiddenSize}, ${headsText(model)}, ` +
    `${whole(model.vocabSize)} tokens in the vocabulary, ${whole(model.maxPositions)} positions`
  );
}

/** "4 heads", or "4 heads (2 for keys and values)" where groups of heads share them. */
export function headsText({
  heads,
  kvHeads,
}: {
  readonly heads: number;
  readonly kvHeads: number;
}): string {
  return `${plural(heads, "head")}${kvHeads === heads ? "" : ` (${kvHeads} for keys and values)`}`;
}

/** What an adapter's method says of it, and where it is. */
export interface AdapterSummary {
  readonly name: string;
  readonly method: string;
  readonly details: string;
  /** Last parts of the adapted modules' names, each once. */
  readonly targets: readonly string[];
  readonly layers: number;
  readonly parameters: number;
  /** The method's numbers: of LoRA r, alpha, dropout, rslora and scales. */
  readonly [field: string]: unknown;
}

/** The last part of a module's path. */
export function lastName(path: string): string {
  return path.slice(path.lastIndexOf(".") + 1);
}

export function summarizeAdapter(adapter: AnyAdapter): AdapterSummary {
  const { method, details, data } = adapter.describe();
  return {
    ...data,
    name: adapter.name,
    method,
    details,
    targets: [...new Set([...adapter.layers.keys()].map(lastName))],
    layers: adapter.layers.size,
    parameters: adapter.countParameters(),
  };
}

export function adapterText({ method, details, layers, targets }: AdapterSummary): string {
  return `${method}: ${details}\non ${plural(layers, "module")}: ${targets.join(", ")}`;
}

export interface DataSummary {
  readonly name: string;
  readonly documents: number;
  readonly trainTokens: number;
  readonly validationTokens: number;
  /** Documents longer than a row. */
  readonly cutDocuments: number;
}

/** @param path the file; undefined for the bundled text */
export function summarizeData({ summary }: Dataset, path: string | undefined): DataSummary {
  const { documents, trainTokens, validationTokens, cutDocuments } = summary;
  return {
    name: path === undefined ? "the bundled text" : withoutSecrets(path),
    documents,
    trainTokens,
    validationTokens,
    cutDocuments,
  };
}

export function dataText({
  name,
  documents,
  trainTokens,
  validationTokens,
  cutDocuments,
}: DataSummary): string {
  const cut =
    cutDocuments > 0 ? `; ${plural(cutDocuments, "document")} longer than a row, cut` : "";
  const held =
    validationTokens > 0 ? `, ${whole(validationTokens)} held out` : ", nothing held out";
  const texts = documents > 1 ? `${plural(documents, "document")}, ` : "";
  return `${name}: ${texts}${whole(trainTokens)} tokens to train on${held}${cut}`;
}

/** Shares and bytes of what trains. AdamW keeps a gradient and two moments beside each weight that trains. */
export interface Budget {
  readonly parameters: number;
  readonly trainable: number;
  readonly share: number;
  /** Weights, and what training adds for those that train, in bytes. */
  readonly weightBytes: number;
  readonly trainingBytes: number;
  /** What full fine-tuning would add. */
  readonly fullTrainingBytes: number;
}

const STATE_PER_WEIGHT = 12;

export function summarizeBudget(own: number, trainable: number, isAdapter: boolean): Budget {
  const parameters = isAdapter ? own + trainable : own;
  return {
    parameters,
    trainable,
    share: trainable / parameters,
    weightBytes: parameters * 4,
    trainingBytes: trainable * STATE_PER_WEIGHT,
    fullTrainingBytes: own * STATE_PER_WEIGHT,
  };
}

export function trainableText({ trainable, parameters, share }: Budget): string {
  return `${whole(trainable)} of ${whole(parameters)} parameters (${percent(share)})`;
}

export function memoryText({ weightBytes, trainingBytes, fullTrainingBytes }: Budget): string {
  const training = `${bytes(trainingBytes)} for gradients and moments`;
  const full =
    trainingBytes === fullTrainingBytes
      ? ""
      : `; a full fine-tuning takes ${bytes(fullTrainingBytes)}`;
  return `${bytes(weightBytes)} of weights, ${training}${full}`;
}

export interface EngineSummary {
  readonly build: "baseline" | "relaxed";
  readonly threads: number;
}

/** "relaxed SIMD, 2 threads" */
export function engineText({ build, threads }: EngineSummary): string {
  const name =
    build === "relaxed" ? "relaxed SIMD" : "baseline SIMD, the same bits on every machine";
  return `${name}, ${plural(threads, "thread")}`;
}
