import assert from "node:assert/strict";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Payload } from "../../block/memory.ts";
import type { BlockDevice, Clock } from "../../shadow/ports.ts";
import { serverHandshake } from "../tls/server-handshake.ts";
import type { ServerTls } from "../tls/server-tls.ts";
import { MAX_PINNED_BYTES } from "./limits.ts";
import { OutputQueue } from "./output.ts";
import { receiveInto } from "./receiving-socket.ts";
import type { Session } from "./session.ts";
import { OUTPUT_HIGH_WATER_BYTES, OUTPUT_LOW_WATER_BYTES, type Transport } from "./transport.ts";

/** Node asks for the next buffer before it heeds a pause; what then still comes, comes in here. */
const SPILL_BYTES = 4 << 10;
/** What one round of writing hands over at most, so that slots come free while a large reply is on its way. */
const ROUND_BYTES = 1 << 20;
/** Of a round over TLS there is an encrypted copy until the kernel has taken it: memory that a plain connection doesn't need. */
const TLS_ROUND_BYTES = 128 << 10;

/** What the connections of a server hold together. */
export interface Holdings {
  /** Slots, in bytes, that sockets have in their hands. */
  pinnedBytes: number;
  /** What is queued for clients to take. */
  queuedBytes: number;
}

export interface ConnectionOptions {
  readonly clock: Clock;
  readonly holdings: Holdings;
  /** Only with it may the session start TLS. */
  readonly tls?: ServerTls | undefined;
  /** The connection is being closed since its TLS handshake went wrong. `why`: in a word or two. */
  readonly onTlsFailed: (why: string) => void;
  /** More is queued. May destroy this connection, or another. */
  readonly onQueued: () => void;
  /** Whether the peer of a descriptor has closed it (poll's POLLRDHUP). */
  readonly hungUp: (fd: number) => boolean;
  /** It is closed, and nothing of it is left. */
  readonly onClosed: (connection: Connection) => void;
}

/**
 * What goes over the socket.
 *
 *   plain ──startTls──▶ lastPlain ──all written──▶ handshake ──▶ secured
 *
 * Nothing is received from `lastPlain` on, and nothing sent in `handshake`: the socket is in the hands of TLS.
 */
type Privacy = "plain" | "lastPlain" | "handshake" | "secured";

