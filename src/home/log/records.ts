import { strict as assert } from "node:assert";
import type { Piece } from "../../shadow/piece-map.ts";
import { type LogPlace, SECTOR_BYTES } from "./format.ts";

/** A record that may still count. */
export interface LogRecord {
  readonly sequence: number;
  readonly position: number;
  readonly bytes: number;
  /** Where the next one begins. */
  readonly next: LogPlace;
  /** What of it lives: one piece as a rule, so no set is made for that. */
  piece: Piece | undefined;
  more: Set<Piece> | undefined;
  /** Pieces that were recovered, and that the shadow has not taken yet. */
  awaited: number;
  /** Bytes that it would take to write anew what lives of it. */
  cost: number;
  /** What took its place is durable once this record is. */
  replacedBy: number;
}

/** Once so many are gone from the front of the list, it is moved up. */
const COMPACT_AT = 1024;

/**
 * The records from the tail on, in order, and what lives of each.
 *
 *   tail         firstLive              head
 *    │ dead, but what replaced it        │
 *    ▼ may not be durable yet ▼          ▼
 *    | r r r r r r r r r r | R r R R r R |
 */
export class Records {
  #list: (LogRecord | undefined)[] = [];
  #first = 0;
  #tail: LogPlace;
  #head: LogPlace;
  /** Sequence of a record before which none lives. */
  #liveFrom: number;
  /** Bytes that it would take to write all anew that lives. */
  live = 0;
  livePieces = 0;
  /** By how much that is more than the records take: many splits of one zero make many records of it. */
  excess = 0;

  constructor(tail: LogPlace) {
    this.#tail = tail;
    this.#head = tail;
    this.#liveFrom = tail.sequence;
  }

  /** Nothing before this is needed. */
  get tail(): LogPlace {
    return this.#tail;
  }

  /** Where the next record comes. */
  get head(): LogPlace {
    return this.#head;
  }

  /** The newest record's sequence. */
  get last(): number {
    return this.#head.sequence - 1;
  }

  /** The first record of which something lives. */
  get firstLive(): LogRecord | undefined {
    for (; this.#liveFrom <= this.last; this.#liveFrom++) {
      const record = this.#at(this.#liveFrom);
      if (record !== undefined && lives(record)) return record;
    }
    return undefined;
  }

  /** Bytes from the first record of which something lives to the head. */
  get pinned(): number {
    return this.#head.position - (this.firstLive?.position ?? this.#head.position);
  }

  /** The tail can move once this record is durable; `undefined`: that is not what it waits for. */
  get tailWaitsFor(): number | undefined {
    const record = this.#list[this.#first];
    return record === undefined || lives(record) ? undefined : Math.max(record.sequence, record.replacedBy);
  }

  append(bytes: number, checksum: number, run: number): LogRecord {
    const { position, sequence } = this.#head;
    this.#head = { position: position + bytes, sequence: sequence + 1, chain: checksum, run };
    const states = { piece: undefined, more: undefined, awaited: 0, cost: 0, replacedBy: 0 };
    const record: LogRecord = { sequence, position, bytes, next: this.#head, ...states };
    this.#list.push(record);
    return record;
  }

  /** The record of a piece that lives. */
  of(piece: Piece): LogRecord {
    const record = this.#at(piece.note);
    assert(record !== undefined, "a piece is told of whose record is gone");
    return record;
  }

  /** A piece of the record `note` was recovered, and lives until the shadow takes it and drops it. */
  expect(note: number): void {
    const record = this.#at(note);
    assert(record !== undefined, "a piece was recovered from no record");
    record.awaited++;
  }

  /** The shadow has taken such a piece. */
  restored(piece: Piece): void {
    const record = this.of(piece);
    record.awaited--;
    this.add(record, piece);
  }

  add(record: LogRecord, piece: Piece): void {
    if (record.piece === undefined) record.piece = piece;
    else {
      record.more ??= new Set();
      record.more.add(piece);
    }
    this.livePieces++;
    this.#setCost(record, record.cost + costOf(piece));
  }

  /** Nothing lives of `piece` in `record`; what replaced it is durable once the record `replacedBy` is. */
  remove(record: LogRecord, piece: Piece, replacedBy: number): void {
    if (record.piece === piece) record.piece = undefined;
    else assert(record.more?.delete(piece), "a piece is removed from a record that doesn't have it");
    this.livePieces--;
    this.#setCost(record, piece.kind === "write" ? sumOf(record) : record.cost - SECTOR_BYTES);
    record.replacedBy = Math.max(record.replacedBy, replacedBy);
  }

  /** A part of a piece of `record` was cut away; `rest` is what is behind it. */
  shrink(record: LogRecord, piece: Piece, rest: Piece | undefined): void {
    if (rest !== undefined) this.add(record, rest);
    if (piece.kind === "write") this.#setCost(record, sumOf(record));
  }

  /** Moves the tail past what is not needed, all up to the record `synced` being durable. */
  advance(synced: number): void {
    for (;;) {
      const record = this.#list[this.#first];
      // What has replaced it may only be in the disk's cache; and a tail behind a record that isn't durable would be a gap.
      if (record === undefined || lives(record) || record.replacedBy > synced || record.sequence > synced) break;
      this.#list[this.#first++] = undefined;
      this.#tail = record.next;
    }
    if (this.#first < COMPACT_AT || this.#first * 2 < this.#list.length) return;
    this.#list = this.#list.slice(this.#first);
    this.#first = 0;
  }

  #at(sequence: number): LogRecord | undefined {
    return this.#list[this.#first + sequence - this.#tail.sequence];
  }

  #setCost(record: LogRecord, cost: number): void {
    this.live += cost - record.cost;
    this.excess += Math.max(0, cost - record.bytes) - Math.max(0, record.cost - record.bytes);
    record.cost = cost;
  }
}

export function* piecesOf(record: LogRecord): Generator<Piece> {
  if (record.piece !== undefined) yield record.piece;
  if (record.more !== undefined) yield* record.more;
}

/** Bytes of a record of its own for `piece`. */
export function costOf(piece: Piece): number {
  return SECTOR_BYTES + (piece.kind === "write" ? piece.length : 0);
}

function sumOf(record: LogRecord): number {
  let sum = 0;
  for (const piece of piecesOf(record)) sum += costOf(piece);
  return sum;
}

function lives(record: LogRecord): boolean {
  return record.piece !== undefined || record.awaited > 0 || (record.more !== undefined && record.more.size > 0);
}
