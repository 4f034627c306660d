import { OPTION_MAGIC } from "./protocol.ts";
import { decodeString, encodeString } from "./strings.ts";
import { viewOf } from "./view.ts";

/*
 * An option, from the client, and the data of those that have some:
 *
 *   0            8        12       16
 *   | "IHAVEOPT" | option | length | data … |
 *   | u64        | u32    | u32    |
 *
 *   INFO, GO                        | name length | name … | count | information | … |
 *                                   | u32         |        | u16   | u16         |
 *
 *   LIST_ and SET_META_CONTEXT      | name length | name … | count | query length | query … | … |
 *                                   | u32         |        | u32   | u32          |         |
 */
export const OPTION_HEADER_BYTES = 16;

export interface InfoRequest {
  readonly name: string;
  /** The pieces of information asked for, known or not. */
  readonly wanted: readonly number[];
}

export interface MetaContextRequest {
  readonly name: string;
  readonly queries: readonly string[];
}

export function encodeOption(option: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(OPTION_HEADER_BYTES + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, OPTION_MAGIC[0]);
  view.setUint32(4, OPTION_MAGIC[1]);
  view.setUint32(8, option);
  view.setUint32(12, data.length);
  bytes.set(data, OPTION_HEADER_BYTES);
  return bytes;
}

/** Option and length of data; `undefined` where the magic is wrong and the stream lost. */
export function decodeOptionHeader(view: DataView, at: number): { option: number; length: number } | undefined {
  if (view.getUint32(at) !== OPTION_MAGIC[0] || view.getUint32(at + 4) !== OPTION_MAGIC[1]) return undefined;
  return { option: view.getUint32(at + 8), length: view.getUint32(at + 12) };
}

export function encodeInfoRequest(request: InfoRequest): Uint8Array {
  const name = encodeString(request.name);
  const bytes = new Uint8Array(4 + name.length + 2 + 2 * request.wanted.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, name.length);
  bytes.set(name, 4);
  const at = 4 + name.length;
  view.setUint16(at, request.wanted.length);
  for (const [index, information] of request.wanted.entries()) view.setUint16(at + 2 + 2 * index, information);
  return bytes;
}

/** `undefined` where a length or a string is malformed: the answer is INVALID, not a disconnect. */
export function decodeInfoRequest(data: Uint8Array): InfoRequest | undefined {
  const view = viewOf(data);
  const name = lengthAndString(data, view, 0);
  if (name === undefined || name.end + 2 > data.length) return undefined;
  const count = view.getUint16(name.end);
  if (name.end + 2 + 2 * count !== data.length) return undefined;
  const wanted: number[] = [];
  for (let index = 0; index < count; index++) wanted.push(view.getUint16(name.end + 2 + 2 * index));
  return { name: name.text, wanted };
}

export function encodeMetaContextRequest(request: MetaContextRequest): Uint8Array {
  const strings = [request.name, ...request.queries].map(encodeString);
  const bytes = new Uint8Array(strings.reduce((total, text) => total + 4 + text.length, 4));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [index, text] of strings.entries()) {
    view.setUint32(at, text.length);
    bytes.set(text, at + 4);
    at += 4 + text.length;
    if (index > 0) continue;
    view.setUint32(at, request.queries.length);
    at += 4;
  }
  return bytes;
}

/** `undefined` where a length or a string is malformed: the answer is INVALID, not a disconnect. */
export function decodeMetaContextRequest(data: Uint8Array): MetaContextRequest | undefined {
  const view = viewOf(data);
  const name = lengthAndString(data, view, 0);
  if (name === undefined || name.end + 4 > data.length) return undefined;
  const count = view.getUint32(name.end);
  const queries: string[] = [];
  let at = name.end + 4;
  for (let index = 0; index < count; index++) {
    const query = lengthAndString(data, view, at);
    if (query === undefined) return undefined;
    queries.push(query.text);
    at = query.end;
  }
  return at === data.length ? { name: name.text, queries } : undefined;
}

function lengthAndString(data: Uint8Array, view: DataView, at: number): { text: string; end: number } | undefined {
  if (at + 4 > data.length) return undefined;
  const length = view.getUint32(at);
  if (length > data.length - at - 4) return undefined;
  const text = decodeString(data.subarray(at + 4, at + 4 + length));
  return text === undefined ? undefined : { text, end: at + 4 + length };
}
