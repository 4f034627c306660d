import type { RequestKind } from "../block/request.ts";
import type { Entry } from "./history.ts";

/*
 * The client's side of NBD, as much as a simulated client needs: written a second time on purpose, so that a wrong
 * constant or layout in the server does not agree with itself.
 */
const OPTION_MAGIC = 0x49484156454f5054n;
const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const SIMPLE_REPLY_MAGIC = 0x67446698;
const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

const OPTION_GO = 7;
const OPTION_STRUCTURED_REPLY = 8;
const OPTION_SET_META_CONTEXT = 10;
const OPTION_ACK = 1;
const OPTION_INFO = 3;
const INFO_EXPORT = 0;

const COMMANDS: Record<RequestKind, number> = {
  read: 0,
  write: 1,
  flush: 3,
  trim: 4,
  cache: 5,
  zero: 6,
  extents: 7,
};
const FLAG_FUA = 1;
const FLAG_NO_HOLE = 2;
const FLAG_FAST_ZERO = 16;

const CHUNK_DONE = 1;
const CHUNK_OFFSET_DATA = 1;
const CHUNK_OFFSET_HOLE = 2;
const CHUNK_BLOCK_STATUS = 5;
const CHUNK_ERRORS = 0x8000;

const GREETING_BYTES = 18;
const CLIENT_FLAGS = 3;

/** The whole of a client's handshake, in one go. */
export function handshake(exportName: string, structured: boolean): Uint8Array {
  const name = new TextEncoder().encode(exportName);
  const context = new TextEncoder().encode("base:allocation");
  const parts: Uint8Array[] = [Uint8Array.of(0, 0, 0, CLIENT_FLAGS)];
  if (structured) {
    parts.push(option(OPTION_STRUCTURED_REPLY, new Uint8Array()));
    parts.push(
      option(OPTION_SET_META_CONTEXT, join([word(name.length), name, word(1), word(context.length), context])),
    );
  }
  parts.push(option(OPTION_GO, join([word(name.length), name, Uint8Array.of(0, 0)])));
  return join(parts);
}

/** A request's bytes; `payload` is the data of a write. */
export function encodeRequest(entry: Entry, blockSize: number, payload?: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(28 + (payload?.length ?? 0));
  const view = new DataView(bytes.buffer);
  const hole = entry.kind === "zero" && !entry.mayTrim ? FLAG_NO_HOLE : 0;
  view.setUint32(0, REQUEST_MAGIC);
  view.setUint16(4, (entry.fua ? FLAG_FUA : 0) | hole | (entry.fast ? FLAG_FAST_ZERO : 0));
  view.setUint16(6, COMMANDS[entry.kind]);
  view.setBigUint64(8, BigInt(entry.id));
  view.setBigUint64(16, BigInt(entry.first * blockSize));
  view.setUint32(24, entry.count * blockSize);
  if (payload !== undefined) bytes.set(payload, 28);
  return bytes;
}

/** What the server says it can do. */
export interface ExportFlags {
  readonly fua: boolean;
  readonly trim: boolean;
  readonly zero: boolean;
  readonly cache: boolean;
  readonly fastZero: boolean;
  readonly extents: boolean;
}

/** What a client hears. Offsets are bytes of the device; bytes are borrowed. */
export interface ReplyEvents {
  /** The handshake is over. */
  granted(offers: ExportFlags): void;
  /** How many bytes of data a simple reply to this request carries. */
  dataLength(id: number): number;
  data(id: number, offset: number | undefined, bytes: Uint8Array): void;
  hole(id: number, offset: number, length: number): void;
  extent(id: number, length: number, flags: number): void;
  reply(id: number, errno: number): void;
  /** What came is not NBD. */
  nonsense(what: string): void;
}

/** Takes a server's bytes as they come and tells what they say. */
export class ReplyParser {
  readonly #events: ReplyEvents;
  readonly #structured: boolean;
  #state: "greeting" | "options" | "replies" = "greeting";
  #buffer = new Uint8Array(4096);
  #filled = 0;
  #exportFlags = 0;
  readonly #errors = new Map<number, number>();

  constructor(events: ReplyEvents, structured: boolean) {
    this.#events = events;
    this.#structured = structured;
  }

