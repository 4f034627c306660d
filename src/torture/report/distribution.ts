/** How values are spread; NaN each where there are none. */
export interface Distribution {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  /** All of them, in order. */
  readonly sorted: readonly number[];
}

/** A percentile is the smallest value that at least so many of a hundred don't exceed. */
export function distributionOf(values: readonly number[]): Distribution {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = (percent: number): number =>
    sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
  return { count: sorted.length, p50: rank(50), p90: rank(90), p99: rank(99), max: rank(100), sorted };
}
