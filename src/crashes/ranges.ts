import type { Range } from "./history.ts";

/** A set of sectors: ranges in ascending order that neither overlap nor touch. */
export type Ranges = readonly Range[];

/** The set of all sectors in these ranges, whatever their order. */
export function union(ranges: Iterable<Range>): Ranges {
  const sorted = [...ranges].filter(({ from, to }) => from < to).sort((a, b) => a.from - b.from);
  const merged: Range[] = [];
  for (const range of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && range.from <= last.to) {
      merged[merged.length - 1] = { from: last.from, to: Math.max(last.to, range.to) };
    } else merged.push({ from: range.from, to: range.to });
  }
  return merged;
}

/** The sectors of `range` that aren't in `ranges`. */
export function gaps(ranges: Ranges, range: Range): Ranges {
  const left: Range[] = [];
  let at = range.from;
  for (const { from, to } of ranges) {
    if (to <= at) continue;
    if (from >= range.to) break;
    if (from > at) left.push({ from: at, to: from });
    at = to;
  }
  if (at < range.to) left.push({ from: at, to: range.to });
  return left;
}

/** The sectors of `range` that are in `ranges`. */
export function within(ranges: Ranges, range: Range): Ranges {
  const found: Range[] = [];
  for (const { from, to } of ranges) {
    if (from >= range.to) break;
    const both = { from: Math.max(from, range.from), to: Math.min(to, range.to) };
    if (both.from < both.to) found.push(both);
  }
  return found;
}
