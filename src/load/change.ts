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
  /** When it was asked for. */
  at = 0;
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
  // It will be older than the newest one if what was begun while it was in flight, and still is, is acknowledged.
  return (
    change.number < newest ||
    list.some(({ number, settledAt }) => settledAt === NEVER && number > change.number && number < change.settledAt)
  );
}

/**
 * What a read has found of a sector that might have held one of several changes, all of them acknowledged before: the same as if
 * it had been written once more when the read was asked for. `number`: of its stamp, 0 for zeroes.
 */
export function seen(number: number, sector: number, readAt: number): Change {
  const content = number === 0 ? "zeroes" : "stamp";
  return { number, content, sector, count: 1, floor: number, settledAt: readAt, alone: NONE };
}

/** The changes that a sector was allowed to hold: a few words. */
export function wanted(since: number, list: readonly Change[]): string {
  // No event but a read that has found a change has the same time as another one.
  const newest = list.find(({ settledAt }) => settledAt === since)?.number ?? since;
  const others = list.filter(({ number }) => number !== newest).map(({ number }) => ` or ${number}`);
  return newest === 0 ? `zeroes${others.join("")}` : `change ${newest}${others.join("")}`;
}
