import assert from "node:assert/strict";
import type { BlockDevice } from "../../shadow/ports.ts";
import { ManualClock } from "../../shadow/testing.ts";
import { encodeClientFlags, GREETING_BYTES } from "../wire/greeting.ts";
import { decodeOptionReplyHeader, OPTION_REPLY_HEADER_BYTES } from "../wire/option-replies.ts";
import { encodeInfoRequest, encodeMetaContextRequest, encodeOption } from "../wire/options.ts";
import {
  CHUNK,
  CHUNK_MAGIC,
  COMMAND,
  COMMAND_FLAG,
  EXTENDED_CHUNK_MAGIC,
  OPTION,
  type ReplyStyle,
} from "../wire/protocol.ts";
import { CHUNK_HEADER_BYTES, EXTENDED_CHUNK_HEADER_BYTES, SIMPLE_REPLY_BYTES } from "../wire/replies.ts";
import { EXTENDED_REQUEST_BYTES, encodeExtendedRequest, encodeRequest, REQUEST_BYTES } from "../wire/requests.ts";
import { viewOf } from "../wire/view.ts";
import type { Exports } from "./exports.ts";
import type { SessionLimits } from "./limits.ts";
import type { TlsMode } from "./option-verdict.ts";
import { Session } from "./session.ts";
import { FakeDevice, FakeTransport, feed, oneExport } from "./testing.ts";

const NONE = new Uint8Array(0);

// ── The handshake ───────────────────────────────────────────────────────────────────────────────────────────────

export const infoRequest = (name: string, wanted: number[] = []) => encodeInfoRequest({ name, wanted });
export const contextRequest = (name: string, ...queries: string[]) => encodeMetaContextRequest({ name, queries });

export interface OptionReply {
  readonly type: number;
  readonly data: Uint8Array;
}

/** The replies to options in `bytes`. */
export function optionReplies(bytes: Buffer): OptionReply[] {
  const found: OptionReply[] = [];
  for (let at = 0; at + OPTION_REPLY_HEADER_BYTES <= bytes.length; ) {
    const header = decodeOptionReplyHeader(viewOf(bytes.subarray(at, at + OPTION_REPLY_HEADER_BYTES)));
    assert(header !== undefined);
    at += OPTION_REPLY_HEADER_BYTES;
    found.push({ type: header.type, data: bytes.subarray(at, at + header.length) });
    at += header.length;
  }
  return found;
}

export interface HandshakeOptions {
  readonly noZeroes?: boolean;
  readonly device?: FakeDevice;
  readonly exports?: Exports;
  readonly tls?: TlsMode;
}

/** A client that has been greeted and has answered that, and may now ask for options. */
export function greeted(options: HandshakeOptions = {}) {
  const { noZeroes = true, device = new FakeDevice(), tls = "off" } = options;
  const transport = new FakeTransport();
  const clock = new ManualClock();
  const session = new Session({ transport, exports: options.exports ?? oneExport(device), clock, tls });
  assert.equal(transport.take().length, GREETING_BYTES);
  feed(session, transport, encodeClientFlags({ fixedNewstyle: true, noZeroes }));
  const ask = (option: number, data: Uint8Array = NONE) => {
    feed(session, transport, encodeOption(option, data));
    return optionReplies(transport.take());
  };
  const types = (option: number, data?: Uint8Array) => ask(option, data).map(({ type }) => type);
  return { session, transport, clock, ask, types, device };
}

// ── Transmission ────────────────────────────────────────────────────────────────────────────────────────────────

/** All that a client says before its first request, for "disk" and, where replies allow it, base:allocation. */
export function handshake(replies: ReplyStyle): Buffer {
  const options = [encodeClientFlags({ fixedNewstyle: true, noZeroes: true })];
  if (replies !== "simple") {
    const option = replies === "structured" ? OPTION.STRUCTURED_REPLY : OPTION.EXTENDED_HEADERS;
    options.push(encodeOption(option, NONE));
    options.push(encodeOption(OPTION.SET_META_CONTEXT, contextRequest("disk", "base:allocation")));
  }
  options.push(encodeOption(OPTION.GO, infoRequest("disk")));
  return Buffer.concat(options);
}

export interface TransmissionOptions {
  readonly replies?: ReplyStyle;
  readonly limits?: Partial<SessionLimits>;
}

