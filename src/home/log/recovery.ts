import { MAX_SLOT_BYTES } from "../../block/memory.ts";
import { checksum } from "../../shadow/checksum.ts";
import { END_CASES, type EndCase, HEADER_CASES, type HeaderCase, RECORD_CASES, type RecordCase } from "./cases.ts";
import {
  AREA_START,
  areaBytes,
  byteOf,
  HEADER_BYTES,
  isZero,
  type LogPlace,
  ORIGIN,
  SECTOR_BYTES,
  sameBytes,
  viewOf,
} from "./format.ts";
import { decodeHeader, type LogHeader, type SlotCase } from "./header.ts";
import { concerns, type DecodedRecord, decodeRecord, isRecord } from "./record.ts";

export interface LogReader {
  /** Bytes of the file or device. */
  readonly size: number;
  /** Whole sectors; the answer is good until the next call. */
  read(position: number, length: number): Uint8Array;
}

/** What stands in a log, and what is to be thought of it. */
export interface Findings {
  readonly slots: readonly [Slot, Slot];
  readonly headerCase: HeaderCase;
  /** The one that counts. */
  readonly header: LogHeader | undefined;
  /** From the tail on, in order, wraps too. */
  readonly records: readonly DecodedRecord[];
  /** Where the log ends, and why there; where there is a header. */
  readonly end: LogPlace;
  readonly endsWith: RecordCase | undefined;
  readonly endCase: EndCase | undefined;
  /** Why it must not be used, in words: "the record 17 at byte 8192 …". */
  readonly damage: string | undefined;
}

interface Slot {
  readonly slot: SlotCase;
  readonly header?: LogHeader;
}

const CHUNK_BYTES = 1 << 20;

/**
 * Finds out what is in a log, and changes nothing. `newBytes`: where nothing was ever written, so much of it would become a log. What is not durable when the power goes may be lost, torn and reordered; all
 * this leads to a shorter log, which is well. What was durable and is not there leads to `damage`.
 */
export function examine(reader: LogReader, newBytes = reader.size): Findings {
  const slots: [Slot, Slot] = [readSlot(reader, 0), readSlot(reader, 1)];
  const { headerCase, header } = chooseHeader(reader, slots, newBytes);
  const { action, means } = HEADER_CASES[headerCase];
  const found = { slots, headerCase, header, records: [], end: ORIGIN, endsWith: undefined, endCase: undefined };
  if (header === undefined || action === "damaged")
    return { ...found, damage: action === "damaged" ? means : undefined };
  const { records, end, endsWith } = follow(reader, header);
  const where = `the record ${end.sequence} at byte ${byteOf(end.position, areaBytes(header.size))}`;
  const scanned = { ...found, records, end, endsWith };
  const at = RECORD_CASES[endsWith];
  if (at.action === "damaged") return { ...scanned, damage: `${where} ${at.means} (${endsWith})` };
  const endCase = askTheRest(reader, header, end);
  const decision = END_CASES[endCase];
  const damage =
    decision.action === "damaged" ? `${where} ${at.means} (${endsWith}); it ${decision.means} (${endCase})` : undefined;
  return { ...scanned, endCase, damage };
}

function readSlot(reader: LogReader, index: number): Slot {
  if (reader.size < AREA_START) return { slot: "foreign" };
  return decodeHeader(reader.read(index * HEADER_BYTES, HEADER_BYTES));
}

function chooseHeader(
  reader: LogReader,
  [a, b]: readonly [Slot, Slot],
  newBytes: number,
): { headerCase: HeaderCase; header: LogHeader | undefined } {
  const none = (headerCase: HeaderCase) => ({ headerCase, header: undefined });
  const are = (slot: SlotCase) => Number(a.slot === slot) + Number(b.slot === slot);
  if (are("newer") > 0) return none("newer-version");
  if (are("unwritten") === 2) return none(whatFollowsZeroes(reader, newBytes));
  if (are("good") === 0) return none(are("torn") > 0 ? "both-bad" : "foreign");
  if (a.header !== undefined && b.header !== undefined && !sameBytes(a.header.id, b.header.id))
    return none("other-ids");
  const header = newest(a.header, b.header);
  if (header.size > reader.size) return { headerCase: "truncated", header };
  return { headerCase: are("good") === 2 ? "both-good" : "one-good", header };
}

/** One of them is there. */
function newest(a: LogHeader | undefined, b: LogHeader | undefined): LogHeader {
  if (a === undefined) return b as LogHeader;
  return b === undefined || a.sequence > b.sequence ? a : b;
}

