import type { Extent } from "../../block/request.ts";
import {
  CHUNK,
  CHUNK_ERROR_BIT,
  CHUNK_FLAG_DONE,
  CHUNK_MAGIC,
  MAX_EXTENTS,
  SIMPLE_REPLY_MAGIC,
  STATUS,
} from "../wire/protocol.ts";
import { CHUNK_HEADER_BYTES, SIMPLE_REPLY_BYTES } from "../wire/replies.ts";
import { Staging } from "../wire/staging.ts";
import { badServer } from "./errors.ts";

const STAGING_BYTES = 256 << 10;
/** With at least this much data missing, it is received straight into the caller's memory. */
const DIRECT_BYTES = 64 << 10;
/** The longest chunk but for data and extents, which are taken as they come. */
const MAX_CHUNK_BYTES = 64 << 10;
const EXTENT_BYTES = 8;

/** A request that waits for its reply. */
export interface Pending {
  /** For messages: "read 4096 bytes at 0". */
  readonly action: string;
  readonly offset: number;
  readonly length: number;
  /** Where a read's data goes; `undefined` for all others. */
  readonly into: Uint8Array | undefined;
  /** Where the extents go; `undefined` for all but a block status. */
  readonly extents: Extent[] | undefined;
  /** Bytes of data and holes that have come. */
  covered: number;
  /** The first error that a chunk reported; 0 for none. */
  error: number;
}

export interface ReplyEvents {
  /** The request of a cookie that has no full reply yet. */
  find(cookie: number): Pending | undefined;
  /** The reply is complete. `error`: 0 for success. */
  settled(cookie: number, pending: Pending, error: number): void;
}

type State =
  | { readonly name: "header" }
  | DataState
  /** `left` bytes of extents are to come, of our context or of another. */
  | {
      readonly name: "extents";
      readonly cookie: number;
      readonly pending: Pending;
      ours: boolean;
      left: number;
      done: boolean;
    };

/** `left` bytes of data are to come; those of a chunk that isn't the last leave the request open. */
interface DataState {
  readonly name: "data";
  readonly cookie: number;
  readonly pending: Pending;
  at: number;
  left: number;
  done: boolean;
}

/**
 * Takes the replies apart, whatever the pieces in which they come. Throws a `bad-server` error where they are not what
 * the protocol wants; the stream is lost then.
 */
export class ReplyParser {
  readonly #events: ReplyEvents;
  readonly #allocationId: number | undefined;
  readonly #staging = new Staging(STAGING_BYTES);
  #state: State = { name: "header" };
  #direct = false;

  constructor(events: ReplyEvents, allocationId: number | undefined) {
    this.#events = events;
    this.#allocationId = allocationId;
  }

