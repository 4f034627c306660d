import { checksum } from "../../shadow/checksum.ts";
import type { Piece } from "../../shadow/piece-map.ts";
import { getNumber, ID_BYTES, type LogPlace, putNumber, SECTOR_BYTES, viewOf } from "./format.ts";

/*
 * The sector of a record. Its data follows, whole sectors. Numbers are little-endian; what isn't named is zero.
 *
 *     0  "SKINKREC"                          56  u64 synced: the last record that was known to be durable
 *     8  u32 CRC32C of the 512 bytes,        64  u8 kind: 1 write, 2 zero, 3 trim, 4 wrap
 *        with zeroes here                    65  u8 flags: 1 a zero may leave a hole
 *    12  u32 previous: that of the record    68  u32 bytes of data
 *        before                              72  u64 offset on the device
 *    16  id of the log                       80  u64 length on the device
 *    32  u64 run                             88  u32 CRC32C of the data
 *    40  u64 sequence
 *    48  u64 position
 */

const MAGIC = new TextEncoder().encode("SKINKREC");
const MAGIC_START = viewOf(MAGIC).getUint32(0);
const MAGIC_END = viewOf(MAGIC).getUint32(4);
const CHECKSUM_AT = 8;
const RUN_AT = 32;
const SYNCED_AT = 56;
const MAY_TRIM = 1;

export type RecordKind = Piece["kind"] | "wrap";
const KINDS: readonly RecordKind[] = ["write", "zero", "trim", "wrap"];

export interface LogRecordFields {
  /** 16 bytes: that of the log. */
  readonly id: Uint8Array;
  /** Where it stands, and what came before it. `chain` is its `previous`; `run` that of the front which wrote it. */
  readonly place: LogPlace;
  /** Sequence of the last record that was known to be durable when this one was made. */
  readonly synced: number;
  readonly kind: RecordKind;
  readonly mayTrim: boolean;
  /** Bytes on the device; 0 of a wrap. */
  readonly offset: number;
  readonly length: number;
  readonly dataBytes: number;
  readonly dataChecksum: number;
}

export interface DecodedRecord extends LogRecordFields {
  /** Of the sector, and through it of the data, and of all records before. */
  readonly checksum: number;
}

/** The sector of a record, SECTOR_BYTES, and its checksum, for the next one's place. */
export function encodeRecord(record: LogRecordFields): { readonly sector: Uint8Array; readonly checksum: number } {
  const sector = new Uint8Array(SECTOR_BYTES);
  const view = viewOf(sector);
  sector.set(MAGIC);
  view.setUint32(12, record.place.chain, true);
  sector.set(record.id, 16);
  putNumber(view, RUN_AT, record.place.run);
  putNumber(view, 40, record.place.sequence);
  putNumber(view, 48, record.place.position);
  putNumber(view, SYNCED_AT, record.synced);
  sector[64] = KINDS.indexOf(record.kind) + 1;
  sector[65] = record.mayTrim ? MAY_TRIM : 0;
  view.setUint32(68, record.dataBytes, true);
  putNumber(view, 72, record.offset);
  putNumber(view, 80, record.length);
  view.setUint32(88, record.dataChecksum, true);
  const sum = checksum(sector);
  view.setUint32(CHECKSUM_AT, sum, true);
  return { sector, checksum: sum };
}

export function isRecord(sector: Uint8Array): boolean {
  for (let i = 0; i < MAGIC.length; i++) if (sector[i] !== MAGIC[i]) return false;
  return true;
}

/**
 * Whether the sector at byte `at` says, should it be a whole record, that one from `sequence` on was durable, or that it is of a later front
 * than `run`. Quick: most have nothing to say.
 */
export function concerns(view: DataView, at: number, { sequence, run }: { sequence: number; run: number }): boolean {
  if (view.getUint32(at) !== MAGIC_START || view.getUint32(at + 4) !== MAGIC_END) return false;
  return getNumber(view, at + SYNCED_AT) >= sequence || getNumber(view, at + RUN_AT) > run;
}

/** `undefined`: the sector is damaged. `sector`: one that {@link isRecord}, borrowed. */
export function decodeRecord(sector: Uint8Array): DecodedRecord | undefined {
  // Not slice: that of a Buffer copies nothing.
  const copy = new Uint8Array(sector);
  const view = viewOf(copy);
  const expected = view.getUint32(CHECKSUM_AT, true);
  view.setUint32(CHECKSUM_AT, 0, true);
  const kind = KINDS[(copy[64] as number) - 1];
  if (checksum(copy) !== expected || kind === undefined) return undefined;
  return {
    id: copy.subarray(16, 16 + ID_BYTES),
    place: {
      run: getNumber(view, RUN_AT),
      sequence: getNumber(view, 40),
      position: getNumber(view, 48),
      chain: view.getUint32(12, true),
    },
    synced: getNumber(view, SYNCED_AT),
    kind,
    mayTrim: copy[65] === MAY_TRIM,
    dataBytes: view.getUint32(68, true),
    offset: getNumber(view, 72),
    length: getNumber(view, 80),
    dataChecksum: view.getUint32(88, true),
    checksum: expected,
  };
}
