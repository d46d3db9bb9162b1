// A measured quantity: the median of its rounds, and the 10th and 90th percentile, between which most rounds lie.

/** What rounds of a measurement have in common. */
export interface Figure {
  readonly median: number;
  /** 10th percentile. */
  readonly low: number;
  /** 90th percentile. */
  readonly high: number;
}

/** The figure of some rounds; percentiles are the nearest values that occurred. */
export function figure(values: readonly number[]): Figure {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
  return { median: at(0.5), low: at(0.1), high: at(0.9) };
}

/** "0.79 (0.77-0.82)" */
export function asRatio({ median, low, high }: Figure): string {
  return `${median.toFixed(2)} (${low.toFixed(2)}-${high.toFixed(2)})`;
}

/** "94 % (92-95)" */
export function asShare({ median, low, high }: Figure): string {
  const percent = (value: number): string => (100 * value).toFixed(0);
  return `${percent(median)} % (${percent(low)}-${percent(high)})`;
}

/** "12,345 (11,900-12,600)" */
export function asCount({ median, low, high }: Figure): string {
  const whole = (value: number): string => Math.round(value).toLocaleString("en-US");
  return `${whole(median)} (${whole(low)}-${whole(high)})`;
}
