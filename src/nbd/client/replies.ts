import type { Extent } from "../../block/request.ts";
import {
  CHUNK,
  CHUNK_ERROR_BIT,
  CHUNK_FLAG_DONE,
  CHUNK_MAGIC,
  COMMAND,
  EXTENDED_CHUNK_MAGIC,
  MAX_EXTENTS,
  SIMPLE_REPLY_MAGIC,
  STATUS,
} from "../wire/protocol.ts";
import { CHUNK_HEADER_BYTES, EXTENDED_CHUNK_HEADER_BYTES, SIMPLE_REPLY_BYTES } from "../wire/replies.ts";
import { Staging } from "../wire/staging.ts";
import { getUint64 } from "../wire/view.ts";
import { badServer } from "./errors.ts";
import type { Exchange, MetaExtent } from "./exchange.ts";
import { checkWhole } from "./whole-reply.ts";

const STAGING_BYTES = 256 << 10;
/** With at least this much data missing, it is received straight into the caller's memory. */
const DIRECT_BYTES = 64 << 10;
/** The longest chunk but for data and extents, which are taken as they come. */
const MAX_CHUNK_BYTES = 64 << 10;
/** The most chunks of data and holes in one reply: bounds what a server that sends them byte by byte makes us keep. */
const MAX_RUNS = 1 << 20;
const EXTENT_BYTES = 8;
const EXTENDED_EXTENT_BYTES = 16;
/** Chunks whose rest is taken as it comes, and how much of them has to be there first. */
const HEAD_BYTES = new Map<number, number>([
  [CHUNK.OFFSET_DATA, 8],
  [CHUNK.BLOCK_STATUS, 4],
  [CHUNK.BLOCK_STATUS_EXT, 8],
]);
const HEADER = { name: "header" } as const;

export interface ReplyEvents<E extends Exchange> {
  /** The request of a cookie that has no full reply yet. */
  find(cookie: number): E | undefined;
  /** The reply is complete. `error`: 0 for success. */
  settled(cookie: number, exchange: E, error: number): void;
}

/** How the replies are to be read, as it was agreed on. */
export interface ReplyFormat {
  /** Replies may come in chunks, and those to reads have to. */
  readonly structured: boolean;
  readonly extended: boolean;
  /** The id of base:allocation, where it was selected. */
  readonly allocationId: number | undefined;
  /** The names of all contexts that were selected, by their ids. */
  readonly contexts: ReadonlyMap<number, string>;
}

type State<E> = { readonly name: "header" } | DataState<E> | ExtentsState<E>;

/** `left` bytes of data are to come; those of a chunk that isn't the last leave the request open. */
interface DataState<E> {
  readonly name: "data";
  readonly cookie: number;
  readonly exchange: E;
  at: number;
  left: number;
  done: boolean;
}

/** `left` bytes of extents are to come, for whoever wants them; for nobody, where it is another context. */
interface ExtentsState<E> {
  readonly name: "extents";
  readonly cookie: number;
  readonly exchange: E;
  readonly extents: Extent[] | undefined;
  readonly meta: MetaExtent[] | undefined;
  left: number;
  done: boolean;
}

/**
 * Takes the replies apart, whatever the pieces in which they come. Throws a `bad-server` error where they are not what
 * the protocol wants; the stream is lost then.
 */
export class ReplyParser<E extends Exchange> {
  readonly #events: ReplyEvents<E>;
  readonly #format: ReplyFormat;
  readonly #staging = new Staging(STAGING_BYTES);
  #state: State<E> = HEADER;
  #direct = false;

  constructor(events: ReplyEvents<E>, format: ReplyFormat) {
    this.#events = events;
    this.#format = format;
  }

