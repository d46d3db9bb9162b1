// What a model is trained on: rows of tokens with what each should predict.

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
