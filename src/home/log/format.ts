import { MAX_SLOT_BYTES } from "../../block/memory.ts";

/*
 * The log is a file, or a whole block device:
 *
 *   0          4096       8192                                                        size
 *   | header 0 | header 1 | records, one behind the other, in a ring                    |
 *
 *   a record:  | sector of the record | its data, whole sectors |
 *
 * A *position* counts the bytes of the ring that were ever used, and only grows: what is at position p lies at byte
 * 8192 + p mod (size - 8192). A record never passes the end: what doesn't fit there comes behind a record that says `wrap`.
 */

/** The unit in which a disk writes: a record begins at a whole one. Never torn, as we presume of disks. */
export const SECTOR_BYTES = 512;
export const HEADER_BYTES = 4096;
export const AREA_START = 2 * HEADER_BYTES;
export const VERSION = 1;
export const ID_BYTES = 16;

/** A place in the log, and what the record there has to know of the one before it. */
export interface LogPlace {
  /** Bytes of the ring: see above. */
  readonly position: number;
  /** Of the record that begins here. */
  readonly sequence: number;
  /** Checksum of the record before: the record that begins here has it as its `previous`. */
  readonly chain: number;
  /** The run that wrote the record before: the record that begins here is of no earlier one. */
  readonly run: number;
}

/** Where an empty log begins. No record has the sequence 0. */
export const ORIGIN: LogPlace = { position: 0, sequence: 1, chain: 0, run: 0 };

export function areaBytes(size: number): number {
  return size - AREA_START;
}

/** The byte of the file where a position lies. */
export function byteOf(position: number, area: number): number {
  return AREA_START + (position % area);
}

/** What a log has to have room for. */
export interface LogLimits {
  /** Pieces that the shadow may hold. */
  readonly pieces: number;
  /** Bytes of the largest request. */
  readonly requestBytes: number;
}

/** A piece's data lies in one slot. */
export function largestRecord(limits: Pick<LogLimits, "requestBytes">): number {
  return SECTOR_BYTES + Math.min(MAX_SLOT_BYTES, limits.requestBytes);
}

/** What may be taken by records that count. The other half is for writing those anew that pin the tail. */
export function usableBytes(size: number, limits: Pick<LogLimits, "requestBytes">): number {
  return Math.floor(areaBytes(size) / 2) - largestRecord(limits);
}

/** Bytes that the records of a writer of `length` bytes take, with data or without; and one more sector, since it may split an older piece. */
export function roomOf(length: number, hasData: boolean): number {
  return (recordsOf(length, hasData) + 1) * SECTOR_BYTES + (hasData ? length : 0);
}

export function recordsOf(length: number, hasData: boolean): number {
  if (length === 0) return 0;
  return hasData ? Math.ceil(length / MAX_SLOT_BYTES) : 1;
}

/** The smallest log that has room for the largest request, if little else lives in it. */
export function minimumLogBytes(limits: Pick<LogLimits, "requestBytes">): number {
  return AREA_START + 2 * (roomOf(limits.requestBytes, true) + 2 * largestRecord(limits));
}

/** Whole numbers up to 2^53, without the cost of a bigint. */
export function putNumber(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 0x1_0000_0000, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

export function getNumber(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The id of a log in hexadecimal. */
export function idText(id: Uint8Array): string {
  return Buffer.from(id).toString("hex");
}

export function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false;
  return a.length === b.length;
}