  /** Where the next bytes are to be received: borrowed until the next call. */
  receiveBuffer(): Uint8Array {
    const state = this.#state;
    this.#direct = state.name === "data" && state.left >= DIRECT_BYTES;
    if (state.name === "data" && this.#direct && state.exchange.into !== undefined)
      return state.exchange.into.subarray(state.at, state.at + state.left);
    return this.#staging.room(STAGING_BYTES);
  }

  /** `count` bytes are in the buffer lent last. */
  received(count: number): void {
    if (this.#direct && this.#state.name === "data") {
      this.#state.at += count;
      this.#state.left -= count;
      if (this.#state.left === 0) this.#chunkCame(this.#state);
    } else {
      this.#staging.filled(count);
    }
    while (this.#step());
  }

  #step(): boolean {
    switch (this.#state.name) {
      case "header":
        return this.#readHeader();
      case "data":
        return this.#readData(this.#state);
      case "extents":
        return this.#readExtent(this.#state);
    }
  }

  #readHeader(): boolean {
    const { view, start, length } = this.#staging;
    if (length < 4) return false;
    const magic = view.getUint32(start);
    if (this.#format.extended) {
      if (magic !== EXTENDED_CHUNK_MAGIC) throw badServer("its reply does not begin with the magic of an extended one");
      return length >= EXTENDED_CHUNK_HEADER_BYTES && this.#readChunk(EXTENDED_CHUNK_HEADER_BYTES);
    }
    if (magic === SIMPLE_REPLY_MAGIC) {
      if (length < SIMPLE_REPLY_BYTES) return false;
      const cookie = cookieAt(view, start);
      this.#staging.skip(SIMPLE_REPLY_BYTES);
      this.#simple(cookie, view.getUint32(start + 4));
      return true;
    }
    if (magic !== CHUNK_MAGIC) throw badServer("its reply begins with an unknown magic");
    if (!this.#format.structured) throw badServer("it sent a structured reply, which was not agreed on");
    return length >= CHUNK_HEADER_BYTES && this.#readChunk(CHUNK_HEADER_BYTES);
  }

  #simple(cookie: number, error: number): void {
    const exchange = this.#find(cookie);
    if (exchange.covered > 0 || exchange.error !== 0)
      throw badServer("it mixed a simple reply with chunks of the same request");
    if (this.#format.structured && exchange.type === COMMAND.READ)
      throw badServer("it sent a simple reply to a read, where structured ones were agreed on");
    if (error === 0 && exchange.type === COMMAND.BLOCK_STATUS)
      throw badServer("it answered a block status without extents");
    if (error === 0 && exchange.into !== undefined && exchange.length > 0) {
      exchange.covered = exchange.length;
      if (exchange.sparse) exchange.runs = [{ start: 0, length: exchange.length, hole: false }];
      this.#state = { name: "data", cookie, exchange, at: 0, left: exchange.length, done: true };
    } else {
      this.#events.settled(cookie, exchange, error);
    }
  }

  #readChunk(headerBytes: number): boolean {
    const { view, start } = this.#staging;
    const done = (view.getUint16(start + 4) & CHUNK_FLAG_DONE) !== 0;
    const type = view.getUint16(start + 6);
    const length = headerBytes === CHUNK_HEADER_BYTES ? view.getUint32(start + 16) : getUint64(view, start + 24);
    // Of what is taken as it comes, the head alone has to be there: an offset, or a context.
    const head = Math.min(length, HEAD_BYTES.get(type) ?? length);
    if (head > MAX_CHUNK_BYTES) throw badServer(`it sent a chunk of ${length} bytes`);
    if (this.#staging.length < headerBytes + head) return false;
    const cookie = cookieAt(view, start);
    const exchange = this.#find(cookie);
    if (headerBytes === EXTENDED_CHUNK_HEADER_BYTES && getUint64(view, start + 16) !== exchange.offset)
      throw badServer("its reply has another offset than the request");
    const body = new DataView(view.buffer, start + headerBytes, head);
    this.#staging.skip(headerBytes + head);
    switch (type) {
      case CHUNK.NONE:
        if (length !== 0 || !done) throw badServer("it sent an empty chunk that is not the last");
        break;
      case CHUNK.OFFSET_DATA: {
        const left = length - head;
        if (left <= 0) throw badServer("it sent a chunk without data");
        this.#state = { name: "data", cookie, exchange, at: this.#place(exchange, body, left, false), left, done };
        return true;
      }
      case CHUNK.OFFSET_HOLE: {
        if (length !== 12) throw badServer("it sent a malformed hole");
        const hole = body.getUint32(8);
        const at = this.#place(exchange, body, hole, true);
        if (!exchange.sparse) exchange.into?.fill(0, at, at + hole);
        break;
      }
      case CHUNK.BLOCK_STATUS:
      case CHUNK.BLOCK_STATUS_EXT:
        this.#state = this.#extents(cookie, exchange, type, body, length - head, done);
        return true;
      default:
        if ((type & CHUNK_ERROR_BIT) === 0) throw badServer(`it sent a chunk of type ${type}`);
        this.#error(exchange, body);
    }
    if (done) this.#done(cookie, exchange);
    return true;
  }

  #error(exchange: E, body: DataView): void {
    const error = body.byteLength < 6 ? 0 : body.getUint32(0);
    if (error === 0 || body.getUint16(4) > body.byteLength - 6) throw badServer("it sent a malformed error");
    if (exchange.error === 0) exchange.error = error;
  }

  /** Where in a read's memory `length` bytes for the offset at the head of `body` belong. */
  #place(exchange: E, body: DataView, length: number, hole: boolean): number {
    const start = Number(body.getBigUint64(0)) - exchange.offset;
    const inside = exchange.into !== undefined && start >= 0 && length > 0 && length <= exchange.length - start;
    if (!inside || length > exchange.length - exchange.covered) throw badServer("it sent data that was not asked for");
    // A reply of one chunk, the common one, needs no list.
    if (exchange.sparse || length < exchange.length) {
      exchange.runs ??= [];
      if (exchange.runs.push({ start, length, hole }) > MAX_RUNS)
        throw badServer(`its reply to a read has more than ${MAX_RUNS} chunks`);
    }
    exchange.covered += length;
    return start;
  }

