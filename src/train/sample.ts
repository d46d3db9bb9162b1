// Choosing the next token from logits: greedy, or drawn after temperature, top-k and top-p (nucleus, Holtzman et
// al. 2020). The softmax is the engine's, so that draws are the same in every runtime.

import { LowrankError, UsageError } from "../core/error.ts";
import { expectInstance, expectTyped, kindOf } from "../core/kind.ts";
import { expectOptions, type OptionNames } from "../core/options.ts";
import { Generator } from "../core/random.ts";
import { optionName } from "../core/wording.ts";
import { tensor } from "../tensor/create.ts";
import { noGrad, scope } from "../tensor/scope.ts";
import { softmax } from "../tensor/softmax.ts";

/** How the next token is chosen. */
export interface SampleOptions {
  /** Logits are divided by it; 0 takes the likeliest token always. Default 0.8. */
  readonly temperature?: number;
  /** Only the k likeliest tokens are candidates; 0 means all. Default 0. */
  readonly topK?: number;
  /** Only the likeliest tokens that together reach this probability are candidates. Default 1: all. */
  readonly topP?: number;
}

export const SAMPLE_OPTIONS: OptionNames<SampleOptions> = {
  temperature: true,
  topK: true,
  topP: true,
};

/** Options with their defaults; throws UsageError for values that make no sense. */
export function checkSampling(options: SampleOptions): Required<SampleOptions> {
  const { temperature = 0.8, topK = 0, topP = 1 } = options;
  if (
    !(typeof temperature === "number" && temperature >= 0 && temperature < Number.POSITIVE_INFINITY)
  ) {
    throw new UsageError(
      `${optionName("temperature")} is ${kindOf(temperature)}; it must be a number of at least 0.`,
    );
  }
  if (!Number.isInteger(topK) || topK < 0) {
    throw new UsageError(
      `${optionName("topK")} is ${kindOf(topK)}; it must be a whole number, 0 for no limit.`,
    );
  }
  if (!(typeof topP === "number" && topP > 0 && topP <= 1)) {
    throw new UsageError(
      `${optionName("topP")} is ${kindOf(topP)}; it must be above 0 and at most 1.`,
    );
  }
  return { temperature, topK, topP };
}

/** The index of the largest logit, the first among equals; that of a NaN if there is one. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i]!;
    if (logit <= most) continue;
    // Only a NaN is neither above nor not above.
    if (!(logit > most)) return i;
    best = i;
    most = logit;
  }
  return best;
}

/**
 * Draws the next token; `logits` [V], -Infinity for one that cannot come.
 * @throws LowrankError when a logit is NaN, or the largest is infinite
 */
export function sample(logits: Float32Array, options: SampleOptions, random: Generator): number {
  expectOptions(options, SAMPLE_OPTIONS, "sample");
  const { temperature, topK, topP } = checkSampling(options);
  expectTyped("logits", logits, "Float32Array");
  expectInstance("What sample() draws from", random, Generator, "a Generator");
  const likeliest = argmax(logits);
  const top = logits[likeliest] ?? Number.NaN;
  if (!Number.isFinite(top)) {
    throw new LowrankError(
      "No token can be chosen: the logits are NaN or infinite. Check the weights of the model and its adapters.",
    );
  }
  if (temperature === 0) return likeliest;
  // The likeliest logit becomes 0: even the smallest temperature then overflows to -Infinity only.
  const scaled = logits.map((logit) => (logit - top) / temperature);
  const probabilities = scope(() => noGrad(() => softmax(tensor(scaled)).toArray()));
  const order = Int32Array.from(probabilities, (_, i) => i);
  if (topK > 0 || topP < 1) {
    // Likeliest first; equals in the order of their ids.
    order.sort((a, b) => (probabilities[b] ?? 0) - (probabilities[a] ?? 0) || a - b);
  }
  const limit = topK > 0 ? Math.min(topK, order.length) : order.length;
  let total = 0;
  let candidates = 0;
  while (candidates < limit && (candidates === 0 || total < topP)) {
    total += probabilities[order[candidates++] ?? 0] ?? 0;
  }
  let rest = random.uniform() * total;
  for (let i = 0; i < candidates; i++) {
    rest -= probabilities[order[i] ?? 0] ?? 0;
    if (rest < 0) return order[i] ?? 0;
  }
  return order[candidates - 1] ?? 0;
}