  /** Where the next bytes are to be received: borrowed until the next call. */
  receiveBuffer(): Uint8Array {
    const state = this.#state;
    this.#direct = state.name === "data" && state.left >= DIRECT_BYTES;
    if (state.name === "data" && this.#direct && state.pending.into !== undefined)
      return state.pending.into.subarray(state.at, state.at + state.left);
    return this.#staging.room(STAGING_BYTES);
  }

  /** `count` bytes are in the buffer lent last. */
  received(count: number): void {
    if (this.#direct && this.#state.name === "data") {
      this.#state.at += count;
      this.#state.left -= count;
      if (this.#state.left === 0) this.#dataCame(this.#state);
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
    if (magic === SIMPLE_REPLY_MAGIC) {
      if (length < SIMPLE_REPLY_BYTES) return false;
      const cookie = cookieAt(view, start);
      this.#staging.skip(SIMPLE_REPLY_BYTES);
      this.#simple(cookie, view.getUint32(start + 4));
      return true;
    }
    if (magic !== CHUNK_MAGIC) throw badServer("its reply begins with an unknown magic");
    return length >= CHUNK_HEADER_BYTES && this.#readChunk();
  }

  #simple(cookie: number, error: number): void {
    const pending = this.#pending(cookie);
    if (error === 0 && pending.extents !== undefined) throw badServer("it answered a block status without extents");
    if (error === 0 && pending.into !== undefined && pending.length > 0) {
      pending.covered = pending.length;
      this.#state = { name: "data", cookie, pending, at: 0, left: pending.length, done: true };
    } else {
      this.#events.settled(cookie, pending, error);
    }
  }

  #readChunk(): boolean {
    const { view, start } = this.#staging;
    const done = (view.getUint16(start + 4) & CHUNK_FLAG_DONE) !== 0;
    const type = view.getUint16(start + 6);
    const length = view.getUint32(start + 16);
    // Of what is taken as it comes, the head alone has to be there: an offset, or a context.
    const head = type === CHUNK.OFFSET_DATA ? 8 : type === CHUNK.BLOCK_STATUS ? 4 : length;
    if (head > MAX_CHUNK_BYTES) throw badServer(`it sent a chunk of ${length} bytes`);
    if (head > length || (head === length && type === CHUNK.OFFSET_DATA))
      throw badServer("it sent a chunk without data");
    if (this.#staging.length < CHUNK_HEADER_BYTES + head) return false;
    const cookie = cookieAt(view, start);
    const pending = this.#pending(cookie);
    const body = new DataView(view.buffer, start + CHUNK_HEADER_BYTES, head);
    this.#staging.skip(CHUNK_HEADER_BYTES + head);
    const left = length - head;
    if (type === CHUNK.OFFSET_DATA) {
      this.#state = { name: "data", cookie, pending, at: this.#place(pending, body, left), left, done };
      return true;
    }
    if (type === CHUNK.BLOCK_STATUS) {
      const wellFormed = left > 0 && left % EXTENT_BYTES === 0 && left <= MAX_EXTENTS * EXTENT_BYTES;
      if (pending.extents === undefined || !wellFormed) throw badServer("it sent malformed extents");
      const ours = body.getUint32(0) === this.#allocationId;
      this.#state = { name: "extents", cookie, pending, ours, left, done };
      return true;
    }
    if (type === CHUNK.OFFSET_HOLE) {
      if (length !== 12) throw badServer("it sent a malformed hole");
      const at = this.#place(pending, body, body.getUint32(8));
      pending.into?.fill(0, at, at + body.getUint32(8));
    } else if ((type & CHUNK_ERROR_BIT) !== 0) {
      const error = length < 6 ? 0 : body.getUint32(0);
      if (error === 0) throw badServer("it sent a malformed error");
      if (pending.error === 0) pending.error = error;
    } else if (type !== CHUNK.NONE || length !== 0 || !done) {
      throw badServer(`it sent a chunk of type ${type}`);
    }
    if (done) this.#done(cookie, pending);
    return true;
  }

  /** Where in a read's memory `length` bytes for the offset at the head of `body` belong. */
  #place(pending: Pending, body: DataView, length: number): number {
    const at = Number(body.getBigUint64(0)) - pending.offset;
    const inside = pending.into !== undefined && at >= 0 && length > 0 && length <= pending.length - at;
    if (!inside || length > pending.length - pending.covered) throw badServer("it sent data that was not asked for");
    pending.covered += length;
    return at;
  }

  #readExtent(state: State & { name: "extents" }): boolean {
    const { view, start, length } = this.#staging;
    if (length < EXTENT_BYTES) return false;
    const extentLength = view.getUint32(start);
    const flags = view.getUint32(start + 4);
    this.#staging.skip(EXTENT_BYTES);
    state.left -= EXTENT_BYTES;
    if (extentLength === 0) throw badServer("it sent an empty extent");
    const extent = { length: extentLength, hole: (flags & STATUS.HOLE) !== 0, zero: (flags & STATUS.ZERO) !== 0 };
    if (state.ours) state.pending.extents?.push(extent);
    if (state.left > 0) return true;
    this.#state = { name: "header" };
    if (state.done) this.#done(state.cookie, state.pending);
    return true;
  }

  #readData(state: DataState): boolean {
    const count = Math.min(state.left, this.#staging.length);
    if (count === 0) return false;
    state.pending.into?.set(this.#staging.take(count), state.at);
    state.at += count;
    state.left -= count;
    if (state.left > 0) return false;
    this.#dataCame(state);
    return true;
  }

  #dataCame(state: DataState): void {
    this.#state = { name: "header" };
    if (state.done) this.#done(state.cookie, state.pending);
  }

  #done(cookie: number, pending: Pending): void {
    if (pending.error === 0 && pending.into !== undefined && pending.covered !== pending.length)
      throw badServer("its reply to a read has gaps");
    if (pending.error === 0 && pending.extents !== undefined && pending.extents.length === 0)
      throw badServer("it answered a block status without extents");
    this.#events.settled(cookie, pending, pending.error);
  }

  #pending(cookie: number): Pending {
    const pending = this.#events.find(cookie);
    if (pending === undefined) throw badServer("it replied to a request that nobody made");
    return pending;
  }
}

/** Our cookies fit into the low word and a few bits of the high one. */
function cookieAt(view: DataView, start: number): number {
  return view.getUint32(start + 8) * 0x1_0000_0000 + view.getUint32(start + 12);
}
