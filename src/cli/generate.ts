// `lowrank generate`: lets a model write on. The text goes to standard output as it comes, the speed to standard error.

import { setImmediate as nextTurn } from "node:timers/promises";
import { DecodeStream } from "../data/tokenizer.ts";
import { loadAdapter } from "../io/adapter.ts";
import { generateTokens } from "../train/generate.ts";
import type { Arguments } from "./arguments.ts";
import { type Command, defineCommand } from "./command.ts";
import { GENERATE, MOST, RUN } from "./defaults.ts";
import { duration, plural, whole } from "./format.ts";
import { count, type OptionsFor, real, text } from "./option.ts";
import {
  adapterOption,
  engineOptions,
  jsonOption,
  modelOption,
  openModel,
  promptTokens,
  startEngine,
} from "./session.ts";
import type { Terminal } from "./terminal.ts";

interface GenerateValues {
  readonly model: string | undefined;
  readonly adapter: string | undefined;
  readonly prompt: string | undefined;
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly seed: number;
  readonly threads: number | undefined;
  readonly deterministic: boolean;
  readonly wideVectors: boolean;
  readonly json: boolean;
}

const options: OptionsFor<GenerateValues> = {
  model: modelOption,
  adapter: adapterOption,
  prompt: text(
    "TEXT",
    "what the text begins with (default the begin token, where the model has one)",
  ),
  maxNewTokens: count(
    GENERATE.maxNewTokens,
    { most: MOST.newTokens },
    "most tokens to make; an end token ends earlier",
  ),
  temperature: real(
    GENERATE.temperature,
    { least: 0 },
    "0 takes the likeliest token always, 1 draws as the model says",
  ),
  topK: count(GENERATE.topK, {}, "draw from the k likeliest tokens; 0 for all"),
  topP: real(
    GENERATE.topP,
    { above: 0, most: 1 },
    "draw from the likeliest tokens that together reach this probability",
  ),
  seed: count(RUN.seed, {}, "seed of the draws"),
  ...engineOptions,
  json: jsonOption,
};

export const generateCommand: Command = defineCommand({
  name: "generate",
  summary: "let a model write on from a prompt",
  description:
    "Writes the prompt and what follows it to standard output, token by token. The same options and seed give the " +
    "same text.",
  examples: [
    ['--prompt "My fellow citizens"', "the embedded model"],
    ['--adapter lowrank-out/adapter --prompt "And it came to pass"', "with an adapter"],
    ['--prompt "The" --temperature 0 --max-new-tokens 20', "the likeliest tokens"],
  ],
  options,
  run,
});

async function run(
  { values }: Arguments<OptionsFor<GenerateValues>>,
  terminal: Terminal,
): Promise<number> {
  const { json, maxNewTokens, temperature, topK, topP, seed } = values;
  const { style } = terminal;
  await startEngine(values);
  const model = await openModel(values.model);
  const adapter = values.adapter === undefined ? null : await loadAdapter(model, values.adapter);
  for (const message of [...model.warnings, ...(adapter?.warnings ?? [])]) {
    if (json) terminal.event({ event: "warning", message });
    else terminal.note(message);
  }
  if (adapter === null) model.freeze();
  const prompt = values.prompt ?? "";
  const ids = promptTokens(model, prompt);
  const stream = new DecodeStream(model.tokenizer);
  let written = "";
  const write = (piece: string, token: number | null): void => {
    written += piece;
    if (json) terminal.event({ event: "token", token, text: piece });
    else terminal.copy(piece);
  };
  if (!json) terminal.copy(prompt, style.dim);
  const before = performance.now();
  let tokens = 0;
  for (const token of generateTokens(model, ids, { maxNewTokens, temperature, topK, topP, seed })) {
    tokens++;
    write(stream.push(token), token);
    // That is when a reader who has gone away is noticed.
    await nextTurn();
  }
  const rest = stream.end();
  if (rest !== "") write(rest, null);
  const seconds = (performance.now() - before) / 1000;
  const tokensPerSecond = seconds > 0 ? tokens / seconds : 0;
  if (json) {
    const done = {
      event: "done",
      prompt,
      text: written,
      promptTokens: ids.length,
      tokens,
      seed,
      seconds,
      tokensPerSecond,
    };
    terminal.event(done);
    return 0;
  }
  terminal.line();
  const speed = `${plural(tokens, "token")} in ${duration(seconds)}, ${whole(tokensPerSecond)} a second`;
  terminal.note(terminal.noteStyle.dim(speed));
  return 0;
}
