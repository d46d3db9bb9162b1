// A batch of token rows [B, T] and how it is put together from segments. Input t predicts target t + 1 of the same
// document; nothing crosses the border between two documents that share a row:
//   tokens     a0 a1 a2 a3        b0 b1 b2
//   inputs     a0 a1 a2           b0 b1        0 0     (the last token of a document predicts nothing)
//   targets    a1 a2 a3           b1 b2        -100 -100
//   starts     0  0  0            3  3         5 6     (position in the row where the token's document starts)
//   positions  0  1  2            0  1         0 0
// Padding is 0 with the target -100; each padded position is a segment of its own.

/** The target of a position that is not trained, as in PyTorch's cross-entropy. */
export const IGNORE_INDEX = -100;

/** Rows of tokens for one forward pass; B = batchSize, T = blockSize. */
export interface Batch {
  /** Token ids [B, T]. */
  readonly inputs: Int32Array;
  /** The token after each input [B, T], -100 where it is not trained. */
  readonly targets: Int32Array;
  /** The position in its row at which the token's document starts [B, T]. */
  readonly starts: Int32Array;
  /** The position in its document, t - starts[t] [B, T]. */
  readonly positions: Int32Array;
  readonly batchSize: number;
  readonly blockSize: number;
  /** How many targets are trained. */
  readonly trained: number;
}

/** Pairs (tokens[i], tokens[i + 1]) for i in [from, from + length), which stand together in one row. */
export interface Segment {
  readonly tokens: Int32Array;
  readonly from: number;
  readonly length: number;
  /** Targets with a smaller index in `tokens` (the prompt) are not trained. */
  readonly trainedFrom: number;
}

/** One row of a batch: segments from left to right, together at most blockSize long. */
export type Row = readonly Segment[];

/** How many targets of a segment are trained. */
export function trainedTargets(segment: Segment): number {
  const end = segment.from + segment.length + 1;
  return Math.max(0, end - Math.max(segment.trainedFrom, segment.from + 1));
}

/** Lays rows out as a batch; what they leave free is padding. */
export function makeBatch(rows: readonly Row[], blockSize: number): Batch {
  const size = rows.length * blockSize;
  const inputs = new Int32Array(size);
  const targets = new Int32Array(size).fill(IGNORE_INDEX);
  const starts = Int32Array.from({ length: size }, (_, i) => i % blockSize);
  const positions = new Int32Array(size);
  let trained = 0;
  for (const [b, row] of rows.entries()) {
    let start = 0;
    for (const { tokens, from, length, trainedFrom } of row) {
      for (let i = 0; i < length; i++) {
        const at = b * blockSize + start + i;
        inputs[at] = tokens[from + i]!;
        starts[at] = start;
        positions[at] = i;
        if (from + i + 1 < trainedFrom) continue;
        targets[at] = tokens[from + i + 1]!;
        trained++;
      }
      start += length;
    }
  }
  return { inputs, targets, starts, positions, batchSize: rows.length, blockSize, trained };
}
