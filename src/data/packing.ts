// From documents to rows of a fixed length.
//   packDocuments  many short documents share rows; they do not see each other (batch.ts)
//   cutBlocks      long texts are laid end to end and cut into rows, the raster shifted from epoch to epoch
//   cutWhole       one text is cut into rows from its beginning on
// A document of n tokens has n - 1 pairs (input, target) and takes n - 1 places; one that is longer than a row is cut
// into segments, each of which starts afresh. Every trained target stands in exactly one place.
// Rows are made when they are asked for: what is kept of a document is a few numbers.
import type { Row, Segment } from "./batch.ts";
import { joinIds } from "./documentTokens.ts";
import { RoomIndex } from "./roomIndex.ts";

/** A token sequence of which the targets from `trainedFrom` on are trained. */
export interface PackInput {
  readonly tokens: Int32Array;
  readonly trainedFrom: number;
}

/** Documents that can be asked for one by one. */
export interface PackInputs {
  readonly count: number;
  /** How many tokens a document has. */
  size(index: number): number;
  trainedFrom(index: number): number;
  tokens(index: number): Int32Array;
}

/** Rows that can be asked for one by one, at a shift from 0 to `slack`. */
export interface RowSource {
  readonly count: number;
  readonly slack: number;
  row(index: number, shift: number): Row;
}

// The segments of documents, two numbers each, in the order of documents.
class Segments {
  readonly count: number;
  readonly #inputs: PackInputs;
  readonly #blockSize: number;
  readonly #documents: Int32Array;
  readonly #froms: Int32Array;

  constructor(inputs: PackInputs, blockSize: number) {
    this.#inputs = inputs;
    this.#blockSize = blockSize;
    let count = 0;
    eachSegment(inputs, blockSize, () => count++);
    this.count = count;
    this.#documents = new Int32Array(count);
    this.#froms = new Int32Array(count);
    count = 0;
    eachSegment(inputs, blockSize, (document, from) => {
      this.#documents[count] = document;
      this.#froms[count++] = from;
    });
  }

  length(index: number): number {
    const size = this.#inputs.size(this.#documents[index]!);
    return Math.min(this.#blockSize, size - 1 - this.#froms[index]!);
  }

  segment(index: number): Segment {
    const document = this.#documents[index]!;
    return {
      tokens: this.#inputs.tokens(document),
      from: this.#froms[index]!,
      length: this.length(index),
      trainedFrom: this.#inputs.trainedFrom(document),
    };
  }

  /** The segments, the longest first, and of equals the first. */
  longestFirst(): Int32Array {
    const places = new Int32Array(this.#blockSize + 1);
    for (let i = 0; i < this.count; i++) places[this.length(i) - 1]!++;
    for (let length = this.#blockSize - 1; length >= 0; length--) {
      places[length]! += places[length + 1]!;
    }
    const order = new Int32Array(this.count);
    for (let i = 0; i < this.count; i++) order[places[this.length(i)]!++] = i;
    return order;
  }
}

function eachSegment(
  inputs: PackInputs,
  blockSize: number,
  take: (document: number, from: number) => void,
): void {
  for (let d = 0; d < inputs.count; d++) {
    const size = inputs.size(d);
    for (let from = 0; from + 1 < size; from += blockSize) {
      const length = Math.min(blockSize, size - 1 - from);
      // A stretch of nothing but prompt would be computed for no target.
      if (from + length + 1 > inputs.trainedFrom(d)) take(d, from);
    }
  }
}

/**
 * Packs documents into rows of `blockSize`: the longest segments first, each into the fullest row that still has room
 * (best fit decreasing). The same documents in the same order give the same rows.
 */
export function packRows(inputs: PackInputs, blockSize: number): RowSource {
  const segments = new Segments(inputs, blockSize);
  // A row's segments are a ring: the last one is known, and the next of it is the first. The rows that have a number of
  // places left are a list, whose end is 0.
  const lastOf = new Int32Array(segments.count + 1);
  const nextSegment = new Int32Array(segments.count);
  const withRoom = new Int32Array(blockSize + 1);
  const nextRow = new Int32Array(segments.count + 1);
  const rooms = new RoomIndex(blockSize);
  let count = 0;
  for (const index of segments.longestFirst()) {
    const length = segments.length(index);
    let room = rooms.next(length);
    let row: number;
    if (room < 0) {
      row = ++count;
      room = blockSize;
      nextSegment[index] = index;
    } else {
      row = withRoom[room]!;
      withRoom[room] = nextRow[row]!;
      if (withRoom[room] === 0) rooms.remove(room);
      const last = lastOf[row]!;
      nextSegment[index] = nextSegment[last]!;
      nextSegment[last] = index;
    }
    lastOf[row] = index;
    room -= length;
    nextRow[row] = withRoom[room]!;
    withRoom[room] = row;
    rooms.add(room);
  }
  const lasts = lastOf.slice(0, count + 1);
  return {
    count,
    slack: 0,
    row(index) {
      const row: Segment[] = [];
      const last = lasts[index + 1]!;
      let s = last;
      do {
        s = nextSegment[s]!;
        row.push(segments.segment(s));
      } while (s !== last);
      return row;
    },
  };
}

/** Documents that are all there. */
export function listInputs(documents: readonly PackInput[]): PackInputs {
  return {
    count: documents.length,
    size: (index) => documents[index]!.tokens.length,
    trainedFrom: (index) => documents[index]!.trainedFrom,
    tokens: (index) => documents[index]!.tokens,
  };
}

/** `packRows` of documents that are all there, as rows that are all there. */
export function packDocuments(documents: readonly PackInput[], blockSize: number): Row[] {
  const { count, row } = packRows(listInputs(documents), blockSize);
  return Array.from({ length: count }, (_, index) => row(index, 0));
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

/**
 * All pairs of a text in order, each once, the last row filled up with padding.
 * @param before the token before the text, which the first one is predicted from; without it that one is not
 */
export function cutWhole(tokens: Int32Array, blockSize: number, before?: number): RowSource {
  const extra = before === undefined ? 0 : 1;
  const pairs = Math.max(0, tokens.length + extra - 1);
  return {
    count: Math.ceil(pairs / blockSize),
    slack: 0,
    row(index) {
      const length = Math.min(blockSize, pairs - index * blockSize);
      const from = index * blockSize - extra;
      if (before === undefined || index > 0) return [{ tokens, from, length, trainedFrom: 0 }];
      const first = joinIds([[before], tokens.subarray(0, length)]);
      return [{ tokens: first, from: 0, length, trainedFrom: 0 }];
    },
  };
}
