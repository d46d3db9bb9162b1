// What a run shows before and after its steps, and what it leaves behind.

import { createHash } from "node:crypto";
import { readFile } from "../core/files.ts";
import type { Dataset } from "../data/dataset.ts";
import { saveAdapter } from "../io/adapter.ts";
import { saveModel } from "../io/model.ts";
import type { PretrainedModel } from "../io/pretrained.ts";
import { bitsPerByte, evaluate } from "../train/evaluate.ts";
import { generate } from "../train/generate.ts";
import { PROMPT_TOKENS, SAMPLE } from "./defaults.ts";
import { mergeAndCompare } from "./mergeCheck.ts";
import { promptTokens } from "./session.ts";
import type { EvaluationSummary } from "./trainEvents.ts";
import type { LoopEnd } from "./trainLoop.ts";
import type { Run } from "./trainSetup.ts";

/** Loss on the held-out part; null when there is none. */
export function heldOut({ model, data }: Run): EvaluationSummary | null {
  if (data.summary.validationTokens === 0) return null;
  const { loss, perplexity, tokens } = evaluate(model, data.validationBatches());
  const bits = bitsPerByte({ loss, perplexity, tokens }, data.summary.validationBytes);
  return { loss, perplexity, bitsPerByte: bits, tokens };
}

/** Shows the held-out loss and a sample. */
export function look(
  { values, model, data, show }: Run,
  when: "before" | "after",
  evaluation: EvaluationSummary | null,
): void {
  if (evaluation !== null) show({ event: "evaluation", when, ...evaluation });
  if (values.maxNewTokens === 0) return;
  const { tokenizer } = model;
  const fallback = values.data === undefined ? SAMPLE.prompt : beginning(model, data);
  const prompt = values.samplePrompt ?? fallback;
  const begin = promptTokens(model, prompt);
  // A sample ends at the window over which attention slides, past which it would be refused.
  const { window = Number.POSITIVE_INFINITY } = model.config;
  const ids = generate(model, begin, {
    maxNewTokens: Math.min(values.maxNewTokens, Math.max(1, window + 1 - begin.length)),
    temperature: SAMPLE.temperature,
    seed: values.seed,
  });
  show({ event: "sample", when, prompt, text: tokenizer.decode(ids) });
}

/** The first words of the held-out part, or of the text when nothing is held out. */
function beginning(model: PretrainedModel, data: Dataset): string {
  const [held] = data.validationBatches();
  const { inputs, blockSize } = held ?? data.batchAt(0);
  return model.tokenizer.decode(inputs.subarray(0, Math.min(PROMPT_TOKENS, blockSize)));
}

/** Saves what was trained first of all, then looks at it, merges and saves the merged model. */
export async function finish(
  run: Run,
  before: EvaluationSummary | null,
  end: LoopEnd,
): Promise<void> {
  const { values, directory, engine, model, data, adapter, show } = run;
  if (adapter === null) {
    // The place was checked before the run began, and what was trained is not lost for what came there since.
    await saveModel(model, directory.model, { overwrite: true });
    show({ event: "saved", what: "model", path: directory.model });
  } else {
    await saveAdapter(adapter, directory.adapter, { overwrite: true });
    show({ event: "saved", what: "adapter", path: directory.adapter });
  }
  const after = heldOut(run);
  look(run, "after", after);
  let mergeDifference: number | null = null;
  if (adapter !== null) {
    const difference = mergeAndCompare(adapter, data);
    mergeDifference = difference.largestDifference;
    show({ event: "merged", ...difference });
    await saveModel(model, directory.merged, { overwrite: true });
    show({ event: "saved", what: "merged", path: directory.merged });
  }
  const adapterFile = `${directory.adapter}/adapter_model.safetensors`;
  const modelFile = `${directory.model}/model.safetensors`;
  show({
    event: "done",
    lossBefore: before?.loss ?? null,
    lossAfter: after?.loss ?? null,
    steps: values.steps,
    seed: values.seed,
    tokensPerSecond: end.tokensPerSecond,
    adapterSha256: adapter === null ? null : sha256(adapterFile),
    modelSha256: adapter === null ? sha256(modelFile) : null,
    mergeDifference,
    seconds: end.seconds,
    memoryBytes: engine.memoryBytes,
    adapter: adapter === null ? null : directory.adapter,
    model: adapter === null ? directory.model : directory.merged,
  });
}

function sha256(path: string): string {
  return createHash("sha256").update(readFile(path)).digest("hex");
}