  push(bytes: Uint8Array): void {
    if (this.#filled + bytes.length > this.#buffer.length) {
      const larger = new Uint8Array(2 * (this.#filled + bytes.length));
      larger.set(this.#buffer.subarray(0, this.#filled));
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.#filled);
    this.#filled += bytes.length;
    let at = 0;
    for (;;) {
      const used = this.#take(this.#buffer.subarray(at, this.#filled));
      if (used === 0) break;
      at += used;
    }
    this.#buffer.copyWithin(0, at, this.#filled);
    this.#filled -= at;
  }

  /** The bytes of the first message; 0 where it is not complete. */
  #take(bytes: Uint8Array): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    switch (this.#state) {
      case "greeting":
        if (bytes.length < GREETING_BYTES) return 0;
        this.#state = "options";
        return GREETING_BYTES;
      case "options":
        return this.#takeOption(view);
      case "replies":
        if (bytes.length < 16) return 0;
        if (view.getUint32(0) === SIMPLE_REPLY_MAGIC) return this.#takeSimple(view, bytes);
        if (view.getUint32(0) === STRUCTURED_REPLY_MAGIC && this.#structured) return this.#takeChunk(view, bytes);
        this.#events.nonsense(`a reply begins with ${view.getUint32(0).toString(16)}`);
        return 0;
    }
  }

  #takeOption(view: DataView): number {
    if (view.byteLength < 20) return 0;
    const length = 20 + view.getUint32(16);
    if (view.byteLength < length) return 0;
    const type = view.getUint32(12);
    if (view.getBigUint64(0) !== OPTION_REPLY_MAGIC) this.#events.nonsense("an option's reply has no magic");
    if (type >= 0x80000000) this.#events.nonsense(`option ${view.getUint32(8)} is refused with ${type.toString(16)}`);
    if (type === OPTION_INFO && view.getUint16(20) === INFO_EXPORT) this.#exportFlags = view.getUint16(30);
    if (type === OPTION_ACK && view.getUint32(8) === OPTION_GO) {
      this.#state = "replies";
      this.#events.granted(offers(this.#exportFlags, this.#structured));
    }
    return length;
  }

  #takeSimple(view: DataView, bytes: Uint8Array): number {
    const errno = view.getUint32(4);
    const id = Number(view.getBigUint64(8));
    const length = errno === 0 ? this.#events.dataLength(id) : 0;
    if (bytes.length < 16 + length) return 0;
    if (length > 0) this.#events.data(id, undefined, bytes.subarray(16, 16 + length));
    this.#events.reply(id, errno);
    return 16 + length;
  }

  #takeChunk(view: DataView, bytes: Uint8Array): number {
    if (bytes.length < 20) return 0;
    const flags = view.getUint16(4);
    const type = view.getUint16(6);
    const id = Number(view.getBigUint64(8));
    const length = 20 + view.getUint32(16);
    if (bytes.length < length) return 0;
    if (type === CHUNK_OFFSET_DATA) {
      this.#events.data(id, Number(view.getBigUint64(20)), bytes.subarray(28, length));
    } else if (type === CHUNK_OFFSET_HOLE) {
      this.#events.hole(id, Number(view.getBigUint64(20)), view.getUint32(28));
    } else if (type === CHUNK_BLOCK_STATUS) {
      for (let at = 24; at < length; at += 8) this.#events.extent(id, view.getUint32(at), view.getUint32(at + 4));
    } else if ((type & CHUNK_ERRORS) !== 0) {
      this.#errors.set(id, view.getUint32(20));
    }
    if ((flags & CHUNK_DONE) !== 0) {
      const errno = this.#errors.get(id) ?? 0;
      this.#errors.delete(id);
      this.#events.reply(id, errno);
    }
    return length;
  }
}

function offers(flags: number, structured: boolean): ExportFlags {
  const has = (bit: number): boolean => ((flags >>> bit) & 1) === 1;
  return { fua: has(3), trim: has(5), zero: has(6), cache: has(10), fastZero: has(11), extents: structured };
}

function option(code: number, data: Uint8Array): Uint8Array {
  const header = new Uint8Array(16);
  const view = new DataView(header.buffer);
  view.setBigUint64(0, OPTION_MAGIC);
  view.setUint32(8, code);
  view.setUint32(12, data.length);
  return join([header, data]);
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
