// Text generation: the prompt in one forward pass, then a token at a time over a cache of keys and values.

import { UsageError } from "../core/error.ts";
import { Generator } from "../core/random.ts";
import { KvCache } from "../nn/cache.ts";
import type { Transformer } from "../nn/transformer.ts";
import { tensor } from "../tensor/create.ts";
import { noGrad, scope } from "../tensor/scope.ts";
import { slice } from "../tensor/shape.ts";
import { checkSampling, type SampleOptions, sample } from "./sample.ts";

/** How much is generated, from which draws, and where it ends. */
export interface GenerateOptions extends SampleOptions {
  /** Most tokens to make; default 100. */
  readonly maxNewTokens?: number;
  /** Seed of the draws; default 0. */
  readonly seed?: number;
  /** Ids that end the text; they are not part of the result. Default: the model's end tokens. */
  readonly stopTokens?: readonly number[];
}

/** Logits [V] after the last of `ids`, which follow what the cache holds. */
function nextLogits(model: Transformer, ids: readonly number[], cache: KvCache): Float32Array {
  return scope(() =>
    noGrad(() => {
      const input = tensor(Int32Array.from(ids), { shape: [1, ids.length] });
      const hidden = model.hidden(input, { cache });
      const last = slice(hidden, 1, ids.length - 1, ids.length);
      return model.head.forward(last).toArray() as Float32Array;
    }),
  );
}

/**
 * Tokens that follow `prompt`, one by one. When the positions run out, the later half of the text so far is kept
 * as context and the rest forgotten.
 * @throws UsageError for an empty prompt or options that make no sense, LowrankError when logits are NaN or infinite
 */
export function* generateTokens(
  model: Transformer,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): IterableIterator<number> {
  const sampling = checkSampling(options);
  const { maxNewTokens = 100, seed = 0, stopTokens = model.config.eosTokenId } = options;
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 0) {
    throw new UsageError(
      `maxNewTokens is ${maxNewTokens}; it must be a whole number of at least 0.`,
    );
  }
  if (prompt.length === 0) {
    throw new UsageError("The prompt is empty; generation needs at least one token to start from.");
  }
  const capacity = model.config.maxPositions;
  const half = Math.max(1, Math.floor(capacity / 2));
  const random = new Generator(seed);
  const text = Array.from(prompt);
  let pending = text.length > capacity ? text.slice(-half) : text.slice();
  const { engine, training } = model;
  const room = Math.min(capacity, pending.length + maxNewTokens);
  const cache = engine.run(() => new KvCache(model.config, 1, room));
  model.eval();
  try {
    for (let made = 0; made < maxNewTokens; made++) {
      if (cache.length + pending.length > room) {
        cache.length = 0;
        pending = text.slice(-Math.min(half, room));
      }
      const next = engine.run(() => sample(nextLogits(model, pending, cache), sampling, random));
      if (stopTokens.includes(next)) return;
      text.push(next);
      pending = [next];
      yield next;
    }
  } finally {
    cache.dispose();
    model.train(training);
  }
}

/** All tokens that follow `prompt`; see `generateTokens`. */
export function generate(
  model: Transformer,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): number[] {
  return [...generateTokens(model, prompt, options)];
}
