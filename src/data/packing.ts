// From documents to rows of a fixed length.
//   packDocuments  many short documents share rows; they do not see each other (batch.ts)
//   cutBlocks      long texts are laid end to end and cut into rows, the raster shifted from epoch to epoch
// A document of n tokens has n - 1 pairs (input, target) and takes n - 1 places; one that is longer than a row is cut
// into segments, each of which starts afresh. Every trained target stands in exactly one place.
import { type Row, type Segment, trainedTargets } from "./batch.ts";

/** A token sequence of which the targets from `trainedFrom` on are trained. */
export interface PackInput {
  readonly tokens: Int32Array;
  readonly trainedFrom: number;
}

function cutDocument({ tokens, trainedFrom }: PackInput, blockSize: number): Segment[] {
  const segments: Segment[] = [];
  for (let from = 0; from + 1 < tokens.length; from += blockSize) {
    const length = Math.min(blockSize, tokens.length - 1 - from);
    const segment = { tokens, from, length, trainedFrom };
    // A stretch of nothing but prompt would be computed for no target.
    if (trainedTargets(segment) > 0) segments.push(segment);
  }
  return segments;
}

/**
 * Packs documents into rows of `blockSize`: the longest segments first, each into the fullest row that still has room
 * (best fit decreasing). The same documents in the same order give the same rows.
 */
export function packDocuments(documents: readonly PackInput[], blockSize: number): Row[] {
  const segments = documents.flatMap((document) => cutDocument(document, blockSize));
  segments.sort((a, b) => b.length - a.length);
  const rows: Segment[][] = [];
  // Rows by the number of places they have left.
  const rowsWithRoom: Segment[][][] = Array.from({ length: blockSize + 1 }, () => []);
  for (const segment of segments) {
    let room = segment.length;
    while (room <= blockSize && rowsWithRoom[room]!.length === 0) room++;
    let row = rowsWithRoom[room]?.pop();
    if (row === undefined) {
      row = [];
      rows.push(row);
      room = blockSize;
    }
    row.push(segment);
    rowsWithRoom[room - segment.length]!.push(row);
  }
  return rows;
}

/** Rows that can be asked for one by one, at a shift from 0 to `slack`. */
export interface RowSource {
  readonly count: number;
  readonly slack: number;
  row(index: number, shift: number): Row;
}

/** Packed rows as a source; they cannot be shifted. */
export function packedRows(rows: readonly Row[]): RowSource {
  return { count: rows.length, slack: 0, row: (index) => rows[index]! };
}

// Texts of more rows than this give one row up, so that the cuts can lie anywhere.
const SHIFTED_BLOCKS = 16;

/**
 * Full rows of `blockSize` pairs from long documents laid end to end; a row that reaches beyond the end of a document
 * goes on with the next one as a segment of its own. At least one row's worth of pairs is needed.
 *
 * The whole raster moves by `shift`: 0 to what is left over after the last row, and a row more where there are more
 * than 16. So every pair is at most once in a raster, fewer than two rows are left out, and others in each shift.
 */
export function cutBlocks(documents: readonly Int32Array[], blockSize: number): RowSource {
  // The pairs of document d are firsts[d] .. firsts[d + 1] of all.
  const firsts = [0];
  for (const tokens of documents) firsts.push(firsts.at(-1)! + Math.max(0, tokens.length - 1));
  const pairs = firsts.at(-1)!;
  const blocks = Math.floor(pairs / blockSize);
  const count = blocks > SHIFTED_BLOCKS ? blocks - 1 : blocks;

  function row(index: number, shift: number): Row {
    const segments: Segment[] = [];
    const end = shift + (index + 1) * blockSize;
    let at = end - blockSize;
    for (let d = lastAtMost(firsts, at); at < end; d++) {
      const length = Math.min(end, firsts[d + 1]!) - at;
      if (length === 0) continue;
      segments.push({ tokens: documents[d]!, from: at - firsts[d]!, length, trainedFrom: 0 });
      at += length;
    }
    return segments;
  }
  return { count, slack: pairs - count * blockSize, row };
}

// The last index of an ascending list whose value is at most `value`; the first value is.
function lastAtMost(ascending: readonly number[], value: number): number {
  let low = 0;
  let high = ascending.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! <= value) low = middle;
    else high = middle;
  }
  return low;
}

/** All pairs of a text in order, each once, the last row filled up with padding. */
export function cutWhole(tokens: Int32Array, blockSize: number): Row[] {
  return cutDocument({ tokens, trainedFrom: 0 }, blockSize).map((segment) => [segment]);
}
