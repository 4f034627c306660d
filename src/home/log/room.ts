import { areaBytes, type LogLimits, type LogPlace, largestRecord, recordsOf, roomOf, usableBytes } from "./format.ts";
import type { Records } from "./records.ts";

/** The header is written for this part of the log that it frees; and where room is short, for this one. */
const HEADER_STEP = 1 / 16;
const SHORT_HEADER_STEP = 1 / 128;
/** Room is short when this part of what may be used is. */
const SHORT_AT = 0.75;
/** Pieces that pin this part of the log, with at most half as many bytes themselves, are written anew. */
const PINNED_SHARE = 1 / 4;

/**
 * Who may write how much. Let A be the bytes of the area, M those of the largest record, `usable` = A/2 - M, and
 *
 *   used      bytes from the durable tail to the head, and by how much the records that it would take to write all anew that
 *             lives in them are more (many small writes into one large zero leave many pieces of it)
 *   live      bytes of these records
 *   reserved  bytes that writers which are admitted, and not answered, may put; with a sector for a piece that each may split
 *
 * A writer is admitted if used + reserved + its own ≤ usable. From this it follows that
 *
 * - all pieces can be carried at any time, that is, be written anew at the head: live ≤ used ≤ A/2, so that used + live + reserved ≤ A.
 *   (Each lap wastes less than M at the end of the area, and nothing is longer than a lap.)
 * - carrying doesn't make `used` more than it was: once the header is durable, what was carried counts only where it is now. So after
 *   it, used ≤ A/2 holds again, and used ≤ live + M if nothing else was written.
 * - the log is never stuck: a writer waits for ever only if live + reserved + its own + M > usable, and then for the driver, whose flush
 *   lets pieces go. A log in which nothing lives has room for the largest request: see `minimumLogBytes`.
 * - what is recovered is at most A/2, since what was carried counts once.
 *
 * The same holds for the number of records, of which twice as many as the shadow may have pieces are in use.
 */
export class Room {
  readonly #records: Records;
  readonly #area: number;
  readonly #usable: number;
  readonly #usableRecords: number;
  readonly #largestRecord: number;
  /** Of the durable header. */
  #tail: LogPlace;
  #reserved = 0;
  #reservedRecords = 0;
  /** Somebody was turned away: who wanted most. */
  #wanted = 0;
  #wantedRecords = 0;

  /** `size`: of the log. `tail`: that in its header. */
  constructor(records: Records, size: number, limits: LogLimits, tail: LogPlace) {
    this.#records = records;
    this.#area = areaBytes(size);
    this.#usable = usableBytes(size, limits);
    this.#largestRecord = largestRecord(limits);
    this.#usableRecords = 2 * limits.pieces + 2;
    this.#tail = tail;
  }

  /** What is behind this must not be written over. */
  get tail(): LogPlace {
    return this.#tail;
  }

  /** By what lives and what it pins, from 0 to 1: an own flush of the driver helps. */
  get fullness(): number {
    const { pinned, excess } = this.#records;
    return Math.min(1, (pinned + excess + this.#reserved) / this.#usable);
  }

  /** Somebody waits, or will soon. */
  get isShort(): boolean {
    return this.#wanted > 0 || this.#used + this.#reserved > SHORT_AT * this.#usable;
  }

  /** So many bytes freed are worth a header. */
  get headerStep(): number {
    if (this.#wanted > 0) return 1;
    return this.#area * (this.isShort ? SHORT_HEADER_STEP : HEADER_STEP);
  }

  admit(length: number, hasData: boolean): boolean {
    const bytes = roomOf(length, hasData);
    const count = recordsOf(length, hasData);
    const records = this.#records.head.sequence - this.#tail.sequence + this.#reservedRecords + count;
    if (this.#used + this.#reserved + bytes > this.#usable || records > this.#usableRecords) {
      this.#wanted = Math.max(this.#wanted, bytes);
      this.#wantedRecords = Math.max(this.#wantedRecords, count);
      return false;
    }
    this.#reserved += bytes;
    this.#reservedRecords += count;
    return true;
  }

  leave(length: number, hasData: boolean): void {
    this.#reserved -= roomOf(length, hasData);
    this.#reservedRecords -= recordsOf(length, hasData);
  }

  /** A header with this tail is durable. True if somebody who was turned away may find room now. */
  freed(tail: LogPlace): boolean {
    const hasMoved = tail.position > this.#tail.position;
    this.#tail = tail;
    if (!hasMoved || this.#wanted === 0) return false;
    this.#wanted = 0;
    this.#wantedRecords = 0;
    return true;
  }

  /** Whether to write anew what lives: if little pins much; or if somebody waits who finds room by that, and by nothing else. */
  wantsCarrying(): boolean {
    const { pinned, excess, live, livePieces, firstLive, head } = this.#records;
    if (firstLive === undefined) return false;
    // A front that died while it carried leaves less: then the header comes first, which frees what was carried already.
    if (this.#used + this.#reserved + live + this.#largestRecord > this.#area) return false;
    const pinnedRecords = head.sequence - firstLive.sequence;
    if (pinned >= PINNED_SHARE * this.#area && live <= pinned / 2) return true;
    if (pinnedRecords >= this.#usableRecords / 2 && livePieces <= pinnedRecords / 2) return true;
    if (this.#wanted === 0) return false;
    const bytes = this.#reserved + this.#wanted;
    const records = this.#reservedRecords + this.#wantedRecords;
    const helps = live + this.#largestRecord + bytes <= this.#usable && livePieces + 1 + records <= this.#usableRecords;
    return helps && (pinned + excess + bytes > this.#usable || pinnedRecords + records > this.#usableRecords);
  }

  get #used(): number {
    return this.#records.head.position - this.#tail.position + this.#records.excess;
  }
}
