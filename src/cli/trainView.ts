// `lowrank train` in words: what is trained, the held-out loss and a sample before and after, the steps with a curve
// of the loss, and what to do with the result.

import { withoutSecrets } from "../core/secrets.ts";
import { NEXT_PROMPT, VALIDATION } from "./defaults.ts";
import { bytes, duration, percent, plural, shellWord, small, whole, wrap } from "./format.ts";
import { ownInvocation } from "./invocation.ts";
import { type Point, plot } from "./plot.ts";
import { ProgressBar } from "./progressBar.ts";
import {
  adapterText,
  dataText,
  engineText,
  memoryText,
  modelText,
  row,
  trainableText,
} from "./summary.ts";
import type { Terminal, View } from "./terminal.ts";
import type { Done, EvaluationSummary, EventOf, TrainEvent } from "./trainEvents.ts";
import type { TrainValues } from "./trainOptions.ts";

const PLOT_ROWS = 9;
// Words of the prompt that is proposed.
const NEXT_WORDS = 3;
// Steps over which the loss of the progress line is a mean.
const SMOOTHING = 10;

type Handlers = { readonly [K in TrainEvent["event"]]: (event: EventOf<K>) => void };

/** Shows the events of a run as they come; `values` are the options that the next commands repeat. */
export function trainView(terminal: Terminal, values: TrainValues): View<TrainEvent> {
  const { style } = terminal;
  const say = (label: string, text: string) => row(terminal, label, text);
  const bar = new ProgressBar(terminal);
  const losses: Point[] = [];
  // Held-out loss before the first step.
  let before: number | null = null;
  // What the samples begin with.
  let sampled = "";

  const heading = (text: string) => terminal.line(`\n${style.bold(text)}`);

  const closeSteps = (): void => {
    bar.end();
    const picture = plot(losses, {
      columns: terminal.columns - 2,
      rows: PLOT_ROWS,
      yLabel: "loss",
      xLabel: "step",
      style,
    });
    if (picture.length > 0) terminal.line();
    for (const text of picture) terminal.line(`  ${text}`);
  };

  const handlers: Handlers = {
    start(event) {
      const { run, model, adapter, budget } = event;
      const rows = `${run.batchSize} × ${run.blockSize} tokens`;
      const accumulated = run.accumulate > 1 ? `, ${run.accumulate} batches a step` : "";
      terminal.line(`${style.bold("lowrank")} ${event.version}`);
      terminal.line();
      say("Model", modelText(model));
      say("Adapter", adapter === null ? "none: every weight trains" : adapterText(adapter));
      say("Trains", trainableText(budget));
      say("Memory", memoryText(budget));
      say("Text", dataText(event.data));
      say(
        "Run",
        `${plural(run.steps, "step")} of ${rows}${accumulated}, AdamW at ${run.lr}, ${run.schedule} after ` +
          `${run.warmupSteps} steps of warm-up, seed ${run.seed}`,
      );
      say("Engine", engineText(event.engine));
      say("Output", run.out);
    },
    warning: ({ message }) => say("Note", message),
    resumed({ step, checkpoint, skipped, lossBefore }) {
      before = lossBefore;
      heading("Resumed");
      for (const { reason } of skipped) say("Skipped", reason);
      say("From", `${checkpoint}, ${plural(step, "step")} done`);
    },
    evaluation(event) {
      if (event.when === "during") {
        bar.end();
        say(`Step ${event.step}`, `held out: ${evaluationText(event)}`);
        return;
      }
      heading(event.when === "before" ? "Before" : "After");
      if (event.when === "before") before = event.loss;
      say("Held out", evaluationText(event));
      if (event.when === "after" && before !== null)
        say("", changeText(before, event.loss, style.good));
    },
    sample({ prompt, text }) {
      sampled = prompt;
      const lines = wrap(`${prompt}${text}`.trim(), terminal.columns - 6);
      terminal.line();
      for (const line of lines) terminal.line(`    ${style.dim("│")} ${line}`);
    },
    step(event) {
      if (losses.length === 0) heading("Training");
      losses.push([event.step, event.loss]);
      const recent = losses.slice(-SMOOTHING);
      const loss = recent.reduce((sum, [, value]) => sum + value, 0) / recent.length;
      bar.show({ ...event, loss });
      if (event.step === event.steps) closeSteps();
    },
    checkpoint: () => {},
    saved: () => {},
    merged({ largestDifference, largestLogit, tokens }) {
      heading("Merged");
      say(
        "Difference",
        `${small(largestDifference)} at most between the logits of the merged and the unmerged model, which reach ` +
          `${largestLogit.toFixed(1)} (${plural(tokens, "token")})`,
      );
    },
    interrupted({ step, checkpoint, resume }) {
      closeSteps();
      heading("Stopped");
      say("State", `${checkpoint}, ${plural(step, "step")} done`);
      say("Go on", style.accent(resume));
    },
    done(event) {
      heading("Saved");
      for (const [label, text] of savedRows(event)) say(label, text);
      heading("Next");
      for (const command of nextCommands(event, values, sampled))
        terminal.line(`  ${style.accent(command)}`);
    },
  };
  return (event) => (handlers[event.event] as (event: TrainEvent) => void)(event);
}

