// Loss on held-out text.

import { expectModel } from "../adapters/set.ts";
import { UsageError } from "../core/error.ts";
import { expectNumber, expectObject, isIterable, wrongKind } from "../core/kind.ts";
import { optionName } from "../core/wording.ts";
import { Dataset } from "../data/dataset.ts";
import { checkBatch, type TokenBatch } from "../nn/batch.ts";
import type { Transformer } from "../nn/transformer.ts";
import { noGrad, scope } from "../tensor/scope.ts";

/** What a model predicts of held-out text. */
export interface Evaluation {
  /** Mean cross-entropy in nats a token. */
  readonly loss: number;
  /** exp(loss). */
  readonly perplexity: number;
  /** Tokens that were predicted. */
  readonly tokens: number;
}

/** Bits per byte of text: what a compressor with this model's predictions would need. */
export function bitsPerByte(evaluation: Evaluation, bytes: number): number {
  expectObject("An evaluation", evaluation, "what evaluate() gave");
  expectNumber("loss", evaluation.loss);
  expectNumber("tokens", evaluation.tokens);
  expectNumber("bytes", bytes);
  return (evaluation.loss * evaluation.tokens) / (Math.LN2 * bytes);
}

/** Tokens of a batch that are predicted. */
export function trainedTokens(batch: TokenBatch): number {
  let count = 0;
  for (const target of batch.targets) if (target >= 0) count++;
  return count;
}

/**
 * Tokens of a batch that the model reads, prompts included: all but padding. Padding is a document of its own at each
 * position, without a target.
 */
export function readTokens({ blockSize, targets, starts }: TokenBatch): number {
  let count = 0;
  for (let i = 0; i < targets.length; i++) {
    const at = i % blockSize;
    const isAlone = starts[i] === at && (at + 1 === blockSize || starts[i + 1] !== at);
    if (targets[i]! >= 0 || !isAlone) count++;
  }
  return count;
}

/**
 * The mean loss over the held-out part of a dataset, or over all of some batches, each token counted alike. Dropout is
 * off meanwhile.
 * @throws UsageError when there is nothing to predict
 * @example
 * const { loss, perplexity } = evaluate(model, data);
 */
export function evaluate(model: Transformer, data: Dataset | Iterable<TokenBatch>): Evaluation {
  expectModel(model);
  const batches = data instanceof Dataset ? data.validationBatches() : data;
  if (!isIterable(batches)) {
    throw wrongKind(
      "What is evaluated",
      batches,
      "a dataset, whose held-out part is taken, or batches",
      typeof batches === "object" ? "Put a single batch into an array." : "",
    );
  }
  const { engine, training } = model;
  model.eval();
  let sum = 0;
  let tokens = 0;
  try {
    for (const batch of batches) {
      checkBatch(batch);
      tokens += trainedTokens(batch);
      sum += engine.run(() =>
        scope(() => noGrad(() => model.loss(batch, { reduction: "sum" }).item())),
      );
    }
  } finally {
    model.train(training);
  }
  if (tokens === 0) {
    throw new UsageError(
      `There is nothing to evaluate: no batch holds a target. Hold out a part of the text (${optionName("validation")} above 0).`,
    );
  }
  const loss = sum / tokens;
  return { loss, perplexity: engine.wasm.f64Exp(loss), tokens };
}
