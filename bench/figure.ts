// A measured figure. Its best is the best round against the best round: what a target looks at, since a disturbance
// only ever makes a round slower. The median of what single rounds gave, with the 10th and 90th percentile, between
// which most of them lie, says how far to trust it.

/** What the rounds of a measurement have in common. */
export interface Figure {
  /** Of the fastest rounds. */
  readonly best: number;
  readonly median: number;
  /** 10th percentile. */
  readonly low: number;
  /** 90th percentile. */
  readonly high: number;
  readonly rounds: number;
}

/** The value that a share of the values do not exceed: the nearest one that occurred, NaN for none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
}

function spread(values: readonly number[], best: number): Figure {
  return {
    best,
    median: percentile(values, 0.5),
    low: percentile(values, 0.1),
    high: percentile(values, 0.9),
    rounds: values.length,
  };
}

/** Times by themselves; the best is the shortest. */
export function timesFigure(times: readonly number[]): Figure {
  return spread(times, Math.min(...times));
}

/**
 * Times over times of the same rounds: below 1 where `over` is faster. The best is the shortest of the one over the
 * shortest of the other. Rounds that `counts` leaves out are not among the percentiles.
 */
export function quotient(
  over: readonly number[],
  under: readonly number[],
  counts: readonly boolean[] = over.map(() => true),
): Figure {
  const ratios = over.map((time, i) => time / (under[i] ?? Number.NaN));
  return spread(
    ratios.filter((_, i) => counts[i]),
    Math.min(...over) / Math.min(...under),
  );
}

/** The figure with each of its values changed by a function that rises. */
export function mapped(figure: Figure, change: (value: number) => number): Figure {
  const { best, median, low, high, rounds } = figure;
  return {
    best: change(best),
    median: change(median),
    low: change(low),
    high: change(high),
    rounds,
  };
}

/** A quantity that was counted once and not timed. */
export function counted(value: number): Figure {
  return { best: value, median: value, low: value, high: value, rounds: 1 };
}
