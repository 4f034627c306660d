import type { Extent } from "../../block/request.ts";
import {
  CHUNK,
  CHUNK_FLAG_DONE,
  CHUNK_MAGIC,
  EXTENDED_CHUNK_MAGIC,
  MAX_EXTENTS,
  SIMPLE_REPLY_MAGIC,
  STATUS,
} from "./protocol.ts";
import { setUint64 } from "./view.ts";

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
 *   NONE               nothing
 *   OFFSET_DATA        | offset u64 | data … |
 *   OFFSET_HOLE        | offset u64 | length u32 |
 *   BLOCK_STATUS       | context u32 | length u32 | flags u32 | …              a pair an extent; compact headers
 *   BLOCK_STATUS_EXT   | context u32 | count u32 | length u64 | flags u64 | …  a pair an extent; extended headers
 *   ERROR              | error u32 | message length u16 | message … |
 *   ERROR_OFFSET       | error u32 | message length u16 | message … | offset u64 |
 */
export const SIMPLE_REPLY_BYTES = 16;
export const CHUNK_HEADER_BYTES = 20;
export const EXTENDED_CHUNK_HEADER_BYTES = 32;
/** What follows the header: of OFFSET_DATA without the data, of ERROR without a message. */
export const DATA_HEAD_BYTES = 8;
export const HOLE_BODY_BYTES = 12;
export const ERROR_BODY_BYTES = 6;

/** Longer extents go out in parts where their lengths have 32 bits; whole blocks are wanted. */
const MAX_COMPACT_EXTENT_BYTES = 0xffff0000;

/** Which of the two headers the chunks of a connection have. */
export interface ChunkLayout {
  readonly headerBytes: number;
  readonly extended: boolean;
}

export const STRUCTURED: ChunkLayout = { headerBytes: CHUNK_HEADER_BYTES, extended: false };
export const EXTENDED: ChunkLayout = { headerBytes: EXTENDED_CHUNK_HEADER_BYTES, extended: true };

export interface Cookie {
  readonly cookieHigh: number;
  readonly cookieLow: number;
}

/** The request that a chunk answers: what an extended header echoes, to the bit. */
export interface ReplyTo extends Cookie {
  readonly offsetHigh: number;
  readonly offsetLow: number;
}

/** Writes SIMPLE_REPLY_BYTES at 0. */
export function encodeSimpleReply(view: DataView, cookie: Cookie, error: number): void {
  view.setUint32(0, SIMPLE_REPLY_MAGIC);
  view.setUint32(4, error);
  view.setUint32(8, cookie.cookieHigh);
  view.setUint32(12, cookie.cookieLow);
}

/** Writes a header at 0; the chunk is the whole reply. */
export function encodeNoneChunk(view: DataView, layout: ChunkLayout, to: ReplyTo): void {
  chunkHeader(view, layout, to, CHUNK.NONE, true, 0);
}

/** Writes a header and DATA_HEAD_BYTES at 0; `length` bytes of data have to follow. */
export function encodeDataChunk(
  view: DataView,
  layout: ChunkLayout,
  to: ReplyTo,
  done: boolean,
  offset: number,
  length: number,
): void {
  chunkHeader(view, layout, to, CHUNK.OFFSET_DATA, done, DATA_HEAD_BYTES + length);
  setUint64(view, layout.headerBytes, offset);
}

/** Writes a header and HOLE_BODY_BYTES at 0. `length` < 2^32. */
export function encodeHoleChunk(
  view: DataView,
  layout: ChunkLayout,
  to: ReplyTo,
  done: boolean,
  offset: number,
  length: number,
): void {
  chunkHeader(view, layout, to, CHUNK.OFFSET_HOLE, done, HOLE_BODY_BYTES);
  setUint64(view, layout.headerBytes, offset);
  view.setUint32(layout.headerBytes + 8, length);
}

/** Writes a header and ERROR_BODY_BYTES at 0: the last chunk, without a message. */
export function encodeErrorChunk(view: DataView, layout: ChunkLayout, to: ReplyTo, error: number): void {
  chunkHeader(view, layout, to, CHUNK.ERROR, true, ERROR_BODY_BYTES);
  view.setUint32(layout.headerBytes, error);
  view.setUint16(layout.headerBytes + 4, 0);
}

/** The one chunk of a BLOCK_STATUS reply. `one`: the first extent alone, as REQ_ONE wants. */
export function encodeStatusChunk(
  layout: ChunkLayout,
  to: ReplyTo,
  context: number,
  extents: readonly Extent[],
  one: boolean,
): Uint8Array {
  return layout.extended
    ? extendedStatusChunk(to, context, extents.slice(0, one ? 1 : MAX_EXTENTS))
    : compactStatusChunk(to, context, splitExtents(extents, one ? 1 : MAX_EXTENTS));
}

function compactStatusChunk(to: ReplyTo, context: number, extents: readonly Extent[]): Uint8Array {
  const length = 4 + 8 * extents.length;
  const bytes = new Uint8Array(CHUNK_HEADER_BYTES + length);
  const view = new DataView(bytes.buffer);
  chunkHeader(view, STRUCTURED, to, CHUNK.BLOCK_STATUS, true, length);
  view.setUint32(CHUNK_HEADER_BYTES, context);
  let at = CHUNK_HEADER_BYTES + 4;
  for (const extent of extents) {
    view.setUint32(at, extent.length);
    view.setUint32(at + 4, statusOf(extent));
    at += 8;
  }
  return bytes;
}

function extendedStatusChunk(to: ReplyTo, context: number, extents: readonly Extent[]): Uint8Array {
  const length = 8 + 16 * extents.length;
  const bytes = new Uint8Array(EXTENDED_CHUNK_HEADER_BYTES + length);
  const view = new DataView(bytes.buffer);
  chunkHeader(view, EXTENDED, to, CHUNK.BLOCK_STATUS_EXT, true, length);
  view.setUint32(EXTENDED_CHUNK_HEADER_BYTES, context);
  view.setUint32(EXTENDED_CHUNK_HEADER_BYTES + 4, extents.length);
  let at = EXTENDED_CHUNK_HEADER_BYTES + 8;
  for (const extent of extents) {
    setUint64(view, at, extent.length);
    setUint64(view, at + 8, statusOf(extent));
    at += 16;
  }
  return bytes;
}

function statusOf(extent: Extent): number {
  return (extent.hole ? STATUS.HOLE : 0) | (extent.zero ? STATUS.ZERO : 0);
}

function splitExtents(extents: readonly Extent[], limit: number): Extent[] {
  const parts: Extent[] = [];
  for (const extent of extents) {
    for (let left = extent.length; left > 0 && parts.length < limit; left -= MAX_COMPACT_EXTENT_BYTES) {
      parts.push({ ...extent, length: Math.min(left, MAX_COMPACT_EXTENT_BYTES) });
    }
  }
  return parts;
}

function chunkHeader(
  view: DataView,
  layout: ChunkLayout,
  to: ReplyTo,
  type: number,
  done: boolean,
  length: number,
): void {
  view.setUint32(0, layout.extended ? EXTENDED_CHUNK_MAGIC : CHUNK_MAGIC);
  view.setUint16(4, done ? CHUNK_FLAG_DONE : 0);
  view.setUint16(6, type);
  view.setUint32(8, to.cookieHigh);
  view.setUint32(12, to.cookieLow);
  if (layout.extended) {
    view.setUint32(16, to.offsetHigh);
    view.setUint32(20, to.offsetLow);
    setUint64(view, 24, length);
  } else {
    view.setUint32(16, length);
  }
}
