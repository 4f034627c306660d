import { checksum } from "../../shadow/checksum.ts";
import type { KnownStore } from "../../shadow/home.ts";
import { getNumber, HEADER_BYTES, ID_BYTES, isZero, type LogPlace, putNumber, VERSION, viewOf } from "./format.ts";

/*
 * A header, in one of two slots of 4096 bytes. Numbers are little-endian; what isn't named is zero.
 *
 *     0  "SKINKLOG"                          56  u64 tail: position
 *     8  u32 version                         64  u64 tail: sequence of the record there
 *    12  u32 CRC32C of the 4096 bytes,       72  u64 tail: run of the record before
 *        with zeroes here                    80  u32 tail: checksum of the record before
 *    16  id of the log, 16 random bytes      84  u32 pid of the front that wrote this
 *    32  u64 sequence of the header          88  u64 synced: the last record known to be durable
 *    40  u64 size of the log                 96  u32 bytes of JSON
 *    48  u64 run of the front                100 what is known of the store, as JSON
 *
 * The header of sequence n is in slot n mod 2, and is written only when the one before is durable: so one of the two is always whole.
 */

const MAGIC = new TextEncoder().encode("SKINKLOG");
const CHECKSUM_AT = 12;
const JSON_AT = 100;

export interface LogHeader {
  /** 16 bytes that no other log has. */
  readonly id: Uint8Array;
  readonly sequence: number;
  /** Bytes, headers and all. */
  readonly size: number;
  /** Each front that takes the log up has one of its own, greater than those before. In the header before any record of it. */
  readonly run: number;
  /** Nothing before this is needed any more, once this header is durable. */
  readonly tail: LogPlace;
  readonly pid: number;
  /** Sequence of the last record that was known to be durable when this was written. */
  readonly synced: number;
  readonly store: KnownStore | undefined;
}

/** What stands in a slot. `unwritten`: zeroes. `foreign`: nothing of ours. `newer`: a later version wrote it. `torn`: ours, and damaged. */
export type SlotCase = "good" | "unwritten" | "foreign" | "newer" | "torn";

/** HEADER_BYTES. An identity that doesn't fit beside the rest is left out. */
export function encodeHeader(header: LogHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(MAGIC);
  view.setUint32(8, VERSION, true);
  bytes.set(header.id, 16);
  putNumber(view, 32, header.sequence);
  putNumber(view, 40, header.size);
  putNumber(view, 48, header.run);
  putNumber(view, 56, header.tail.position);
  putNumber(view, 64, header.tail.sequence);
  putNumber(view, 72, header.tail.run);
  view.setUint32(80, header.tail.chain, true);
  view.setUint32(84, header.pid, true);
  putNumber(view, 88, header.synced);
  const json = header.store === undefined ? new Uint8Array() : encodeStore(header.store);
  view.setUint32(96, json.length, true);
  bytes.set(json, JSON_AT);
  view.setUint32(CHECKSUM_AT, checksum(bytes), true);
  return bytes;
}

/** `bytes`: a whole slot, borrowed. */
export function decodeHeader(bytes: Uint8Array): { readonly slot: SlotCase; readonly header?: LogHeader } {
  if (isZero(bytes)) return { slot: "unwritten" };
  for (let i = 0; i < MAGIC.length; i++) if (bytes[i] !== MAGIC[i]) return { slot: "foreign" };
  // Not slice: that of a Buffer copies nothing.
  const copy = new Uint8Array(bytes);
  const view = viewOf(copy);
  const expected = view.getUint32(CHECKSUM_AT, true);
  view.setUint32(CHECKSUM_AT, 0, true);
  if (checksum(copy) !== expected) return { slot: "torn" };
  // Magic, version and checksum keep their places in every version.
  if (view.getUint32(8, true) > VERSION) return { slot: "newer" };
  const json = copy.subarray(JSON_AT, JSON_AT + view.getUint32(96, true));
  const header = {
    id: copy.slice(16, 16 + ID_BYTES),
    sequence: getNumber(view, 32),
    size: getNumber(view, 40),
    run: getNumber(view, 48),
    tail: {
      position: getNumber(view, 56),
      sequence: getNumber(view, 64),
      run: getNumber(view, 72),
      chain: view.getUint32(80, true),
    },
    pid: view.getUint32(84, true),
    synced: getNumber(view, 88),
    store: json.length === 0 ? undefined : (JSON.parse(new TextDecoder().decode(json)) as KnownStore),
  };
  return { slot: "good", header };
}

/** Whether all that is known of the store has room in a header. */
export function fitsHeader(store: KnownStore): boolean {
  return jsonOf(store).length <= HEADER_BYTES - JSON_AT;
}

function encodeStore(store: KnownStore): Uint8Array {
  return jsonOf(fitsHeader(store) ? store : { ...store, identity: undefined });
}

function jsonOf(store: KnownStore): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(store));
}