function evaluationText({ loss, perplexity, bitsPerByte, tokens }: EvaluationSummary): string {
  const shown = perplexity < 1000 ? perplexity.toFixed(1) : small(perplexity);
  return `loss ${loss.toFixed(4)}, perplexity ${shown}, ${bitsPerByte.toFixed(3)} bits per byte (${plural(tokens, "token")})`;
}

function changeText(before: number, after: number, good: (text: string) => string): string {
  const share = 1 - after / before;
  const change = share >= 0 ? good(`${percent(share)} lower`) : `${percent(-share)} higher`;
  return `${change} than before (${before.toFixed(4)})`;
}

function savedRows(event: Done): [string, string][] {
  const { adapter, model, adapterSha256, modelSha256, seconds, tokensPerSecond } = event;
  const rows: [string, string][] = [];
  if (adapter !== null) rows.push(["Adapter", adapter]);
  if (adapterSha256 !== null) rows.push(["SHA-256", adapterSha256]);
  rows.push([adapter === null ? "Model" : "Merged", model]);
  if (modelSha256 !== null) rows.push(["SHA-256", modelSha256]);
  const speed = tokensPerSecond > 0 ? `, ${whole(tokensPerSecond)} tokens per second` : "";
  rows.push([
    "Time",
    `${duration(seconds)} of training${speed}; the engine holds ${bytes(event.memoryBytes)}`,
  ]);
  return rows;
}

/** What to try with the result. */
function nextCommands({ adapter, model }: Done, values: TrainValues, sampled: string): string[] {
  const option = (name: string, value: string | number | undefined) =>
    value === undefined ? "" : ` ${name} ${shellWord(withoutSecrets(String(value)))}`;
  const tuned =
    adapter === null
      ? option("--model", model)
      : `${option("--model", values.model)}${option("--adapter", adapter)}`;
  const held = values.validation === VALIDATION ? "" : option("--validation", values.validation);
  const text = `${option("--data", values.data)}${option("--block-size", values.blockSize)}${held}`;
  const own = values.data === undefined ? NEXT_PROMPT : firstWords(sampled);
  const lowrank = ownInvocation();
  return [
    `${lowrank} generate${tuned}${option("--prompt", values.samplePrompt ?? own)}`,
    `${lowrank} eval${tuned}${text}`,
    `${lowrank} inspect ${shellWord(adapter ?? model)}`,
  ];
}

/** A few words that begin a text, without control tokens before them; undefined if there are none. */
function firstWords(text: string): string | undefined {
  const line = text.replace(/^(?:\s|<[^\s<>]*>)+/, "").split(/[\n\ufffd]/)[0] ?? "";
  const words = line.trim().split(/\s+/).slice(0, NEXT_WORDS).join(" ");
  return words === "" ? undefined : words;
}
