import { type History, type HistoryEntry, isChange, isMark } from "./history.ts";

/** How the disk treats its flushes. */
export interface DiskManners {
  /**
   * It swallows flushes and FUA: so many of the newest changes may be missing, durable or not; Infinity for all since the start.
   * `undefined`: it is honest.
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
  let last: Moment | undefined;
  for (const end of ends) {
    const now = disk.at(end);
    // Between the two nothing has become uncertain: what is possible now was so then.
    const isNews = last === undefined || now.sent !== last.sent || now.mark !== last.mark;
    last = now;
    if (isNews && end >= from && end <= to) points.push({ end, volatile: now.volatile(), mark: now.mark });
  }
  return points;
}

/** What is uncertain when so many entries have been sent. */
export function pointAt(history: History, manners: DiskManners, end: number): CrashPoint {
  const { mark, volatile } = new Disk(history, manners).at(end);
  return { end, volatile: volatile(), mark };
}

/** The points that an entry makes. */
function endsOf(entry: HistoryEntry): number[] {
  if (isMark(entry)) return [entry.index];
  // One with data flushes first: its data is sent to a disk that holds all before it.
  const beforeFlush = entry.flush ? [isChange(entry) ? entry.index : entry.answeredAt] : [];
  return isChange(entry) && entry.fua ? [...beforeFlush, entry.index + 1] : beforeFlush;
}

interface Moment {
  /** How many changes have been sent. */
  readonly sent: number;
  readonly mark: string | undefined;
  readonly volatile: () => Int32Array;
}

/** What a disk has been sent, followed from the start on. */
class Disk {
  readonly #history: History;
  readonly #manners: DiskManners;
  readonly #changes: Int32Array;
  #end = 0;
  #sent = 0;
  #mark: string | undefined;
  /** All before this entry is durable. */
  #durable = 0;
  /** Flushes that are under way. */
  #flushes: HistoryEntry[] = [];

  constructor(history: History, manners: DiskManners) {
    this.#history = history;
    this.#manners = manners;
    this.#changes = Int32Array.from(history.entries.filter(isChange), ({ index }) => index);
  }

  /** `end`: never less than the time before. What is returned is good until the next call. */
  at(end: number): Moment {
    for (const entry of this.#history.entries.slice(this.#end, end)) this.#send(entry);
    this.#end = end;
    for (const flush of this.#flushes) if (isAnswered(flush, end)) this.#durable = Math.max(this.#durable, flush.index);
    this.#flushes = this.#flushes.filter((flush) => !isAnswered(flush, end));
    return { sent: this.#sent, mark: this.#mark, volatile: () => this.#volatile() };
  }

  #send(entry: HistoryEntry): void {
    if (entry.flush) this.#flushes.push(entry);
    if (isMark(entry)) this.#mark = entry.mark;
    if (isChange(entry)) this.#sent++;
  }

  #volatile(): Int32Array {
    const { lying } = this.#manners;
    // One memory for all points: with thousands of them, lists would be most of what there is.
    if (lying !== undefined) return this.#changes.subarray(Math.max(0, this.#sent - lying), this.#sent);
    const cached: number[] = [];
    for (let at = this.#sent - 1; at >= 0; at--) {
      const index = this.#changes[at] as number;
      if (index < this.#durable) break;
      if (!this.#history.entries[index]?.fua || index + 1 === this.#end) cached.push(index);
    }
    return Int32Array.from(cached.reverse());
  }
}

/** Whether it has been answered when `end` entries have been sent: something has followed its answer. */
function isAnswered(flush: HistoryEntry, end: number): boolean {
  return isChange(flush) ? end > flush.index : end > flush.answeredAt;
}
