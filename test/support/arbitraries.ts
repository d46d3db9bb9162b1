// The vocabulary of the property tests: random shapes, and numbers to fill them.
// A property draws small things only (sizes, seeds), so that a failure prints a line that can be read and shrinks
// fast; the numbers are made from shape and seed by `fill`.

import * as fc from "fast-check";

/** A uniform generator on [0, 1), 32 bits of state (mulberry32 by T. Ettinger): for test data only. */
export function uniform(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How `fill` draws. */
export interface FillOptions {
  /** Bounds of the uniform numbers (default -2 and 2). */
  readonly min?: number;
  readonly max?: number;
  /** The share of elements that are exactly 0 (default 0). */
  readonly zeros?: number;
  /** Whole numbers in [min, max] only. */
  readonly integers?: boolean;
}

/**
 * Numbers for an array of `shape`, the same for the same seed. They are float32 numbers, so that a kernel and the
 * float64 reference see the same input; none but the wanted zeros is smaller than 2^-20 in magnitude, so that
 * relative bounds hold.
 */
export function fill(
  shape: readonly number[],
  seed: number,
  { min = -2, max = 2, zeros = 0, integers = false }: FillOptions = {},
): Float64Array {
  const size = shape.reduce((product, n) => product * n, 1);
  const next = uniform(seed);
  return Float64Array.from({ length: size }, () => {
    const isZero = next() < zeros;
    const u = next();
    if (isZero) return 0;
    if (integers) return Math.floor(min + u * (max - min + 1));
    const value = Math.fround(min + u * (max - min));
    const tiny = min >= 0 ? 2 ** -20 : Math.sign(value || 1) * 2 ** -20;
    return Math.abs(value) < 2 ** -20 ? tiny : value;
  });
}

/** A seed for `fill`. */
export const seed: fc.Arbitrary<number> = fc.integer({ min: 0, max: 2 ** 31 - 1 });

// Sizes where kernels go wrong: one, odd ones, and those on either side of a vector or tile.
const EDGES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65];

/** A size from 1 to `max`, often at the edge of a vector or tile. */
export function size(max: number): fc.Arbitrary<number> {
  const edges = EDGES.filter((edge) => edge <= max);
  return fc.oneof(fc.constantFrom(...edges), fc.integer({ min: 1, max }));
}

/** A size from 0 to `max`; 0 in about one case of ten. */
export function sizeOrZero(max: number): fc.Arbitrary<number> {
  return fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 9, arbitrary: size(max) });
}

/** Bounds of a shape. */
export interface ShapeOptions {
  readonly minRank?: number;
  readonly maxRank?: number;
  readonly maxSize?: number;
  /** Allow axes of size 0 (default false). */
  readonly zeros?: boolean;
}

/** A shape of 1 to 4 axes, each of 1 to 9 elements, unless told otherwise. */
export function shape({
  minRank = 1,
  maxRank = 4,
  maxSize = 9,
  zeros = false,
}: ShapeOptions = {}): fc.Arbitrary<number[]> {
  const axis = zeros ? sizeOrZero(maxSize) : size(maxSize);
  return fc.array(axis, { minLength: minRank, maxLength: maxRank });
}

/** Two shapes that broadcast: axes cut to 1 on either side, front axes missing on one side. */
export function broadcastPair(options: ShapeOptions = {}): fc.Arbitrary<[number[], number[]]> {
  return shape({ minRank: 0, maxRank: 3, ...options }).chain((full) => {
    const rank = full.length;
    const side = fc
      .tuple(fc.array(fc.boolean(), { minLength: rank, maxLength: rank }), fc.nat(rank))
      .map(([cut, missing]) => full.map((n, axis) => (cut[axis] ? 1 : n)).slice(missing));
    const whole = fc.constant(full);
    return fc.oneof(
      fc.tuple(whole, side),
      fc.tuple(side, whole),
      fc.tuple(side, side),
      fc.tuple(whole, whole),
    );
  });
}

/** A shape, an axis of it (negative ones too). */
export function shapeAndAxis(
  options: ShapeOptions = {},
): fc.Arbitrary<{ shape: number[]; axis: number }> {
  return shape({ minRank: 1, ...options }).chain((drawn) =>
    fc
      .integer({ min: -drawn.length, max: drawn.length - 1 })
      .map((axis) => ({ shape: drawn, axis })),
  );
}

/** A shape, and a set of its axes or undefined for all of them. */
export function shapeAndAxes(
  options: ShapeOptions = {},
): fc.Arbitrary<{ shape: number[]; axes: number[] | undefined }> {
  return shape(options).chain((drawn) =>
    fc
      .option(fc.subarray(drawn.map((_, axis) => axis)), { nil: undefined })
      .map((axes) => ({ shape: drawn, axes })),
  );
}

/** A shape and an order of its axes. */
export function shapeAndOrder(
  options: ShapeOptions = {},
): fc.Arbitrary<{ shape: number[]; order: number[] }> {
  return shape(options).chain((drawn) => {
    const axes = drawn.map((_, axis) => axis);
    return fc
      .shuffledSubarray(axes, { minLength: axes.length })
      .map((order) => ({ shape: drawn, order }));
  });
}

/** The sizes of an attention: B sequences, T tokens, H query heads on G key heads of width D. */
export interface AttentionSizes {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly G: number;
  readonly D: number;
}

/** Small sizes of an attention with 1 to 3 query heads a key head; D is even, so that rope applies too. */
export function attentionSizes(maxT = 12): fc.Arbitrary<AttentionSizes> {
  return fc
    .record({
      B: fc.integer({ min: 1, max: 3 }),
      T: size(maxT),
      G: fc.integer({ min: 1, max: 3 }),
      group: fc.integer({ min: 1, max: 3 }),
      half: fc.integer({ min: 1, max: 5 }),
    })
    .map(({ B, T, G, group, half }) => ({ B, T, H: G * group, G, D: 2 * half }));
}

/** starts [B, T]: rows cut into documents; every token has the index of the first token of its document. */
export function segmentStarts(
  B: number,
  T: number,
  seed: number,
  newDocument = 0.25,
): Float64Array {
  const next = uniform(seed);
  const starts = new Float64Array(B * T);
  for (let b = 0; b < B; b++) {
    let start = 0;
    for (let t = 0; t < T; t++) {
      if (next() < newDocument) start = t;
      starts[b * T + t] = start;
    }
  }
  return starts;
}
