import { EXTENDED_REQUEST_MAGIC, REQUEST_MAGIC } from "./protocol.ts";

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
 * The cookie is opaque: two words of the client's, echoed by the reply.
 */
export const REQUEST_BYTES = 28;
export const EXTENDED_REQUEST_BYTES = 32;

/** Filled by {@link decodeRequest}; one for all requests of a connection, so that decoding allocates nothing. */
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

export function newRequestHeader(): RequestHeader {
  return { flags: 0, type: 0, cookieHigh: 0, cookieLow: 0, offset: 0, length: 0 };
}

/** False where the magic is wrong and the stream lost. */
export function decodeRequest(view: DataView, at: number, into: RequestHeader): boolean {
  if (view.getUint32(at) !== REQUEST_MAGIC) return false;
  into.flags = view.getUint16(at + 4);
  into.type = view.getUint16(at + 6);
  into.cookieHigh = view.getUint32(at + 8);
  into.cookieLow = view.getUint32(at + 12);
  into.offset = view.getUint32(at + 16) * 0x1_0000_0000 + view.getUint32(at + 20);
  into.length = view.getUint32(at + 24);
  return true;
}

/** False where the magic is wrong and the stream lost. */
export function decodeExtendedRequest(view: DataView, at: number, into: RequestHeader): boolean {
  if (view.getUint32(at) !== EXTENDED_REQUEST_MAGIC) return false;
  into.flags = view.getUint16(at + 4);
  into.type = view.getUint16(at + 6);
  into.cookieHigh = view.getUint32(at + 8);
  into.cookieLow = view.getUint32(at + 12);
  into.offset = view.getUint32(at + 16) * 0x1_0000_0000 + view.getUint32(at + 20);
  into.length = view.getUint32(at + 24) * 0x1_0000_0000 + view.getUint32(at + 28);
  return true;
}

/** Writes REQUEST_BYTES at `at`. `offset` ≤ 2^53, `length` < 2^32. */
export function encodeRequest(view: DataView, at: number, header: Readonly<RequestHeader>): void {
  view.setUint32(at, REQUEST_MAGIC);
  view.setUint16(at + 4, header.flags);
  view.setUint16(at + 6, header.type);
  view.setUint32(at + 8, header.cookieHigh);
  view.setUint32(at + 12, header.cookieLow);
  view.setUint32(at + 16, Math.floor(header.offset / 0x1_0000_0000));
  view.setUint32(at + 20, header.offset >>> 0);
  view.setUint32(at + 24, header.length);
}

/** Writes EXTENDED_REQUEST_BYTES at `at`. `offset` and `length` ≤ 2^53. */
export function encodeExtendedRequest(view: DataView, at: number, header: Readonly<RequestHeader>): void {
  view.setUint32(at, EXTENDED_REQUEST_MAGIC);
  view.setUint16(at + 4, header.flags);
  view.setUint16(at + 6, header.type);
  view.setUint32(at + 8, header.cookieHigh);
  view.setUint32(at + 12, header.cookieLow);
  view.setUint32(at + 16, Math.floor(header.offset / 0x1_0000_0000));
  view.setUint32(at + 20, header.offset >>> 0);
  view.setUint32(at + 24, Math.floor(header.length / 0x1_0000_0000));
  view.setUint32(at + 28, header.length >>> 0);
}
