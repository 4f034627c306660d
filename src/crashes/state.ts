import { type History, type HistoryEntry, isChange, type Range, rangeOf } from "./history.ts";
import { gaps, type Ranges } from "./ranges.ts";

/**
 * What a power cut leaves: the changes that stand before an entry of the log, but for the sectors of some of them that never
 * reached the medium. A sector holds the newest change of it that isn't missing.
 */
export interface CrashState {
  /** The number of entries that had been sent to the disk when the power was cut. */
  readonly end: number;
  /** By the number of an entry, in ascending order: which sectors of the device it has not changed. No empty ones. */
  readonly missing: Missing;
}

export type Missing = ReadonlyMap<number, Ranges>;

export const NOTHING_MISSING: Missing = new Map();

/** A state from the sectors that are missing of each change; empty sets are left out. */
export function newState(end: number, missing: Iterable<readonly [number, Ranges]>): CrashState {
  const entries = [...missing].filter(([, ranges]) => ranges.length > 0).sort(([a], [b]) => a - b);
  return { end, missing: new Map(entries) };
}

/** Without these changes, and all else there. */
export function without(history: History, end: number, indices: Iterable<number>): CrashState {
  return newState(
    end,
    [...indices].map((index) => [index, [rangeOf(history, entryAt(history, index))]] as const),
  );
}

/** Whether nothing of the change is there. */
export function isWhollyMissing(history: History, missing: Missing, index: number): boolean {
  return presentOf(history, missing, index).length === 0;
}

/** The sectors of a change that are there. */
export function presentOf(history: History, missing: Missing, index: number): Ranges {
  const range: Range = rangeOf(history, entryAt(history, index));
  return gaps(missing.get(index) ?? [], range);
}

export function entryAt({ entries }: History, index: number): HistoryEntry {
  const entry = entries[index];
  if (entry === undefined || !isChange(entry)) throw new RangeError(`entry ${index} of the log is no change`);
  return entry;
}