  #extents(cookie: number, exchange: E, type: number, body: DataView, left: number, done: boolean): State<E> {
    const wide = type === CHUNK.BLOCK_STATUS_EXT;
    const count = left / (wide ? EXTENDED_EXTENT_BYTES : EXTENT_BYTES);
    const wellFormed = wide === this.#format.extended && Number.isInteger(count) && count > 0 && count <= MAX_EXTENTS;
    if (exchange.type !== COMMAND.BLOCK_STATUS || !wellFormed || (wide && body.getUint32(4) !== count))
      throw badServer("it sent malformed extents");
    const id = body.getUint32(0);
    const context = this.#format.contexts.get(id);
    if (context === undefined) throw badServer("it sent extents of a context that was not selected");
    const extents = id === this.#format.allocationId ? exchange.extents : undefined;
    const meta = exchange.contexts?.get(context);
    if ((extents?.length ?? 0) + (meta?.length ?? 0) > 0) throw badServer("it sent the extents of one context twice");
    return { name: "extents", cookie, exchange, extents, meta, left, done };
  }

  #readExtent(state: ExtentsState<E>): boolean {
    const { view, start, length } = this.#staging;
    const wide = this.#format.extended;
    const extentBytes = wide ? EXTENDED_EXTENT_BYTES : EXTENT_BYTES;
    if (length < extentBytes) return false;
    const extentLength = wide ? getUint64(view, start) : view.getUint32(start);
    const flags = wide ? getUint64(view, start + 8) : view.getUint32(start + 4);
    this.#staging.skip(extentBytes);
    state.left -= extentBytes;
    if (extentLength === 0) throw badServer("it sent an empty extent");
    // The bits that count are the low ones, which a number keeps when it is cut to 32 bits.
    state.extents?.push({
      length: extentLength,
      hole: (flags & STATUS.HOLE) !== 0,
      zero: (flags & STATUS.ZERO) !== 0,
    });
    state.meta?.push({ length: extentLength, flags });
    if (state.left === 0) this.#chunkCame(state);
    return true;
  }

  #readData(state: DataState<E>): boolean {
    const count = Math.min(state.left, this.#staging.length);
    if (count === 0) return false;
    state.exchange.into?.set(this.#staging.take(count), state.at);
    state.at += count;
    state.left -= count;
    if (state.left > 0) return false;
    this.#chunkCame(state);
    return true;
  }

  #chunkCame({ cookie, exchange, done }: { cookie: number; exchange: E; done: boolean }): void {
    this.#state = HEADER;
    if (done) this.#done(cookie, exchange);
  }

  #done(cookie: number, exchange: E): void {
    if (exchange.error === 0) checkWhole(exchange);
    this.#events.settled(cookie, exchange, exchange.error);
  }

  #find(cookie: number): E {
    const exchange = this.#events.find(cookie);
    if (exchange === undefined) throw badServer("it replied to a request that nobody made");
    return exchange;
  }
}

/** Our cookies fit into the low word and a few bits of the high one. */
function cookieAt(view: DataView, start: number): number {
  return getUint64(view, start + 8);
}
