export const NEVER = Number.POSITIVE_INFINITY;
/** One for all sectors that need no list. */
export const NONE: readonly Change[] = [];

/** "unspecified" is what a trim leaves: anything, until the next change. */
export type Content = "stamp" | "zeroes" | "unspecified";

/** A writer request. Sectors, not bytes. */
export interface Change {
  /** Also when it was begun: changes and all other events are counted by one clock. */
  readonly number: number;
  readonly content: Content;
  readonly sector: number;
  readonly count: number;
  /** The oldest change of its sectors that was in flight when it began, or itself: whatever is older comes before it. */
  readonly floor: number;
  /** When it was answered, or lost. NEVER before that. */
  settledAt: number;
  /** The list of a sector that nothing else is in flight for: one for all of them. */
  readonly alone: readonly Change[];
}

/** A read in flight: what each of its sectors might have held when it was asked for. */
export interface ReadInFlight {
  readonly sector: number;
  readonly count: number;
}

/** The same, as the history has it. */
export class Snapshot implements ReadInFlight {
  sector = 0;
  count = 0;
  readonly newest: Float64Array;
  readonly lists: (readonly Change[])[];

  constructor(capacity: number) {
    this.newest = new Float64Array(capacity);
    this.lists = new Array(capacity).fill(NONE);
  }
}

/** Whether a list must still have a change: `newest` began last of those acknowledged. */
export function isNeeded(change: Change, newest: number, list: readonly Change[]): boolean {
  if (change.settledAt === NEVER) return true;
  if (change.settledAt < newest) return false;
  // It will be older than the newest one if what was begun after it, and is in flight, is acknowledged.
  return change.number < newest || list.some(({ number, settledAt }) => settledAt === NEVER && number > change.number);
}

/** The changes that a sector was allowed to hold: a few words. */
export function wanted(since: number, list: readonly Change[]): string {
  const others = list.filter(({ number }) => number !== since).map(({ number }) => ` or ${number}`);
  return since === 0 ? `zeroes${others.join("")}` : `change ${since}${others.join("")}`;
}
