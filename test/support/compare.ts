// Comparisons of number arrays that say what differs: the first five pairs, how many, and the largest difference.

/** The largest difference allowed: one number, or one for each element. */
export type Tolerance = number | ArrayLike<number> | ((index: number, expected: number) => number);

/** What a comparison may be told. */
export interface CompareOptions {
  /** Names the compared thing in the message. */
  readonly what?: string;
  /** Prints positions as coordinates instead of flat indices. */
  readonly shape?: readonly number[];
}

function toleranceAt(tolerance: Tolerance, index: number, expected: number): number {
  if (typeof tolerance === "number") return tolerance;
  if (typeof tolerance === "function") return tolerance(index, expected);
  return tolerance[index]!;
}

function positionOf(index: number, shape: readonly number[] | undefined): string {
  if (shape === undefined) return `[${index}]`;
  let rest = index;
  const coordinates = shape.toReversed().map((size) => {
    const coordinate = rest % size;
    rest = Math.floor(rest / size);
    return coordinate;
  });
  return `[${coordinates.reverse()}]`;
}

// Throws with the first five of the pairs for which `differs` holds.
function expectPairs(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { what = "the result", shape }: CompareOptions,
  rule: string,
  differs: (a: number, e: number, index: number) => string | undefined,
): void {
  if (actual.length !== expected.length) {
    throw new Error(`${what}: ${actual.length} numbers, expected ${expected.length}`);
  }
  const lines: string[] = [];
  let count = 0;
  let largest = 0;
  let largestAt = 0;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]!;
    const e = expected[i]!;
    const difference = Number.isNaN(a - e) ? Number.POSITIVE_INFINITY : Math.abs(a - e);
    const complaint = differs(a, e, i);
    if (complaint === undefined) continue;
    if (count === 0 || difference > largest) {
      largest = difference;
      largestAt = i;
    }
    if (count++ < 5) {
      lines.push(
        `  ${positionOf(i, shape)} ${a}, expected ${e}, difference ${difference}${complaint}`,
      );
    }
  }
  if (count === 0) return;
  const place = positionOf(largestAt, shape);
  throw new Error(
    [
      `${what}: ${count} of ${expected.length} numbers ${rule}`,
      ...lines,
      `  largest difference ${largest} at ${place}: ${actual[largestAt]}, expected ${expected[largestAt]}`,
    ].join("\n"),
  );
}

/**
 * Throws unless |actual - expected| <= tolerance everywhere. NaN equals NaN and an infinity equals itself;
 * against any other number both always differ.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
  options: CompareOptions = {},
): void {
  expectPairs(actual, expected, options, "differ by more than the tolerance", (a, e, i) => {
    if (Object.is(a, e) || a === e) return undefined;
    const allowed = toleranceAt(tolerance, i, e);
    return Number.isFinite(a - e) && Math.abs(a - e) <= allowed ? undefined : ` > ${allowed}`;
  });
}

/** Throws unless all numbers are the same to the bit, except that a zero of either sign counts as zero. */
export function expectSame(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  options: CompareOptions = {},
): void {
  expectPairs(actual, expected, options, "are not the same", (a, e) =>
    Object.is(a, e) || a === e ? undefined : "",
  );
}
