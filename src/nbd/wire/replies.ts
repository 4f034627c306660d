import type { Extent } from "../../block/request.ts";
import { CHUNK, CHUNK_FLAG_DONE, CHUNK_MAGIC, MAX_EXTENTS, SIMPLE_REPLY_MAGIC, STATUS } from "./protocol.ts";

/*
 * A simple reply; the data of a READ follows where there is no error:
 *
 *   0       4       8        16
 *   | magic | error | cookie | data … |
 *   | u32   | u32   | u64    |
 *
 * A chunk of a structured reply, and what the chunks carry:
 *
 *   0       4       6      8        16       20
 *   | magic | flags | type | cookie | length | … |
 *   | u32   | u16   | u16  | u64    | u32    |
 *
 * The same where extended headers were agreed on, with the offset of the request:
 *
 *   0       4       6      8        16       24       32
 *   | magic | flags | type | cookie | offset | length | … |
 *   | u32   | u16   | u16  | u64    | u64    | u64    |
 *
 *   NONE            nothing
 *   OFFSET_DATA     | offset u64 | data … |
 *   OFFSET_HOLE     | offset u64 | length u32 |
 *   BLOCK_STATUS    | context u32 | length u32 | flags u32 | …  a pair an extent |
 *   BLOCK_STATUS_EXT | context u32 | count u32 | length u64 | flags u64 | …  a pair an extent |
 *   ERROR           | error u32 | message length u16 | message … |
 *   ERROR_OFFSET    | error u32 | message length u16 | message … | offset u64 |
 */
export const SIMPLE_REPLY_BYTES = 16;
export const CHUNK_HEADER_BYTES = 20;
export const EXTENDED_CHUNK_HEADER_BYTES = 32;
/** Of OFFSET_DATA, without the data. */
export const DATA_CHUNK_BYTES = CHUNK_HEADER_BYTES + 8;
export const HOLE_CHUNK_BYTES = CHUNK_HEADER_BYTES + 12;
export const ERROR_CHUNK_BYTES = CHUNK_HEADER_BYTES + 6;

/** Longer extents go out in parts: their lengths have 32 bits, and whole blocks are wanted. */
const MAX_EXTENT_BYTES = 0xffff0000;

export interface Cookie {
  readonly cookieHigh: number;
  readonly cookieLow: number;
}

/** Writes SIMPLE_REPLY_BYTES at 0. */
export function encodeSimpleReply(view: DataView, cookie: Cookie, error: number): void {
  view.setUint32(0, SIMPLE_REPLY_MAGIC);
  view.setUint32(4, error);
  view.setUint32(8, cookie.cookieHigh);
  view.setUint32(12, cookie.cookieLow);
}

/** Writes CHUNK_HEADER_BYTES at 0; the chunk is the whole reply. */
export function encodeNoneChunk(view: DataView, cookie: Cookie): void {
  chunkHeader(view, cookie, CHUNK.NONE, true, 0);
}

/** Writes DATA_CHUNK_BYTES at 0; `length` bytes of data have to follow. */
export function encodeDataChunk(view: DataView, cookie: Cookie, done: boolean, offset: number, length: number): void {
  chunkHeader(view, cookie, CHUNK.OFFSET_DATA, done, 8 + length);
  setOffset(view, CHUNK_HEADER_BYTES, offset);
}

/** Writes HOLE_CHUNK_BYTES at 0. */
export function encodeHoleChunk(view: DataView, cookie: Cookie, done: boolean, offset: number, length: number): void {
  chunkHeader(view, cookie, CHUNK.OFFSET_HOLE, done, 12);
  setOffset(view, CHUNK_HEADER_BYTES, offset);
  view.setUint32(CHUNK_HEADER_BYTES + 8, length);
}

/** Writes ERROR_CHUNK_BYTES at 0: the last chunk, without a message. */
export function encodeErrorChunk(view: DataView, cookie: Cookie, error: number): void {
  chunkHeader(view, cookie, CHUNK.ERROR, true, 6);
  view.setUint32(CHUNK_HEADER_BYTES, error);
  view.setUint16(CHUNK_HEADER_BYTES + 4, 0);
}

/** The one chunk of a BLOCK_STATUS reply. `one`: the first extent alone, as REQ_ONE wants. */
export function encodeStatusChunk(
  cookie: Cookie,
  context: number,
  extents: readonly Extent[],
  one: boolean,
): Uint8Array {
  const parts = splitExtents(extents, one ? 1 : MAX_EXTENTS);
  const bytes = new Uint8Array(CHUNK_HEADER_BYTES + 4 + 8 * parts.length);
  const view = new DataView(bytes.buffer);
  chunkHeader(view, cookie, CHUNK.BLOCK_STATUS, true, 4 + 8 * parts.length);
  view.setUint32(CHUNK_HEADER_BYTES, context);
  let at = CHUNK_HEADER_BYTES + 4;
  for (const part of parts) {
    view.setUint32(at, part.length);
    view.setUint32(at + 4, (part.hole ? STATUS.HOLE : 0) | (part.zero ? STATUS.ZERO : 0));
    at += 8;
  }
  return bytes;
}

function splitExtents(extents: readonly Extent[], limit: number): Extent[] {
  const parts: Extent[] = [];
  for (const extent of extents) {
    for (let left = extent.length; left > 0 && parts.length < limit; left -= MAX_EXTENT_BYTES) {
      parts.push({ ...extent, length: Math.min(left, MAX_EXTENT_BYTES) });
    }
  }
  return parts;
}

function chunkHeader(view: DataView, cookie: Cookie, type: number, done: boolean, length: number): void {
  view.setUint32(0, CHUNK_MAGIC);
  view.setUint16(4, done ? CHUNK_FLAG_DONE : 0);
  view.setUint16(6, type);
  view.setUint32(8, cookie.cookieHigh);
  view.setUint32(12, cookie.cookieLow);
  view.setUint32(16, length);
}

function setOffset(view: DataView, at: number, offset: number): void {
  view.setUint32(at, Math.floor(offset / 0x1_0000_0000));
  view.setUint32(at + 4, offset >>> 0);
}
