import {
  type Change,
  type Content,
  isNeeded,
  NEVER,
  NONE,
  type ReadInFlight,
  Snapshot,
  seen,
  wanted,
} from "./change.ts";
import { NOT_PLAIN, numberOf, stamp, unitsOf } from "./stamp.ts";
import { kindOf, type Wrong, whatIsThere } from "./wrong.ts";

export type { Change, Content, ReadInFlight } from "./change.ts";

export interface HistoryOptions {
  readonly sectors: number;
  /** 512 or more, a power of two. */
  readonly sectorBytes: number;
  /** Of the stamps: another one for each device, so that one's data is not taken for another's. 0 if left out. */
  readonly salt?: number;
  /**
   * Whether a sector may be a mixture of values that it may have: true of a server that lets overlapping requests run at the same
   * time. No, if left out.
   */
  readonly mayMix?: boolean;
}

/** Before everything. */
const LONG_AGO = -1;
const NOTHING_WRONG: readonly Wrong[] = [];
/** Reads of more sectors are rare, and their memory isn't kept for the next one. */
const MAX_POOLED_SECTORS = 256;

/**
 * What each sector may hold, from the requests of many clients at once, as the clients saw them: of a device that was all zeroes.
 *
 * The rule: a read may find a change unless another one, which began after that one had ended, was acknowledged before the read
 * was asked for. A change that failed has ended, and may have taken effect, or may yet, until then.
 *
 *   change 1  ├──────┤ acknowledged
 *   change 2     ├────────┤ failed
 *   change 3           ├──────┤ acknowledged     from here on a read may find 2 or 3: 1 had ended before 3 began
 *   change 4                    ├────┤ acknowledged     and from here on 4 alone
 *
 * A read that finds one of several changes which were all acknowledged before it was asked for tells which one came last: from
 * then on that one stays.
 *
 * A sector with nothing in flight is a few numbers. The newest acknowledged change (`newest`) is allowed, and with it each stamp
 * with a higher number, which only a failed change, or one in flight, can have. A list has what these numbers can't tell: changes
 * in flight, and older ones than `newest` that overlapped it in time. So the memory is bounded by the sectors and the requests
 * in flight.
 *
 * Nothing here looks at a clock, or knows of clients; it is told.
 */
export class SectorHistory {
  readonly sectors: number;
  readonly sectorBytes: number;
  readonly #sectorWords: number;
  readonly #salt: number;
  readonly #mayMix: boolean;
  #now = 0;
  readonly #lists: (readonly Change[])[];
  /** Of each sector's acknowledged changes, that which began last: when it began, was acknowledged, and its floor. */
  readonly #newest: Float64Array;
  readonly #newestAt: Float64Array;
  readonly #newestFloor: Float64Array;
  /** The one before, as long as a flush in flight may cover it that doesn't cover the newest. */
  readonly #earlierAt: Float64Array;
  readonly #earlierFloor: Float64Array;
  /** The floor of a change that is durable: nothing older may be left after a power cut. */
  readonly #durable: Float64Array;
  /** When the last failed change failed. */
  readonly #failedAt: Float64Array;
  /** The newest changes without a stamp. */
  readonly #zeroed: Float64Array;
  readonly #trimmed: Float64Array;
  /** When the newest flush was begun, and the newest of those acknowledged. */
  #flushBegunAt = LONG_AGO;
  #flushedSince = LONG_AGO;
  readonly #pool: Snapshot[] = [];

  constructor({ sectors, sectorBytes, salt = 0, mayMix = false }: HistoryOptions) {
    this.sectors = sectors;
    this.sectorBytes = sectorBytes;
    this.#sectorWords = sectorBytes / Uint32Array.BYTES_PER_ELEMENT;
    this.#salt = salt;
    this.#mayMix = mayMix;
    this.#lists = new Array(sectors).fill(NONE);
    this.#newest = new Float64Array(sectors);
    this.#newestAt = new Float64Array(sectors);
    this.#newestFloor = new Float64Array(sectors);
    this.#earlierAt = new Float64Array(sectors).fill(NEVER);
    this.#earlierFloor = new Float64Array(sectors);
    this.#durable = new Float64Array(sectors);
    this.#failedAt = new Float64Array(sectors).fill(LONG_AGO);
    this.#zeroed = new Float64Array(sectors);
    this.#trimmed = new Float64Array(sectors).fill(LONG_AGO);
  }

  // ── Changes ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** A change is about to be asked for. */
  begin(content: Content, sector: number, count: number): Change {
    const number = ++this.#now;
    const alone: Change[] = [];
    const floor = this.#oldestInFlight(sector, count, number);
    const change: Change = { number, content, sector, count, floor, settledAt: NEVER, alone };
    alone.push(change);
    for (let at = sector; at < sector + count; at++) {
      const list = this.#listOf(at);
      this.#lists[at] = list.length === 0 ? alone : [...list, change];
      if (content === "zeroes") this.#zeroed[at] = number;
      else if (content === "unspecified") this.#trimmed[at] = number;
    }
    return change;
  }