/** A client that has chosen "disk", which is `device`. */
export function clientOf<D extends BlockDevice>(device: D, options: TransmissionOptions = {}) {
  const { replies = "structured", limits = {} } = options;
  const transport = new FakeTransport();
  const clock = new ManualClock();
  const session = new Session({ transport, exports: oneExport(device), clock, limits });
  feed(session, transport, handshake(replies));
  transport.take();
  const say = (bytes: Uint8Array) => {
    const taken = feed(session, transport, bytes);
    return { taken, replies: parseReplies(transport.take()) };
  };
  return { session, transport, clock, device, say };
}

/** The same, of a device in memory. */
export function chosen(options: TransmissionOptions & { readonly device?: FakeDevice } = {}) {
  return clientOf(options.device ?? new FakeDevice(), options);
}

let cookies = 0;

/** A request with a compact header. */
export function command(type: number, offset: number, length: number, flags = 0, data: Uint8Array = NONE): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES + data.length);
  encodeRequest(viewOf(bytes), 0, { type, flags, offset, length, cookieHigh: 0, cookieLow: ++cookies });
  bytes.set(data, REQUEST_BYTES);
  return bytes;
}

export const write = (offset: number, data: Uint8Array, flags = 0) =>
  command(COMMAND.WRITE, offset, data.length, flags, data);
export const read = (offset: number, length: number, flags = 0) => command(COMMAND.READ, offset, length, flags);

/** A request with an extended header. `length`: the effect's, or, with the flag PAYLOAD_LEN, that of `data`. */
export function extended(type: number, offset: number, length: number, flags = 0, data: Uint8Array = NONE): Buffer {
  const bytes = Buffer.alloc(EXTENDED_REQUEST_BYTES + data.length);
  encodeExtendedRequest(viewOf(bytes), 0, { type, flags, offset, length, cookieHigh: 0, cookieLow: ++cookies });
  bytes.set(data, EXTENDED_REQUEST_BYTES);
  return bytes;
}

/** The same with a payload, of that length. */
export const withPayload = (type: number, offset: number, data: Uint8Array, flags = 0) =>
  extended(type, offset, data.length, flags | COMMAND_FLAG.PAYLOAD_LEN, data);

export interface Reply {
  readonly cookie: number;
  /** Of a simple reply -1; else of a chunk. */
  readonly type: number;
  readonly done: boolean;
  readonly error: number;
  /** What an extended header echoes. */
  readonly offset: bigint | undefined;
  readonly body: Buffer;
}

/** Replies of a conversation; a simple reply without an error is taken to carry `simpleData` bytes. */
export function parseReplies(bytes: Buffer, simpleData = 0): Reply[] {
  const found: Reply[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [reply, length] = parseReply(bytes.subarray(at), simpleData);
    found.push(reply);
    at += length;
  }
  return found;
}

function parseReply(bytes: Buffer, simpleData: number): [Reply, number] {
  const magic = bytes.readUInt32BE(0);
  const compact = magic === CHUNK_MAGIC;
  if (compact || magic === EXTENDED_CHUNK_MAGIC) {
    const start = compact ? CHUNK_HEADER_BYTES : EXTENDED_CHUNK_HEADER_BYTES;
    const type = bytes.readUInt16BE(6);
    const cookie = bytes.readUInt32BE(12);
    const end = start + (compact ? bytes.readUInt32BE(16) : Number(bytes.readBigUInt64BE(24)));
    const body = bytes.subarray(start, end);
    const done = (bytes.readUInt16BE(4) & 1) === 1;
    const error = type === CHUNK.ERROR ? body.readUInt32BE(0) : 0;
    return [{ cookie, type, done, error, offset: compact ? undefined : bytes.readBigUInt64BE(16), body }, end];
  }
  assert.equal(magic, 0x67446698);
  const error = bytes.readUInt32BE(4);
  const end = SIMPLE_REPLY_BYTES + (error === 0 ? simpleData : 0);
  const body = bytes.subarray(SIMPLE_REPLY_BYTES, end);
  return [{ cookie: bytes.readUInt32BE(12), type: -1, done: true, error, offset: undefined, body }, end];
}

/** The error of the one reply. */
export function errorOf({ replies }: { readonly replies: readonly Reply[] }): number | undefined {
  assert.equal(replies.length, 1);
  return replies[0]?.error;
}
