// What the layers of one forward pass share, and what changes of it when virtual tokens stand before the text.

import { UsageError } from "../core/error.ts";
import { Field } from "../core/op.ts";
import { recording } from "../core/recording.ts";
import { embedding } from "../tensor/embedding.ts";
import { leaf } from "../tensor/record.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What every layer of a forward pass shares. */
export interface Context {
  readonly batchSize: number;
  readonly blockSize: number;
  /** Position of each token in its document, int32 [B, T]; `rotary` has all of them. */
  readonly positions: Tensor;
  /** First key that each query may see, int32 [B, T]; absent when that is 0 for all. */
  readonly starts?: Tensor;
  /** How many tokens are in the cache before these. */
  readonly offset: () => number;
  /** cos and sin of the rotary angles, [positions, d/2, 2]. */
  readonly rotary: Tensor | null;
  /** Blocks keep only their input for backward, which runs them again. */
  readonly recompute?: boolean;
  /** Keys and values [B, n, G, d] that attention puts before those of the text. */
  readonly prefix?: { readonly keys: Tensor; readonly values: Tensor };
  /** Positions that virtual tokens take in the cache without rows of their own. */
  readonly prefixTokens?: number;
}

/** Whether the pass begins its texts: with a cache, only the first one does. */
export function isBeginning({ offset }: Context): boolean {
  const isFirst = (): boolean => offset() === 0;
  recording()?.depends(isFirst);
  return isFirst();
}

/**
 * The context of a pass with n virtual tokens before each text, whose positions are 0 to n − 1.
 * @param rows whether the virtual tokens are rows of the hidden states; otherwise only keys and values
 * @throws UsageError for packed rows, where a text behind the first one would not see them
 */
export function preceded(context: Context, n: number, rows: boolean): Context {
  const { batchSize: b, blockSize: t, positions, starts, prefixTokens = 0 } = context;
  const before = rows ? n : 0;
  const width = before + t;
  return {
    ...context,
    blockSize: width,
    positions: leafOf([b, width], (row, column) => {
      if (column < before) return () => column;
      const position = reader(positions, row * t + column - before);
      return () => n + position();
    }),
    ...(starts === undefined
      ? {}
      : {
          starts: leafOf([b, width], (row, column) => {
            const start = reader(starts, row * t + Math.max(0, column - before));
            return () => expectUnpacked(start());
          }),
        }),
    prefixTokens: prefixTokens + (rows ? 0 : n),
  };
}

/** Rows [n, D] for each of b texts, [b·n, D]. */
export function repeated(rows: Tensor, b: number): Tensor {
  const n = rows.shape[0] ?? 0;
  const count = (out: Float32Array | Int32Array): void => {
    for (let i = 0; i < out.length; i++) out[i] = i % n;
  };
  return embedding(leaf([b * n], count, { dtype: "int32" }), rows);
}

/** Number `i` of an int32 tensor; replays of a captured step have written it anew. */
function reader({ engine, address }: Tensor, i: number): () => number {
  return () => {
    const data = (engine.i32[(address + Field.data) >>> 2] ?? 0) >>> 2;
    return engine.i32[data + i] ?? 0;
  };
}

/** An int32 tensor [rows, columns] of numbers that replays of a captured step ask for again. */
function leafOf(
  shape: readonly [number, number],
  at: (row: number, column: number) => () => number,
): Tensor {
  const [, columns] = shape;
  const fill = (out: Float32Array | Int32Array): void => {
    for (let i = 0; i < out.length; i++) {
      const value = at(Math.floor(i / columns), i % columns);
      out[i] = value();
      recording()?.moves(out.byteOffset + 4 * i, value);
    }
  };
  return leaf(shape, fill, { dtype: "int32" });
}

function expectUnpacked(start: number): number {
  if (start === 0) return 0;
  throw new UsageError(
    "The batch packs several texts into one row, but the adapter puts virtual tokens before each text. " +
      "Make batches with one text in a row.",
  );
}