/** One accepted socket: the transport of one session. */
export class Connection implements Transport {
  readonly #options: ConnectionOptions;
  readonly #output = new OutputQueue();
  #session: Session | undefined;
  /** With TLS, until it is secured, the socket below it: whose end is the end of both. */
  #socket: Socket | undefined;
  #privacy: Privacy = "plain";
  #fd = -1;
  #paused = false;
  #spill: Uint8Array | undefined;
  /** Segments are in the hands of the socket. */
  #writing = false;
  /** Of the server's holdings, those of this connection. */
  #pinnedBytes = 0;
  #queuedBytes = 0;
  #tookAt = 0;
  #flushing = false;
  #ending = false;
  #closed = false;
  /** The queue has passed the high mark, and the session is to hear when it has sunk. */
  #high = false;
  readonly #flushNow = () => {
    this.#flushing = false;
    this.#write();
  };
  readonly #wrote = () => {
    if (!this.#writing || this.#closed || this.#socket?.writableLength !== 0) return;
    this.#writing = false;
    this.#setPinned(0);
    this.#taken();
    this.#write();
  };

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Begins to receive for `session` from `accepted`, which is used up. */
  open(session: Session, accepted: Socket): void {
    this.#session = session;
    const receiving = receiveInto(accepted, {
      buffer: () => this.#lend(session),
      received: (count, buffer) => this.#received(session, count, buffer),
    });
    if (receiving === undefined) return this.destroy();
    this.#socket = receiving.socket;
    this.#fd = receiving.fd;
    this.#socket.setNoDelay(true);
    this.#watch(this.#socket);
    this.flush();
  }

  /** See {@link Session.inHandshake}. */
  get inHandshake(): boolean {
    return !this.#closed && this.#session?.inHandshake !== false;
  }

  /** When its client last took something, or the first of what it has not taken was queued. */
  get tookAt(): number {
    return this.#tookAt;
  }

  /** Frees the payloads that a client which doesn't read keeps in the queue. */
  unpin(): void {
    this.#output.unpin();
  }

  /** See {@link Session.keepsIdle}. */
  keepsIdle(device: BlockDevice, ms: number): boolean {
    return this.#session?.keepsIdle(device, ms) === true;
  }

  shutdown(): void {
    this.#session?.shutdown();
  }

  // ── Transport ─────────────────────────────────────────────────────────────────────────────────────────────────

  get queuedBytes(): number {
    return this.#output.queuedBytes;
  }

  send(bytes: Uint8Array): void {
    if (this.#closed) return;
    assert(this.#privacy !== "lastPlain", "what is sent before TLS has begun would go out in plain text");
    this.#output.copy(bytes);
    this.#noteHeight();
  }

  sendPayload(payload: Payload, start: number, length: number, done: () => void): void {
    if (this.#closed) return done();
    assert(this.#privacy !== "lastPlain", "what is sent before TLS has begun would go out in plain text");
    this.#output.reference(payload, start, length, done);
    this.#noteHeight();
  }

  /** Once the event that is being handled is over: then the replies to all of it go out together. */
  flush(): void {
    if (this.#flushing || this.#writing) return;
    this.#flushing = true;
    process.nextTick(this.#flushNow);
  }

  startTls(): void {
    assert(this.#privacy === "plain" && this.#options.tls !== undefined, "TLS starts once, and with credentials");
    if (this.#closed) return;
    this.#privacy = "lastPlain";
    // What comes next is the handshake's.
    this.#socket?.pause();
    this.flush();
  }

  pause(): void {
    this.#paused = true;
    if (this.#receives) this.#socket?.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#receives) this.#socket?.resume();
  }

  hungUp(): boolean {
    return this.#closed || (this.#fd >= 0 && this.#options.hungUp(this.#fd));
  }

  end(): void {
    this.#ending = true;
    this.flush();
  }

  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket?.destroy();
    this.#setPinned(0);
    this.#output.clear();
    this.#account();
    // Never from inside a call of the session's.
    process.nextTick(() => {
      this.#session?.closed();
      this.#options.onClosed(this);
    });
  }

  /** Whether the socket is the session's to pause and resume. */
  get #receives(): boolean {
    return this.#privacy === "plain" || this.#privacy === "secured";
  }

  #watch(socket: Socket): void {
    // What went wrong with the socket of a client is the client's affair, and after an error of TLS nothing else would follow.
    // Of a handshake that ends so it is to be said first why.
    const gone = (): void => {
      if (this.#privacy !== "handshake") this.destroy();
    };
    for (const event of ["end", "error", "close"]) socket.on(event, gone);
  }

  // ── Receiving ─────────────────────────────────────────────────────────────────────────────────────────────────

  #lend(session: Session): Uint8Array {
    if (!this.#paused && this.#privacy === "plain") return session.receiveBuffer();
    this.#spill ??= new Uint8Array(SPILL_BYTES);
    return this.#spill;
  }

  #received(session: Session, count: number, buffer: Uint8Array): boolean {
    if (this.#closed) return false;
    if (this.#privacy !== "plain") {
      // Nothing in plain text may follow STARTTLS.
      this.destroy();
      return false;
    }
    if (buffer !== this.#spill) {
      session.received(count);
    } else {
      // Read into the spill after a pause: the session has room for that much, also where it pauses again midway.
      for (let at = 0; at < count && !this.#closed; ) at += pour(session, buffer.subarray(at, count));
    }
    return !this.#paused;
  }

  /** All plain text is written: the client's next bytes are those of a TLS handshake. */
  #handshake(session: Session, socket: Socket, tls: ServerTls): void {
    this.#privacy = "handshake";
    serverHandshake(socket, tls, {
      secured: (secured) => this.#secured(session, secured),
      failed: (why) => {
        if (!this.#closed) this.#options.onTlsFailed(why);
        this.destroy();
      },
    });
  }

  #secured(session: Session, socket: TLSSocket): void {
    if (this.#closed) return;
    this.#privacy = "secured";
    this.#socket = socket;
    this.#watch(socket);
    // Node lends TLS no buffers of ours: what has been decrypted comes in memory of its own, and is copied.
    socket.on("data", (bytes: Buffer) => this.#decrypted(session, socket, bytes));
    if (this.#paused) socket.pause();
    this.flush();
  }

  /** What comes after a pause goes back into the socket, which holds a few records at most, and comes again. */
  #decrypted(session: Session, socket: Socket, bytes: Buffer): void {
    for (let at = 0; at < bytes.length && !this.#closed; ) {
      if (this.#paused) {
        socket.unshift(bytes.subarray(at));
        return;
      }
      at += pour(session, bytes.subarray(at));
    }
  }

  // ── Sending ───────────────────────────────────────────────────────────────────────────────────────────────────

  #write(): void {
    const [session, socket] = [this.#session, this.#socket];
    if (socket === undefined || this.#closed || this.#writing || this.#privacy === "handshake") return;
    const roundBytes = this.#privacy === "secured" ? TLS_ROUND_BYTES : ROUND_BYTES;
    for (;;) {
      const round = this.#output.nextRound(MAX_PINNED_BYTES - this.#options.holdings.pinnedBytes, roundBytes);
      if (round.length === 0) break;
      if (round.length > 1) socket.cork();
      for (const { bytes } of round) socket.write(bytes, this.#wrote);
      if (round.length > 1) socket.uncork();
      // Node tries to write at once; with nothing left in the stream, the kernel has taken it all.
      if (socket.writableLength > 0) {
        this.#writing = true;
        this.#setPinned(this.#output.pinnedBytes);
        break;
      }
      this.#taken();
    }
    this.#noteDepth();
    if (this.#writing) return;
    const { tls } = this.#options;
    if (this.#ending) socket.destroySoon();
    else if (this.#privacy === "lastPlain" && session !== undefined && tls !== undefined) {
      this.#handshake(session, socket, tls);
    }
  }

  #setPinned(bytes: number): void {
    this.#options.holdings.pinnedBytes += bytes - this.#pinnedBytes;
    this.#pinnedBytes = bytes;
  }

  /** The kernel has taken what it was given. */
  #taken(): void {
    this.#output.written();
    this.#tookAt = this.#options.clock.now();
    this.#account();
  }

  #account(): void {
    this.#options.holdings.queuedBytes += this.#output.queuedBytes - this.#queuedBytes;
    this.#queuedBytes = this.#output.queuedBytes;
  }

  #noteHeight(): void {
    if (this.#queuedBytes === 0) this.#tookAt = this.#options.clock.now();
    this.#account();
    this.#options.onQueued();
    if (this.#output.queuedBytes > OUTPUT_HIGH_WATER_BYTES) this.#high = true;
  }

  #noteDepth(): void {
    if (!this.#high || this.#output.queuedBytes > OUTPUT_LOW_WATER_BYTES) return;
    this.#high = false;
    setImmediate(() => {
      if (!this.#closed) this.#session?.drained();
    });
  }
}

/** Has the session receive the first of `bytes`, as many as it has room for in one piece. How many that were. */
function pour(session: Session, bytes: Uint8Array): number {
  const into = session.receiveBuffer();
  const count = Math.min(into.length, bytes.length);
  into.set(bytes.subarray(0, count));
  session.received(count);
  return count;
}
