/** The quantile of the normal distribution for 95 %, both sides together. */
const Z = 1.96;
const MAX_DIGITS = 6;

/** A share of all, from 0 to 1, and between what the true one lies, in 95 of 100 such campaigns. */
export interface Share {
  readonly count: number;
  readonly of: number;
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The score interval of E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
 * American Statistical Association 22 (1927), 209–212: unlike the usual one it says something of 0 of n and n of n, too. Of
 * nothing at all, anything may be true.
 */
export function shareOf(count: number, of: number): Share {
  if (of === 0) return { count, of, value: Number.NaN, low: 0, high: 1 };
  const value = count / of;
  const weight = 1 + Z ** 2 / of;
  const middle = (value + Z ** 2 / (2 * of)) / weight;
  const reach = (Z / weight) * Math.sqrt((value * (1 - value)) / of + Z ** 2 / (4 * of ** 2));
  // Exact at the ends, whatever the rounding.
  const low = count === 0 ? 0 : middle - reach;
  const high = count === of ? 1 : middle + reach;
  return { count, of, value, low, high };
}

/** "12 (9.8–15)" in per cent; "0 (≤ 0.04)" where it was never so, "100 (≥ 93)" where it always was; "–" of nothing. */
export function shareText({ count, of, value, low, high }: Share): string {
  if (of === 0) return "–";
  if (count === 0) return `0 (≤ ${percent(high)})`;
  if (count === of) return `100 (≥ ${percent(low)})`;
  return `${percent(value)} (${percent(low)}–${percent(high)})`;
}

/** About two digits that matter, without the sign: "0.04", "9.8", "42", and "99.96" where "100" would claim too much. */
function percent(share: number): string {
  const value = share * 100;
  if (value >= 99.5) return value.toFixed(Math.min(MAX_DIGITS, Math.ceil(-Math.log10(100 - value))));
  if (value >= 9.95) return value.toFixed(0);
  return value.toFixed(value >= 0.995 ? 1 : 2);
}
