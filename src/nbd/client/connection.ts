import { SkinkError } from "../../block/errors.ts";
import type { Extent } from "../../block/request.ts";
import { COMMAND } from "../wire/protocol.ts";
import { encodeRequest, REQUEST_BYTES } from "../wire/requests.ts";
import { viewOf } from "../wire/view.ts";
import { disconnected, NbdRequestError } from "./errors.ts";
import { type Pending, ReplyParser } from "./replies.ts";
import type { ClientReceiver, ClientStream } from "./stream.ts";

/** Data of a write from this size on goes to the socket as it is; smaller data is copied behind its header. */
const REFERENCE_BYTES = 32 << 10;

/** One request: what the protocol wants of it, and what it is for. Offset and length in bytes. */
export interface ClientRequest {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  /** "read", "write": for messages. */
  readonly verb: string;
  /** A write's data, borrowed until the promise settles. */
  readonly data?: Uint8Array;
  /** Where a read's data goes, likewise. */
  readonly into?: Uint8Array;
  /** Where the extents go. */
  readonly extents?: Extent[];
}

interface Waiting extends Pending {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** The transmission phase, a client's side: requests out in batches, replies in, each to its promise. */
export class ClientConnection implements ClientReceiver {
  readonly #stream: ClientStream;
  readonly #parser: ReplyParser;
  readonly #waiting = new Map<number, Waiting>();
  readonly #closed: Promise<void>;
  #lastCookie = 0;
  /** Requests of this turn of the event loop, and their bytes without the data that goes by reference. */
  #batch: { cookie: number; request: ClientRequest }[] = [];
  #batchBytes = 0;
  #failure: Error | undefined;
  #whenIdle: (() => void) | undefined;

  constructor(stream: ClientStream, allocationId: number | undefined) {
    this.#stream = stream;
    const find = (cookie: number) => this.#waiting.get(cookie);
    this.#parser = new ReplyParser({ find, settled: (...reply) => this.#settle(...reply) }, allocationId);
    this.#closed = new Promise((resolve) => stream.socket.once("close", () => resolve()));
    stream.handOver(this);
  }

  get alive(): boolean {
    return this.#failure === undefined;
  }

  request(request: ClientRequest): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const { verb, offset, length, into, extents } = request;
      const cookie = ++this.#lastCookie;
      const action = length === 0 ? verb : `${verb} ${length} bytes at ${offset}`;
      this.#waiting.set(cookie, { action, offset, length, into, extents, covered: 0, error: 0, resolve, reject });
      this.#queue(cookie, request);
    });
  }

  /** Resolves when all requests have their replies and the connection is closed. */
  async close(): Promise<void> {
    if (this.alive && this.#waiting.size > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    if (this.alive) {
      this.#queue(0, { type: COMMAND.DISC, flags: 0, offset: 0, length: 0, verb: "disconnect" });
      this.#send();
      this.#failure = new SkinkError(
        "disconnected",
        "Cannot use the NBD connection: it is closed, an open one was wanted",
      );
      this.#stream.socket.destroySoon();
    }
    await this.#closed;
  }

  destroy(): void {
    this.lost(disconnected("it was destroyed"));
  }

  // ── The stream's receiver ─────────────────────────────────────────────────────────────────────────────────────

  receiveBuffer(): Uint8Array {
    return this.#parser.receiveBuffer();
  }

  received(count: number): void {
    if (this.#failure !== undefined) return;
    try {
      this.#parser.received(count);
    } catch (error) {
      if (!(error instanceof SkinkError)) throw error;
      this.lost(error);
    }
  }

  lost(error: Error): void {
    this.#failure ??= error instanceof SkinkError ? error : disconnected(error.message, error);
    this.#stream.destroy();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(this.#failure);
    this.#whenIdle?.();
  }

  #settle(cookie: number, pending: Pending, error: number): void {
    const waiting = this.#waiting.get(cookie);
    if (waiting === undefined) return;
    this.#waiting.delete(cookie);
    if (error === 0) waiting.resolve();
    else waiting.reject(new NbdRequestError(pending.action, error));
    if (this.#waiting.size === 0) this.#whenIdle?.();
  }

  #queue(cookie: number, request: ClientRequest): void {
    if (this.#batch.length === 0) process.nextTick(() => this.#send());
    this.#batch.push({ cookie, request });
    this.#batchBytes += REQUEST_BYTES + copiedBytes(request);
  }

  #send(): void {
    const batch = this.#batch;
    if (batch.length === 0 || this.#failure !== undefined) return;
    this.#batch = [];
    const bytes = Buffer.allocUnsafe(this.#batchBytes);
    this.#batchBytes = 0;
    const view = viewOf(bytes);
    const { socket } = this.#stream;
    let cut = 0;
    let used = 0;
    socket.cork();
    for (const { cookie, request } of batch) {
      const cookieHigh = Math.floor(cookie / 0x1_0000_0000);
      encodeRequest(view, used, { ...request, cookieHigh, cookieLow: cookie >>> 0 });
      used += REQUEST_BYTES;
      const { data } = request;
      if (data === undefined || data.length === 0) continue;
      if (data.length < REFERENCE_BYTES) {
        bytes.set(data, used);
        used += data.length;
      } else {
        socket.write(bytes.subarray(cut, used));
        socket.write(data);
        cut = used;
      }
    }
    if (cut < used) socket.write(bytes.subarray(cut, used));
    socket.uncork();
  }
}

function copiedBytes({ data }: ClientRequest): number {
  return data === undefined || data.length >= REFERENCE_BYTES ? 0 : data.length;
}
