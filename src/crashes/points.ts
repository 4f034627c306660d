import { type History, type HistoryEntry, isChange, isMark } from "./history.ts";
import { countBelow } from "./write-index.ts";

/** How the disk treats its flushes. */
export interface DiskManners {
  /**
   * It swallows flushes and FUA: so many of the newest changes may be missing although they are durable; Infinity for all since the
   * start. `undefined`: it is honest.
   */
  readonly lying: number | undefined;
}

export const HONEST: DiskManners = { lying: undefined };

/** A moment at which the power may be cut, and what is uncertain then. */
export interface CrashPoint {
  /** So many entries of the log have been sent to the disk. A flush or a FUA write that is the last of them is still under way. */
  readonly end: number;
  /** The changes that may be there in part or not at all, by their numbers, ascending. */
  readonly volatile: Int32Array;
  /** The last mark before. */
  readonly mark: string | undefined;
}

/** Which points are of interest: their ends, both included. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * The moments that matter: when a flush or a FUA write is about to be answered, before a mark, and the end. What a power cut may leave at
 * any other moment, it may leave at the next of these as well, since between two of them more only becomes uncertain.
 */
export function crashPoints(history: History, manners: DiskManners = HONEST, span?: Span): CrashPoint[] {
  const { entries } = history;
  const { from, to } = span ?? { from: 0, to: entries.length };
  const ends = [...new Set([...entries.flatMap(endsOf), entries.length])].sort((a, b) => a - b);
  const disk = new Disk(history, manners);
  const points: CrashPoint[] = [];
  let last: CrashPoint | undefined;
  let lastSent = -1;
  for (const end of ends) {
    const now = disk.at(end);
    // Between the two nothing has become uncertain: what is possible now was so then.
    const isNews = disk.sent !== lastSent || now.mark !== last?.mark;
    [last, lastSent] = [now, disk.sent];
    if (isNews && end >= from && end <= to) points.push(now);
  }
  return points;
}

/** What is uncertain when so many entries have been sent. */
export function pointAt(history: History, manners: DiskManners, end: number): CrashPoint {
  return new Disk(history, manners).at(end);
}

/** The points that an entry makes. */
function endsOf(entry: HistoryEntry): number[] {
  if (isMark(entry)) return [entry.index];
  // One with data flushes first: its data is sent to a disk that holds all before it.
  const beforeFlush = entry.flush ? [isChange(entry) ? entry.index : entry.answeredAt] : [];
  return isChange(entry) && entry.fua ? [...beforeFlush, entry.index + 1] : beforeFlush;
}

/** What a disk has been sent, followed from the start on. */
class Disk {
  /** How many changes. */
  sent = 0;
  readonly #history: History;
  readonly #changes: Changes;
  #end = 0;
  #mark: string | undefined;
  /** All before this entry is durable. */
  #durable = 0;
  /** Flushes that are under way. */
  #flushes: HistoryEntry[] = [];

  constructor(history: History, manners: DiskManners) {
    this.#history = history;
    this.#changes = new Changes(history, manners);
  }

  /** `end`: never less than the time before. */
  at(end: number): CrashPoint {
    for (const entry of this.#history.entries.slice(this.#end, end)) this.#send(entry);
    this.#end = end;
    for (const flush of this.#flushes) if (isAnswered(flush, end)) this.#durable = Math.max(this.#durable, flush.index);
    this.#flushes = this.#flushes.filter((flush) => !isAnswered(flush, end));
    return new Moment(this.#changes, end, this.#durable, this.#mark);
  }

  #send(entry: HistoryEntry): void {
    if (entry.flush) this.#flushes.push(entry);
    if (isMark(entry)) this.#mark = entry.mark;
    if (isChange(entry)) this.sent++;
  }
}

/** A point knows where it is, and looks up what is uncertain there: of thousands of points, lists would be most of what there is. */
class Moment implements CrashPoint {
  readonly end: number;
  readonly mark: string | undefined;
  readonly #changes: Changes;
  readonly #durable: number;

  constructor(changes: Changes, end: number, durable: number, mark: string | undefined) {
    this.end = end;
    this.mark = mark;
    this.#changes = changes;
    this.#durable = durable;
  }

  get volatile(): Int32Array {
    return this.#changes.volatile(this.end, this.#durable);
  }
}

/** The numbers of a log's changes, ascending. */
class Changes {
  readonly #history: History;
  readonly #lying: number | undefined;
  readonly #all: Int32Array;
  /** Without those that are durable by themselves. */
  readonly #cached: Int32Array;

  constructor(history: History, { lying }: DiskManners) {
    const changes = history.entries.filter(isChange);
    this.#history = history;
    this.#lying = lying;
    this.#all = Int32Array.from(changes, ({ index }) => index);
    this.#cached = changes.some(({ fua }) => fua)
      ? Int32Array.from(
          changes.filter(({ fua }) => !fua),
          ({ index }) => index,
        )
      : this.#all;
  }

  /** Those before `end` that may be missing there; all before `durable` is durable, if the disk is honest. */
  volatile(end: number, durable: number): Int32Array {
    const lying = this.#lying;
    if (lying !== undefined) {
      const sent = countBelow(this.#all, end);
      return this.#all.subarray(Math.max(0, Math.min(sent - lying, countBelow(this.#all, durable))), sent);
    }
    const cached = this.#cached.subarray(countBelow(this.#cached, durable), countBelow(this.#cached, end));
    const last = this.#history.entries[end - 1];
    if (last === undefined || !last.fua || !isChange(last)) return cached;
    const withLast = new Int32Array(cached.length + 1);
    withLast.set(cached);
    withLast[cached.length] = last.index;
    return withLast;
  }
}

/** Whether it has been answered when `end` entries have been sent: something has followed its answer. */
function isAnswered(flush: HistoryEntry, end: number): boolean {
  return isChange(flush) ? end > flush.index : end > flush.answeredAt;
}
