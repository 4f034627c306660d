import { EXTENDED_REQUEST_MAGIC, REQUEST_MAGIC } from "./protocol.ts";
import { getUint64, setUint64, viewOf } from "./view.ts";

/*
 * A request, from the client; the data of a WRITE follows:
 *
 *   0       4       6      8        16       24       28
 *   | magic | flags | type | cookie | offset | length | data … |
 *   | u32   | u16   | u16  | u64    | u64    | u32    |
 *
 * and where extended headers were agreed on, the data of whatever has the flag PAYLOAD_LEN:
 *
 *   0       4       6      8        16       24       32
 *   | magic | flags | type | cookie | offset | length | data … |
 *   | u32   | u16   | u16  | u64    | u64    | u64    |
 *
 * The payload of a BLOCK_STATUS that has one:
 *
 *   0        8         12
 *   | length | context | … |
 *   | u64    | u32     |
 *
 * The cookie is opaque: two words of the client's, echoed by the reply.
 */
export const REQUEST_BYTES = 28;
export const EXTENDED_REQUEST_BYTES = 32;

export interface RequestHeader {
  flags: number;
  type: number;
  cookieHigh: number;
  cookieLow: number;
  /** Bytes. Past 2^53 it comes out rounded, which is past the end of every device all the same. */
  offset: number;
  /** Bytes; like the offset, past 2^53, which extended headers allow. */
  length: number;
}

/** Filled by {@link decodeRequest}; one for all requests of a connection, so that decoding allocates nothing. */
export interface ReceivedRequest extends RequestHeader {
  /** The offset to the bit, for the reply to echo. */
  offsetHigh: number;
  offsetLow: number;
}

export function newRequestHeader(): ReceivedRequest {
  return { flags: 0, type: 0, cookieHigh: 0, cookieLow: 0, offset: 0, length: 0, offsetHigh: 0, offsetLow: 0 };
}

/** False where the magic is wrong and the stream lost. */
export function decodeRequest(view: DataView, at: number, into: ReceivedRequest): boolean {
  if (view.getUint32(at) !== REQUEST_MAGIC) return false;
  decodeCommon(view, at, into);
  into.length = view.getUint32(at + 24);
  return true;
}

/** False where the magic is wrong and the stream lost. */
export function decodeExtendedRequest(view: DataView, at: number, into: ReceivedRequest): boolean {
  if (view.getUint32(at) !== EXTENDED_REQUEST_MAGIC) return false;
  decodeCommon(view, at, into);
  into.length = getUint64(view, at + 24);
  return true;
}

function decodeCommon(view: DataView, at: number, into: ReceivedRequest): void {
  into.flags = view.getUint16(at + 4);
  into.type = view.getUint16(at + 6);
  into.cookieHigh = view.getUint32(at + 8);
  into.cookieLow = view.getUint32(at + 12);
  into.offsetHigh = view.getUint32(at + 16);
  into.offsetLow = view.getUint32(at + 20);
  into.offset = into.offsetHigh * 0x1_0000_0000 + into.offsetLow;
}

/** Writes REQUEST_BYTES at `at`. `offset` ≤ 2^53, `length` < 2^32. */
export function encodeRequest(view: DataView, at: number, header: Readonly<RequestHeader>): void {
  view.setUint32(at, REQUEST_MAGIC);
  encodeCommon(view, at, header);
  view.setUint32(at + 24, header.length);
}

/** Writes EXTENDED_REQUEST_BYTES at `at`. `offset` and `length` ≤ 2^53. */
export function encodeExtendedRequest(view: DataView, at: number, header: Readonly<RequestHeader>): void {
  view.setUint32(at, EXTENDED_REQUEST_MAGIC);
  encodeCommon(view, at, header);
  setUint64(view, at + 24, header.length);
}

function encodeCommon(view: DataView, at: number, header: Readonly<RequestHeader>): void {
  view.setUint16(at + 4, header.flags);
  view.setUint16(at + 6, header.type);
  view.setUint32(at + 8, header.cookieHigh);
  view.setUint32(at + 12, header.cookieLow);
  setUint64(view, at + 16, header.offset);
}

/** The payload of a BLOCK_STATUS: the effect length, bytes, and the ids of the contexts that it asks about. */
export interface StatusQuery {
  /** Past 2^53 it comes out rounded, like that of a header. */
  readonly length: number;
  readonly contexts: readonly number[];
}

/** `undefined` where the payload is malformed. */
export function decodeStatusQuery(payload: Uint8Array): StatusQuery | undefined {
  if (payload.length < 8 || payload.length % 4 !== 0) return undefined;
  const view = viewOf(payload);
  const contexts: number[] = [];
  for (let at = 8; at < payload.length; at += 4) contexts.push(view.getUint32(at));
  return { length: getUint64(view, 0), contexts };
}

export function encodeStatusQuery(query: StatusQuery): Uint8Array {
  const bytes = new Uint8Array(8 + 4 * query.contexts.length);
  const view = viewOf(bytes);
  setUint64(view, 0, query.length);
  for (const [index, context] of query.contexts.entries()) view.setUint32(8 + 4 * index, context);
  return bytes;
}
