import { INFO, OPTION_REPLY, OPTION_REPLY_MAGIC, type OptionReplyType } from "./protocol.ts";
import { decodeString, encodeString } from "./strings.ts";
import { viewOf } from "./view.ts";

/*
 * A reply to an option, and the data of those that have some:
 *
 *   0       8        12     16       20
 *   | magic | option | type | length | data … |
 *   | u64   | u32    | u32  | u32    |
 *
 *   SERVER               | name length u32 | name … | description … |
 *   META_CONTEXT         | id u32 | name … |
 *   INFO, EXPORT         | 0 u16 | size u64 | flags u16 |
 *   INFO, NAME           | 1 u16 | name … |
 *   INFO, DESCRIPTION    | 2 u16 | description … |
 *   INFO, BLOCK_SIZE     | 3 u16 | minimum u32 | preferred u32 | maximum payload u32 |
 *   an error             | message … |
 *
 * EXPORT_NAME is answered without a header, since it can't fail but by a disconnect:
 *
 *   | size u64 | flags u16 | 124 zero bytes unless NO_ZEROES |
 */
export const OPTION_REPLY_HEADER_BYTES = 20;
export const EXPORT_NAME_REPLY_BYTES = 10;
export const EXPORT_NAME_ZEROES = 124;

/** A piece of information about an export; sizes in bytes. */
export type Info =
  | { readonly kind: "export"; readonly size: number; readonly flags: number }
  | { readonly kind: "name"; readonly text: string }
  | { readonly kind: "description"; readonly text: string }
  | { readonly kind: "blockSize"; readonly minimum: number; readonly preferred: number; readonly maximum: number };

const NO_DATA = new Uint8Array(0);

export function encodeOptionReply(option: number, type: OptionReplyType, data: Uint8Array = NO_DATA): Uint8Array {
  const bytes = new Uint8Array(OPTION_REPLY_HEADER_BYTES + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, OPTION_REPLY_MAGIC[0]);
  view.setUint32(4, OPTION_REPLY_MAGIC[1]);
  view.setUint32(8, option);
  view.setUint32(12, type);
  view.setUint32(16, data.length);
  bytes.set(data, OPTION_REPLY_HEADER_BYTES);
  return bytes;
}

export function encodeOptionError(option: number, type: OptionReplyType, message: string): Uint8Array {
  return encodeOptionReply(option, type, encodeString(message));
}

/** `undefined` where the magic is wrong and the stream lost. */
export function decodeOptionReplyHeader(
  view: DataView,
): { readonly option: number; readonly type: number; readonly length: number } | undefined {
  if (view.getUint32(0) !== OPTION_REPLY_MAGIC[0] || view.getUint32(4) !== OPTION_REPLY_MAGIC[1]) return undefined;
  return { option: view.getUint32(8), type: view.getUint32(12), length: view.getUint32(16) };
}

export function encodeServer(option: number, name: string, description: string): Uint8Array {
  return encodeOptionReply(option, OPTION_REPLY.SERVER, numberAndStrings(encodeString(name).length, name, description));
}

export function decodeServer(data: Uint8Array): { readonly name: string; readonly description: string } | undefined {
  if (data.length < 4) return undefined;
  const length = viewOf(data).getUint32(0);
  if (length > data.length - 4) return undefined;
  const name = decodeString(data.subarray(4, 4 + length));
  const description = decodeString(data.subarray(4 + length));
  return name === undefined || description === undefined ? undefined : { name, description };
}

export function encodeMetaContext(option: number, id: number, name: string): Uint8Array {
  return encodeOptionReply(option, OPTION_REPLY.META_CONTEXT, numberAndStrings(id, name));
}

export function decodeMetaContext(data: Uint8Array): { readonly id: number; readonly name: string } | undefined {
  if (data.length < 4) return undefined;
  const name = decodeString(data.subarray(4));
  return name === undefined ? undefined : { id: viewOf(data).getUint32(0), name };
}

export function encodeInfo(option: number, info: Info): Uint8Array {
  return encodeOptionReply(option, OPTION_REPLY.INFO, infoData(info));
}

/** `undefined` for what is malformed; `"unknown"` for a kind nobody knows, which a client ignores. */
export function decodeInfo(data: Uint8Array): Info | "unknown" | undefined {
  if (data.length < 2) return undefined;
  const view = viewOf(data);
  switch (view.getUint16(0)) {
    case INFO.EXPORT:
      return data.length === 12 ? { kind: "export", ...decodeExportNameReply(view, 2) } : undefined;
    case INFO.NAME:
    case INFO.DESCRIPTION: {
      const text = decodeString(data.subarray(2));
      if (text === undefined) return undefined;
      return { kind: view.getUint16(0) === INFO.NAME ? "name" : "description", text };
    }
    case INFO.BLOCK_SIZE:
      if (data.length !== 14) return undefined;
      return {
        kind: "blockSize",
        minimum: view.getUint32(2),
        preferred: view.getUint32(6),
        maximum: view.getUint32(10),
      };
    default:
      return "unknown";
  }
}

export function encodeExportNameReply(size: number, flags: number, noZeroes: boolean): Uint8Array {
  const bytes = new Uint8Array(EXPORT_NAME_REPLY_BYTES + (noZeroes ? 0 : EXPORT_NAME_ZEROES));
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(size));
  view.setUint16(8, flags);
  return bytes;
}

/** The ten bytes that say what an export is. A size past 2^53 comes out rounded. */
export function decodeExportNameReply(view: DataView, at: number): { readonly size: number; readonly flags: number } {
  return { size: Number(view.getBigUint64(at)), flags: view.getUint16(at + 8) };
}

function infoData(info: Info): Uint8Array {
  switch (info.kind) {
    case "export": {
      const data = new Uint8Array(12);
      data.set(encodeExportNameReply(info.size, info.flags, true), 2);
      return data;
    }
    case "name":
    case "description": {
      const text = encodeString(info.text);
      const data = new Uint8Array(2 + text.length);
      viewOf(data).setUint16(0, info.kind === "name" ? INFO.NAME : INFO.DESCRIPTION);
      data.set(text, 2);
      return data;
    }
    case "blockSize": {
      const data = new Uint8Array(14);
      const view = viewOf(data);
      view.setUint16(0, INFO.BLOCK_SIZE);
      view.setUint32(2, info.minimum);
      view.setUint32(6, info.preferred);
      view.setUint32(10, info.maximum);
      return data;
    }
  }
}

function numberAndStrings(number: number, ...strings: string[]): Uint8Array {
  const text = encodeString(strings.join(""));
  const data = new Uint8Array(4 + text.length);
  viewOf(data).setUint32(0, number);
  data.set(text, 4);
  return data;
}
