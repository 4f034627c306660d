import { SkinkError } from "../../block/errors.ts";
import { COMMAND, COMMAND_FLAG } from "../wire/protocol.ts";
import { EXTENDED_REQUEST_BYTES, encodeExtendedRequest, encodeRequest, REQUEST_BYTES } from "../wire/requests.ts";
import { viewOf } from "../wire/view.ts";
import { disconnected } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { type ReplyFormat, ReplyParser } from "./replies.ts";
import type { ClientReceiver, ClientStream } from "./stream.ts";

/** Data of a write from this size on goes to the socket as it is; smaller data is copied behind its header. */
const REFERENCE_BYTES = 32 << 10;
/** Requests that go out together are gathered in pieces of this size. Holds a header and the largest copied data. */
const GATHER_BYTES = 128 << 10;

/** What the owner of a transmission hears of it. */
export interface TransmissionEvents<E extends Exchange> {
  /** The one reply. `error`: 0, or the number that the server answered. */
  settled(exchange: E, error: number): void;
  /** The replies that came together have all been told. */
  batchSettled(): void;
  /** The connection is over; `unsettled` have no reply and won't get one. Told once, and nothing after it. */
  lost(error: SkinkError, unsettled: readonly E[]): void;
}

/**
 * The transmission phase, a client's side: requests go out in batches, replies come in any order. Nothing is waited
 * for here and nothing is limited: both are the owner's affair.
 */
export class ClientTransmission<E extends Exchange> implements ClientReceiver {
  readonly #stream: ClientStream;
  readonly #extended: boolean;
  readonly #events: TransmissionEvents<E>;
  readonly #parser: ReplyParser<E>;
  readonly #waiting = new Map<number, E>();
  #lastCookie = 0;
  /** Requests that are not with the socket: those before `#cut` in segments, those from there to `#used` gathered. */
  #segments: Uint8Array[] = [];
  #gather = Buffer.allocUnsafeSlow(GATHER_BYTES);
  #view = viewOf(this.#gather);
  #cut = 0;
  #used = 0;
  #over = false;
  #ending = false;

  constructor(stream: ClientStream, format: ReplyFormat, events: TransmissionEvents<E>) {
    this.#stream = stream;
    this.#extended = format.extended;
    this.#events = events;
    const find = (cookie: number) => this.#waiting.get(cookie);
    const settled = (cookie: number, exchange: E, error: number) => this.#settle(cookie, exchange, error);
    this.#parser = new ReplyParser<E>({ find, settled }, format);
  }

  /** Begins to receive. Not part of the constructor, since events may come from inside. */
  start(): void {
    this.#stream.handOver(this);
  }

  /** Whether requests can be made. */
  get alive(): boolean {
    return !this.#over;
  }

  /** Requests without a reply. */
  get outstanding(): number {
    return this.#waiting.size;
  }

  /** Takes a request, which goes out with the next `send`. Must be `alive`. */
  request(exchange: E): void {
    const cookie = ++this.#lastCookie;
    this.#waiting.set(cookie, exchange);
    this.#encode(cookie, exchange);
  }

  /** The batch is complete. */
  send(): void {
    if (this.#over) return;
    const { socket } = this.#stream;
    const segments = this.#segments;
    if (segments.length === 0) {
      if (this.#cut === this.#used) return;
      socket.write(this.#gather.subarray(this.#cut, this.#used));
    } else {
      this.#segments = [];
      socket.cork();
      for (const segment of segments) socket.write(segment);
      if (this.#cut < this.#used) socket.write(this.#gather.subarray(this.#cut, this.#used));
      socket.uncork();
    }
    this.#cut = this.#used;
    // Node tries to write at once; with nothing left in the stream, the kernel has taken it all.
    if (socket.writableLength === 0) {
      this.#cut = 0;
      this.#used = 0;
    }
  }

  /**
   * Says goodbye: no further requests. The server finishes what it has and closes the connection, which is told as lost.
   */
  disconnect(): void {
    if (this.#over || this.#ending) return;
    this.#ending = true;
    this.#encode(0, { type: COMMAND.DISC, flags: 0, offset: 0, length: 0, data: undefined });
    this.send();
    this.#stream.socket.end();
  }

  /** Whether it was the server that has closed the connection. */
  get endedByServer(): boolean {
    return this.#stream.endedByServer;
  }

  /** Closes at once; told as lost where it wasn't. */
  destroy(): void {
    this.lost(disconnected("it was destroyed"));
  }

  // ── The stream's receiver ─────────────────────────────────────────────────────────────────────────────────────

  receiveBuffer(): Uint8Array {
    return this.#parser.receiveBuffer();
  }

  received(count: number): void {
    if (this.#over) return;
    try {
      this.#parser.received(count);
    } catch (error) {
      if (!(error instanceof SkinkError)) throw error;
      this.lost(error);
      return;
    }
    this.#events.batchSettled();
  }

  lost(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream.destroy();
    const unsettled = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#segments = [];
    this.#events.lost(error instanceof SkinkError ? error : disconnected(error.message, error), unsettled);
  }

  #settle(cookie: number, exchange: E, error: number): void {
    this.#waiting.delete(cookie);
    this.#events.settled(exchange, error);
  }

  #encode(cookie: number, request: Pick<Exchange, "type" | "flags" | "offset" | "length" | "data">): void {
    const { type, flags, offset, length, data } = request;
    const copied = data === undefined || data.length >= REFERENCE_BYTES ? 0 : data.length;
    this.#makeRoom(EXTENDED_REQUEST_BYTES + copied);
    const header = {
      type,
      // Extended headers tell by a flag what data follows.
      flags: this.#extended && data !== undefined ? flags | COMMAND_FLAG.PAYLOAD_LEN : flags,
      offset,
      length,
      cookieHigh: Math.floor(cookie / 0x1_0000_0000),
      cookieLow: cookie >>> 0,
    };
    if (this.#extended) {
      encodeExtendedRequest(this.#view, this.#used, header);
      this.#used += EXTENDED_REQUEST_BYTES;
    } else {
      encodeRequest(this.#view, this.#used, header);
      this.#used += REQUEST_BYTES;
    }
    if (data === undefined) return;
    if (copied > 0) {
      this.#gather.set(data, this.#used);
      this.#used += copied;
    } else if (data.length > 0) {
      this.#seal();
      this.#segments.push(data);
    }
  }

  /** A full gather buffer is left to its segments, and to the collector after them. */
  #makeRoom(bytes: number): void {
    if (this.#used + bytes <= GATHER_BYTES) return;
    this.#seal();
    this.#gather = Buffer.allocUnsafeSlow(GATHER_BYTES);
    this.#view = viewOf(this.#gather);
    this.#cut = 0;
    this.#used = 0;
  }

  #seal(): void {
    if (this.#cut < this.#used) this.#segments.push(this.#gather.subarray(this.#cut, this.#used));
    this.#cut = this.#used;
  }
}
