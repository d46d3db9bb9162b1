// What a model is trained on: rows of tokens with what each should predict.

import { UsageError } from "../core/error.ts";
import { expectObject, expectTyped, kindOf } from "../core/kind.ts";

/** A batch of B rows of T tokens. All arrays are [B, T], row-major. */
export interface TokenBatch {
  readonly batchSize: number;
  readonly blockSize: number;
  readonly inputs: Int32Array;
  /** The token that follows; -100 where nothing is trained. */
  readonly targets: Int32Array;
  /** Where the token's document starts in its row: documents packed into one row do not see each other. */
  readonly starts: Int32Array;
  /** Position of the token in its document. */
  readonly positions: Int32Array;
}

const ARRAYS = ["inputs", "targets", "starts", "positions"] as const;

/** The parts of a batch, each read once; throws unless it is a batch of tokens. */
export function checkBatch(batch: TokenBatch): TokenBatch {
  expectObject("A batch", batch, "a batch of tokens, such as a dataset gives");
  const { batchSize, blockSize, inputs, targets, starts, positions } = batch;
  const parts = { batchSize, blockSize, inputs, targets, starts, positions };
  for (const key of ["batchSize", "blockSize"] as const) {
    if (Number.isInteger(parts[key]) && parts[key] >= 0) continue;
    throw new UsageError(
      `A batch's ${key} is ${kindOf(parts[key])}; expected a whole number of at least 0.`,
    );
  }
  for (const key of ARRAYS) expectTyped(`A batch's ${key}`, parts[key], "Int32Array");
  return parts;
}