  /** The bytes that a change with stamps writes, in new memory. */
  stamped(change: Change): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(change.count * this.sectorBytes);
    this.stamp(change, bytes);
    return bytes;
  }

  /** Fills `into` with the bytes that a change with stamps writes; it starts at a multiple of 4 bytes of its buffer. */
  stamp(change: Change, into: Uint8Array): void {
    stamp(wordsOf(into), this.#sectorWords, change.sector, change.number, this.#salt);
  }

  /** The change was answered without an error. `durable`: it was one with FUA. */
  acknowledged(change: Change, durable = false): void {
    const { number, floor, sector, count } = change;
    change.settledAt = ++this.#now;
    for (let at = sector; at < sector + count; at++) {
      if (number > this.#of(this.#newest, at)) {
        this.#retire(at);
        this.#newest[at] = number;
        this.#newestAt[at] = this.#now;
        this.#newestFloor[at] = floor;
      }
      if (durable) this.#durable[at] = Math.max(this.#of(this.#durable, at), floor);
      this.#settle(at, number);
    }
  }

  /** The change was answered with an error, or its connection is gone: its sectors may hold the old or the new. */
  failed(change: Change): void {
    const { number, sector, count } = change;
    change.settledAt = ++this.#now;
    for (let at = sector; at < sector + count; at++) {
      this.#failedAt[at] = this.#now;
      this.#settle(at, number);
    }
  }

  /** A flush is about to be asked for. Returns what `flushAcknowledged` wants to know; one that fails needs no word. */
  flushBegun(): number {
    this.#flushBegunAt = ++this.#now;
    return this.#flushBegunAt;
  }

  /** What was acknowledged before that flush was begun is durable, whichever client wrote it. */
  flushAcknowledged(token: number): void {
    this.#flushedSince = Math.max(this.#flushedSince, token);
  }

  // ── Reads ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A read is about to be asked for. It has to end, by `endRead` or `abandonRead`. */
  beginRead(sector: number, count: number): ReadInFlight {
    let read = this.#pool.pop();
    if (read === undefined || read.newest.length < count) read = new Snapshot(count);
    read.at = ++this.#now;
    read.sector = sector;
    read.count = count;
    for (let index = 0; index < count; index++) {
      read.newest[index] = this.#of(this.#newest, sector + index);
      read.lists[index] = this.#listOf(sector + index);
    }
    return read;
  }

  /** The read was not answered with data. */
  abandonRead(read: ReadInFlight): void {
    const { lists, newest } = read as Snapshot;
    lists.fill(NONE);
    if (newest.length <= MAX_POOLED_SECTORS) this.#pool.push(read as Snapshot);
  }

  /**
   * The answer to a read. Returns what is wrong with it; a sector that is wrong once may hold anything from then on, until a
   * change is acknowledged that is begun later.
   */
  endRead(read: ReadInFlight, bytes: Uint8Array): readonly Wrong[] {
    const { sector, count, newest, lists, at: readAt } = read as Snapshot;
    const words = wordsOf(bytes);
    let wrongs: Wrong[] | undefined;
    for (let index = 0; index < count; index++) {
      const at = sector + index;
      const start = index * this.#sectorWords;
      const number = numberOf(words, start, this.#sectorWords, at, this.#salt);
      const since = newest[index] as number;
      const list = lists[index] as readonly Change[];
      if (this.#isAllowed(at, number, since, list)) {
        if (list.length > 0) this.#see(at, number, readAt, since, list);
        continue;
      }
      if (number === NOT_PLAIN && this.#mayMix && this.#isMixtureOf(words, start, at, since, list)) continue;
      wrongs ??= [];
      wrongs.push(this.#wrong(at, number, words, start, wanted(since, list)));
    }
    this.abandonRead(read);
    return wrongs ?? NOTHING_WRONG;
  }

  /** Checks a medium that has lost its power, from `sector` on: what flush or FUA made durable is there, or something later. */
  afterPowerCut(sector: number, bytes: Uint8Array): readonly Wrong[] {
    const words = wordsOf(bytes);
    const wrongs: Wrong[] = [];
    for (let at = sector, start = 0; start < words.length; at++, start += this.#sectorWords) {
      const number = numberOf(words, start, this.#sectorWords, at, this.#salt);
      const since = this.#durableSince(at);
      if (this.#isAllowed(at, number, since, NONE)) continue;
      if (number === NOT_PLAIN && this.#mayMix && this.#isMixtureOf(words, start, at, since, NONE)) continue;
      wrongs.push(this.#wrong(at, number, words, start, `durable change ${since}, or a later one,`));
    }
    return wrongs;
  }

  // ── How it is done ────────────────────────────────────────────────────────────────────────────────────────────

  #of(numbers: Float64Array, sector: number): number {
    return numbers[sector] as number;
  }

  #listOf(sector: number): readonly Change[] {
    return this.#lists[sector] as readonly Change[];
  }

  #oldestInFlight(sector: number, count: number, number: number): number {
    let oldest = number;
    for (let at = sector; at < sector + count; at++) {
      for (const other of this.#listOf(at)) {
        if (other.settledAt === NEVER && other.number < oldest) oldest = other.number;
      }
    }
    return oldest;
  }

  /** Lets go of what isn't needed any more, now that a change of the sector has ended. */
  #settle(sector: number, number: number): void {
    const list = this.#listOf(sector);
    const newest = this.#of(this.#newest, sector);
    // Nothing overlapped it in time: the numbers tell the rest.
    if (list.length === 1 && number >= newest) this.#lists[sector] = NONE;
    else if (list.length > 1) this.#lists[sector] = list.filter((change) => isNeeded(change, newest, list));
  }

  /** The newest acknowledged change of a sector is about to be another one. */
  #retire(sector: number): void {
    if (this.#of(this.#newestAt, sector) < this.#flushBegunAt) {
      this.#durable[sector] = this.#durableSince(sector);
      this.#earlierAt[sector] = this.#of(this.#newestAt, sector);
      this.#earlierFloor[sector] = this.#of(this.#newestFloor, sector);
    }
  }

  /** Nothing older than the change of this number may be left after a power cut. */
  #durableSince(sector: number): number {
    let since = this.#of(this.#durable, sector);
    if (this.#of(this.#earlierAt, sector) < this.#flushedSince) {
      since = Math.max(since, this.#of(this.#earlierFloor, sector));
    }
    if (this.#of(this.#newestAt, sector) < this.#flushedSince) {
      since = Math.max(since, this.#of(this.#newestFloor, sector));
    }
    return since;
  }

  /** A read of `readAt` has found that change, of `since` and those of `list`: see {@link SectorHistory}. */
  #see(sector: number, number: number, readAt: number, since: number, list: readonly Change[]): void {
    const newest = this.#of(this.#newest, sector);
    const isOpen = this.#of(this.#failedAt, sector) >= since || this.#of(this.#trimmed, sector) >= since;
    if (newest !== since || isOpen || number > since) return;
    // They may be those of a later change.
    if (number === 0 && this.#of(this.#zeroed, sector) > since) return;
    if (list.some(({ settledAt, content }) => settledAt > readAt || content === "unspecified")) return;
    this.#newest[sector] = readAt;
    this.#lists[sector] = [
      seen(number, sector, readAt),
      ...this.#listOf(sector).filter((change) => change.number > readAt),
    ];
  }

  /** `since`: the newest change that had been acknowledged; `list`: what else was in flight or overlapped it. */
  #isAllowed(sector: number, number: number, since: number, list: readonly Change[]): boolean {
    // Most sectors of most reads: a stamp that is the newest, or one in flight.
    if (number > 0 && number >= since && number <= this.#now) return true;
    if (this.#of(this.#trimmed, sector) >= since) return true;
    if (number === 0 && this.#of(this.#zeroed, sector) >= since) return true;
    return list.some(
      (change) =>
        change.content === "unspecified" || (change.content === "zeroes" ? number === 0 : number === change.number),
    );
  }

  #isMixtureOf(words: Uint32Array, start: number, sector: number, since: number, list: readonly Change[]): boolean {
    return unitsOf(words, start, this.#sectorWords, this.#salt).every((unit) => {
      if (unit === undefined || (unit.number > 0 && unit.sector !== sector)) return false;
      return this.#isAllowed(sector, unit.number, since, list);
    });
  }

  /** Describes what is wrong with a sector, and from then on allows anything there. */
  #wrong(sector: number, number: number, words: Uint32Array, start: number, wantedOne: string): Wrong {
    const units = unitsOf(words, start, this.#sectorWords, this.#salt);
    const durable = this.#durableSince(sector);
    const flushed = durable > 0 && !this.#isAllowed(sector, number, durable, NONE);
    this.#trimmed[sector] = ++this.#now;
    const kind = kindOf(units, sector, this.#now);
    const description = `Sector ${sector} holds ${whatIsThere(units)}, ${wantedOne} was wanted`;
    return { kind, sector, flushed, description };
  }
}

/** Of bytes that start at any place: copies them where they have to be. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, byteLength } = isAligned(bytes) ? bytes : bytes.slice();
  return new Uint32Array(buffer, byteOffset, byteLength / Uint32Array.BYTES_PER_ELEMENT);
}

function isAligned({ byteOffset }: Uint8Array): boolean {
  return byteOffset % Uint32Array.BYTES_PER_ELEMENT === 0;
}
