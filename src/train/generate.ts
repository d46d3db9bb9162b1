// Text generation: the prompt in one forward pass, then a token at a time over a cache of keys and values; of several
// prompts of one length, a token of each.

import { expectModel } from "../adapters/set.ts";
import { UsageError } from "../core/error.ts";
import { isNumberList, kindOf, wrongKind } from "../core/kind.ts";
import { Field } from "../core/op.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { Generator } from "../core/random.ts";
import { recording } from "../core/recording.ts";
import { optionName } from "../core/wording.ts";
import { expectInWindow, KvCache } from "../nn/cache.ts";
import type { Transformer } from "../nn/transformer.ts";
import { type Captured, capture } from "../tensor/capture.ts";
import { tensor } from "../tensor/create.ts";
import { splitSeed } from "../tensor/random.ts";
import { noGrad, scope } from "../tensor/scope.ts";
import { slice } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkSampling, SAMPLE_OPTIONS, type SampleOptions, sample } from "./sample.ts";

/** How much is generated, from which draws, and where it ends. */
export interface GenerateOptions extends SampleOptions {
  /** Most tokens to make; default 100. */
  readonly maxNewTokens?: number;
  /** Seed of the draws; default 0. */
  readonly seed?: number;
  /** Ids that end the text; they are not part of the result. Default: the model's end tokens. */
  readonly stopTokens?: readonly number[];
}

/** Positions that a cache has at first, if so many are asked for. */
const FIRST_ROOM = 2048;

/** Logits [B, 1, V] after the last of `ids` [B, T], which follow what the cache holds. */
function lastLogits(model: Transformer, ids: Int32Array, cache: KvCache): Tensor {
  const { batchSize } = cache;
  const length = ids.length / batchSize;
  return noGrad(() => {
    const input = tensor(ids, { shape: [batchSize, length] });
    const hidden = model.hidden(input, { cache });
    return model.head.forward(length > 1 ? slice(hidden, 1, length - 1, length) : hidden);
  });
}

/** `lastLogits` as numbers. A pass of one token each is captured, and further ones replay it. */
class Stepper {
  readonly #model: Transformer;
  readonly #cache: KvCache;
  readonly #step: Captured<[Int32Array], Tensor>;
  #captures = true;
  #logits = new Float32Array(0);

  constructor(model: Transformer, cache: KvCache) {
    this.#model = model;
    this.#cache = cache;
    this.#step = capture((ids) => lastLogits(model, ids, cache));
  }