/** Goes from record to record, beginning at the tail. */
function follow(reader: LogReader, header: LogHeader) {
  const area = areaBytes(header.size);
  const records: DecodedRecord[] = [];
  let end = header.tail;
  for (;;) {
    const [found, record] = classify(reader, header, end);
    if (RECORD_CASES[found].action !== "take" || record === undefined) return { records, end, endsWith: found };
    records.push(record);
    const bytes = found === "wrap" ? area - (end.position % area) : SECTOR_BYTES + record.dataBytes;
    const { run, sequence } = record.place;
    end = { position: end.position + bytes, sequence: sequence + 1, chain: record.checksum, run };
  }
}

/** What stands where the record `next` is looked for. */
function classify(reader: LogReader, header: LogHeader, next: LogPlace): [RecordCase, DecodedRecord?] {
  const area = areaBytes(header.size);
  if (next.position + SECTOR_BYTES > header.tail.position + area) return ["full"];
  const byte = byteOf(next.position, area);
  const sector = reader.read(byte, SECTOR_BYTES);
  if (!isRecord(sector)) return [isZero(sector) ? "unwritten" : "no-record"];
  const record = decodeRecord(sector);
  if (record === undefined) return ["torn-header"];
  if (!sameBytes(record.id, header.id)) return ["other-log"];
  const { place, kind, dataBytes } = record;
  if (place.position < next.position) return ["old-lap"];
  if (place.position > next.position) return ["overtaken"];
  if (place.run < next.run) return ["old-run"];
  if (place.run > header.run) return ["future-run"];
  if (place.sequence !== next.sequence) return ["wrong-sequence"];
  if (place.chain !== next.chain) return ["wrong-chain"];
  if (!isSound(record, header.tail.position + area, area - (next.position % area))) return ["out-of-bounds"];
  if (kind === "wrap") return ["wrap", record];
  if (dataBytes > 0 && checksum(reader.read(byte + SECTOR_BYTES, dataBytes)) !== record.dataChecksum)
    return ["torn-data"];
  return ["next", record];
}

/** `limit`: the position where the tail comes again. `rest`: bytes up to the end of the file. */
function isSound({ kind, place, offset, length, dataBytes }: DecodedRecord, limit: number, rest: number): boolean {
  const bytes = kind === "wrap" ? rest : SECTOR_BYTES + dataBytes;
  if (bytes > rest || place.position + bytes > limit) return false;
  if (dataBytes > MAX_SLOT_BYTES || dataBytes % SECTOR_BYTES !== 0 || dataBytes !== (kind === "write" ? length : 0))
    return false;
  return kind === "wrap" || (length > 0 && Number.isSafeInteger(offset + length));
}

/**
 * Looks through all that is not the log, from `end` around to the tail. A whole record there, or the header, may say that the
 * record which is missing at `end` was durable once; whoever wrote a record knew what was.
 */
function askTheRest(reader: LogReader, header: LogHeader, end: LogPlace): EndCase {
  if (header.synced >= end.sequence) return "gap";
  const area = areaBytes(header.size);
  let answer: EndCase = "end";
  eachChunk(reader, end.position, header.tail.position + area, area, (chunk) => {
    const view = viewOf(chunk);
    for (let at = 0; at < chunk.length; at += SECTOR_BYTES) {
      // To decode all records would take longer than to read the log.
      if (!concerns(view, at, { sequence: end.sequence, run: header.run })) continue;
      const record = decodeRecord(chunk.subarray(at, at + SECTOR_BYTES));
      if (record === undefined || !sameBytes(record.id, header.id)) continue;
      if (record.synced >= end.sequence) answer = "gap";
      else if (answer === "end") answer = "later-front";
    }
  });
  return answer;
}

/** There are no headers: is there anything else, that must not be written over? */
function whatFollowsZeroes(reader: LogReader, newBytes: number): HeaderCase {
  const area = Math.floor(areaBytes(Math.min(reader.size, newBytes)) / SECTOR_BYTES) * SECTOR_BYTES;
  let found: HeaderCase = "empty";
  eachChunk(reader, 0, area, area, (chunk) => {
    for (let at = 0; at < chunk.length; at += SECTOR_BYTES) {
      const sector = chunk.subarray(at, at + SECTOR_BYTES);
      if (isRecord(sector)) found = "headers-gone";
      else if (found === "empty" && !isZero(sector)) found = "foreign";
    }
  });
  return found;
}

/** Whole sectors each. */
function eachChunk(
  reader: LogReader,
  from: number,
  until: number,
  area: number,
  look: (chunk: Uint8Array) => void,
): void {
  for (let at = from; at < until; ) {
    const bytes = Math.min(CHUNK_BYTES, until - at, area - (at % area));
    look(reader.read(byteOf(at, area), bytes));
    at += bytes;
  }
}
