import { isBlockSize, MAX_BLOCK_SIZE } from "../block/geometry.ts";

/*
 * The format of the kernel's dm-log-writes target, version 1 (Linux, drivers/md/dm-log-writes.c). Numbers are little-endian,
 * unsigned. A sector is the block size of the device that was recorded; everything lies on whole sectors.
 *
 *   | super | entry | its data, nr_sectors | entry | entry | its data | …
 *
 *   super     0             8             16            24            28
 *             | magic       | version 1   | nr_entries  | sectorsize  | zeroes …
 *
 *   entry     0             8             16            24            32
 *             | sector      | nr_sectors  | flags       | data_len    | a mark's text, zeroes …
 *
 * A discard has nr_sectors and no data. A mark has neither; its text, data_len bytes, is in its entry's own sector, with a zero
 * behind it. `sector` counts on the device, and 0 stands there where it means nothing.
 */
const MAGIC = 0x6a736677736872n;
const VERSION = 1n;
const SUPER_BYTES = 28;
const ENTRY_BYTES = 32;

const FLUSH = 1;
const FUA = 2;
const DISCARD = 4;
const MARK = 8;
/** A file system's own blocks, as against a user's data. The kernel tells; clients of NBD can't. */
const METADATA = 16;
const KNOWN_FLAGS = FLUSH | FUA | DISCARD | MARK | METADATA;

const ZEROES = Buffer.alloc(MAX_BLOCK_SIZE);

/** So much of a log's start says how large its sectors are. */
export const PROLOGUE_BYTES = SUPER_BYTES;

/** What marks that Skink makes for itself begin with; those of users don't. */
export const OWN_MARK = "skink: ";

/** What happened, as it stands in a log. */
export interface EntryHeader {
  /** Bytes on the device, whole sectors. Both 0 for a flush and for a mark. */
  readonly offset: number;
  readonly length: number;
  /**
   * Everything before it in the log is durable once it has succeeded; of a log of the kernel's it may have data, too, which is
   * not.
   */
  readonly flush: boolean;
  /** Durable by itself. */
  readonly fua: boolean;
  /** What the range holds afterwards is unspecified until its next write. */
  readonly discard: boolean;
  readonly metadata: boolean;
  readonly mark: string | undefined;
}

/** One entry of a log that is read. */
export interface LogEntry extends EntryHeader {
  /** From 0 on, as replay-log counts. */
  readonly index: number;
  /** It has data of `length` bytes in the log. */
  readonly hasData: boolean;
  /** Where in the log its data is, or would be. Bytes. */
  readonly dataPosition: number;
  /**
   * How many entries there were when it was answered: `index` + 1, or more for a flush that later writers overtook. These were
   * acknowledged while it was still under way: a power cut in that time may have left them, without what the flush was to make
   * durable.
   */
  readonly answeredAt: number;
}

export interface LogSuper {
  readonly entries: number;
  readonly sectorSize: number;
}

/** The longest text of a mark, in bytes. */
export function maxMarkBytes(sectorSize: number): number {
  return sectorSize - ENTRY_BYTES - 1;
}

/** A whole sector. */
export function encodeSuper({ entries, sectorSize }: LogSuper): Buffer {
  const sector = Buffer.alloc(sectorSize);
  sector.writeBigUInt64LE(MAGIC, 0);
  sector.writeBigUInt64LE(VERSION, 8);
  sector.writeBigUInt64LE(BigInt(entries), 16);
  sector.writeUInt32LE(sectorSize, 24);
  return sector;
}

/** `bytes`: at least PROLOGUE_BYTES from the start of a log. Returns what is wrong with it, if it is no log's. */
export function decodeSuper(bytes: Uint8Array): LogSuper | string {
  const view = viewOf(bytes);
  if (view.byteLength < SUPER_BYTES) return `it has ${view.byteLength} bytes`;
  if (view.getBigUint64(0, true) !== MAGIC) return "it doesn't begin like one";
  const version = view.getBigUint64(8, true);
  if (version !== VERSION) return `it is of version ${version}`;
  const sectorSize = view.getUint32(24, true);
  if (!isBlockSize(sectorSize)) return `its sectors have ${sectorSize} bytes`;
  const entries = view.getBigUint64(16, true);
  if (entries > BigInt(Number.MAX_SAFE_INTEGER)) return `it has ${entries} entries`;
  return { entries: Number(entries), sectorSize };
}

/** Writes an entry's sector to the start of `into`, which has at least a sector. A mark's text fits: see {@link maxMarkBytes}. */
export function encodeEntry(entry: EntryHeader, sectorSize: number, into: Buffer): void {
  const { offset, length, mark } = entry;
  const flags =
    (entry.flush ? FLUSH : 0) |
    (entry.fua ? FUA : 0) |
    (entry.discard ? DISCARD : 0) |
    (entry.metadata ? METADATA : 0) |
    (mark === undefined ? 0 : MARK);
  into.fill(0, 0, sectorSize);
  into.writeBigUInt64LE(BigInt(offset / sectorSize), 0);
  into.writeBigUInt64LE(BigInt(length / sectorSize), 8);
  into.writeBigUInt64LE(BigInt(flags), 16);
  if (mark !== undefined) into.writeBigUInt64LE(BigInt(into.write(mark, ENTRY_BYTES)), 24);
}

/** `sector`: the whole of it. Returns what is wrong with it, if it is no entry's. */
export function decodeEntry(sector: Uint8Array): EntryHeader | string {
  const view = viewOf(sector);
  const sectorSize = view.byteLength;
  const flagBits = view.getBigUint64(16, true);
  if ((flagBits & ~BigInt(KNOWN_FLAGS)) !== 0n) return `its flags are 0x${flagBits.toString(16)}`;
  const flags = Number(flagBits);
  const offset = view.getBigUint64(0, true) * BigInt(sectorSize);
  const length = view.getBigUint64(8, true) * BigInt(sectorSize);
  if (offset + length > BigInt(Number.MAX_SAFE_INTEGER)) return "its range is beyond what a device can have";
  const isMark = (flags & MARK) !== 0;
  if (flags === 0 && length === 0n) return "it says nothing";
  if (isMark && (flags !== MARK || length > 0n)) return "it is a mark and something else";
  const textBytes = isMark ? view.getBigUint64(24, true) : 0n;
  if (textBytes > BigInt(maxMarkBytes(sectorSize))) return `its mark has ${textBytes} bytes`;
  const textEnd = ENTRY_BYTES + Number(textBytes);
  if (Buffer.compare(sector.subarray(textEnd), ZEROES.subarray(textEnd, sectorSize)) !== 0) {
    return "there is something behind its end";
  }
  return {
    offset: Number(offset),
    length: Number(length),
    flush: (flags & FLUSH) !== 0,
    fua: (flags & FUA) !== 0,
    discard: (flags & DISCARD) !== 0,
    metadata: (flags & METADATA) !== 0,
    mark: isMark ? Buffer.from(sector.subarray(ENTRY_BYTES, textEnd)).toString("utf8") : undefined,
  };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