  /** Logits [B, V], until the next call. */
  logits(ids: Int32Array): Float32Array {
    const { engine } = this.#model;
    const isShort = ids.length === this.#cache.batchSize;
    if (isShort && this.#captures && engine.scopes.length === 0 && recording() === null) {
      const { length } = this.#cache;
      try {
        return this.#read(this.#step(ids));
      } catch {
        // A layer that was put in from outside may do what cannot be captured. Any other error will come again.
        this.#captures = false;
        this.#step.dispose();
        this.#cache.length = length;
      }
    }
    return scope(() => this.#read(lastLogits(this.#model, ids, this.#cache)));
  }

  /** `toArray` into one array again and again: making one takes longer than filling it. */
  #read({ engine, address, size }: Tensor): Float32Array {
    if (this.#logits.length !== size) this.#logits = new Float32Array(size);
    const at = ((engine.i32[(address + Field.data) >>> 2] ?? 0) >>> 0) / 4;
    this.#logits.set(engine.f32.subarray(at, at + size));
    return this.#logits;
  }

  dispose(): void {
    this.#step.dispose();
    this.#cache.dispose();
  }
}

const GENERATE_OPTIONS: OptionNames<GenerateOptions> = {
  ...SAMPLE_OPTIONS,
  maxNewTokens: true,
  seed: true,
  stopTokens: true,
};

function expectTokens(prompt: ArrayLike<number>, vocabSize: number): void {
  if (!isNumberList(prompt)) {
    throw wrongKind(
      "The prompt",
      prompt,
      "an array of token ids",
      typeof prompt === "string" ? "Encode it: model.tokenizer.encode(prompt)." : "",
    );
  }
  const at = Array.from(prompt).findIndex(
    (id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize),
  );
  if (at < 0) return;
  throw new UsageError(
    `The prompt holds ${prompt[at]} at [${at}]; a token id must be a whole number from 0 to ${vocabSize - 1}. Make ids with the model's tokenizer.`,
  );
}

/** Tokens that follow prompts of one length, a step of all of them at a time; null where one has ended. */
function* decode(
  model: Transformer,
  prompts: readonly ArrayLike<number>[],
  seeds: readonly number[],
  options: GenerateOptions,
): IterableIterator<readonly (number | null)[]> {
  expectModel(model);
  expectOptions(options, GENERATE_OPTIONS, "generate");
  const sampling = checkSampling(options);
  const { maxNewTokens = 100, stopTokens = model.stopTokens } = options;
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 0) {
    throw new UsageError(
      `${optionName("maxNewTokens")} is ${kindOf(maxNewTokens)}; it must be a whole number of at least 0.`,
    );
  }
  if (!isNumberList(stopTokens))
    throw wrongKind(optionName("stopTokens"), stopTokens, "an array of token ids");
  for (const prompt of prompts) expectTokens(prompt, model.config.vocabSize);
  const length = prompts[0]?.length ?? 0;
  if (length === 0) {
    throw new UsageError("The prompt is empty; generation needs at least one token to start from.");
  }
  const { maxPositions: capacity, window } = model.config;
  // The last token that is made is not looked at again.
  if (window !== undefined) expectInWindow(length + Math.max(0, maxNewTokens - 1), window);
  const half = Math.max(1, Math.floor(capacity / 2));
  const rows = prompts.map((prompt, i) => ({
    text: Array.from(prompt),
    random: new Generator(seeds[i] ?? 0),
    ended: false,
  }));
  const { engine, training } = model;
  // Tokens that each text has and the cache lacks.
  let pending = length > capacity ? half : length;
  const most = Math.min(capacity, pending + maxNewTokens);
  // Often a text ends long before its limit: the cache begins small, and doubles.
  let room = Math.min(most, Math.max(FIRST_ROOM, 2 * pending));
  let cache = engine.run(() => new KvCache(model.config, rows.length, room));
  let stepper = new Stepper(model, cache);
  model.eval();
  try {
    for (let made = 0; made < maxNewTokens; made++) {
      if (cache.length + pending > room && room < most) {
        room = Math.min(most, 2 * room);
        const grown = engine.run(() => cache.grown(model.config, room));
        stepper.dispose();
        cache = grown;
        stepper = new Stepper(model, cache);
      } else if (cache.length + pending > room) {
        cache.length = 0;
        pending = Math.min(half, room);
      }
      const ids = new Int32Array(rows.length * pending);
      rows.forEach(({ text }, i) => {
        for (let t = 0; t < pending; t++) ids[i * pending + t] = text[text.length - pending + t]!;
      });
      const logits = engine.run(() => stepper.logits(ids));
      const vocabulary = logits.length / rows.length;
      const step = rows.map((row, i) => {
        const own = logits.subarray(i * vocabulary, (i + 1) * vocabulary);
        // What has ended is computed on with the rest, whatever it says.
        const next = row.ended ? 0 : engine.run(() => sample(own, sampling, row.random));
        row.ended ||= stopTokens.includes(next);
        row.text.push(next);
        return row.ended ? null : next;
      });
      if (rows.every(({ ended }) => ended)) return;
      pending = 1;
      yield step;
    }
  } finally {
    stepper.dispose();
    model.train(training);
  }
}

/**
 * Tokens that follow `prompt`, one by one. When the positions run out, the later half of the text so far is kept
 * as context and the rest forgotten; where they end because attention slides over a window, that is refused.
 * @throws ShapeError for more tokens than the window, UsageError for an empty prompt, what is no token id, or options that make no sense, LowrankError when logits are NaN or infinite
 */
export function* generateTokens(
  model: Transformer,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): IterableIterator<number> {
  for (const [next] of decode(model, [prompt], [options?.seed ?? 0], options)) yield next ?? 0;
}

/** All tokens that follow `prompt`; see `generateTokens`. */
export function generate(
  model: Transformer,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): number[] {
  return [...generateTokens(model, prompt, options)];
}

/**
 * All tokens that follow each of several prompts: those that `generate` gives for prompt i with the seed `seed` + i.
 * Prompts of one length share each pass through the model, so that its weights are read once for all of them.
 * @throws UsageError for an empty prompt, what is no token id, or options that make no sense, LowrankError when logits are NaN or infinite
 */
export function generateBatch(
  model: Transformer,
  prompts: readonly ArrayLike<number>[],
  options: GenerateOptions = {},
): number[][] {
  expectModel(model);
  expectOptions(options, GENERATE_OPTIONS, "generateBatch");
  if (!Array.isArray(prompts)) {
    throw wrongKind("What generateBatch goes on from", prompts, "an array of prompts");
  }
  for (const prompt of prompts) expectTokens(prompt, model.config.vocabSize);
  const made = prompts.map((): number[] => []);
  const { seed = 0 } = options;
  splitSeed(seed);
  for (const length of new Set(prompts.map((prompt) => prompt.length))) {
    const group = [...prompts.keys()].filter((i) => prompts[i]?.length === length);
    const alike = group.map((i) => prompts[i] ?? []);
    const seeds = group.map((i) => seed + i);
    for (const step of decode(model, alike, seeds, options)) {
      step.forEach((token, row) => {
        if (token !== null) made[group[row] ?? 0]?.push(token);
      });
    }
  }
  return made;
}
