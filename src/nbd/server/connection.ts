import type { Socket } from "node:net";
import type { Payload } from "../../block/memory.ts";
import type { BlockDevice } from "../../shadow/ports.ts";
import { MAX_PINNED_BYTES } from "./limits.ts";
import { OutputQueue } from "./output.ts";
import { receiveInto } from "./receiving-socket.ts";
import type { Session } from "./session.ts";
import { OUTPUT_HIGH_WATER_BYTES, OUTPUT_LOW_WATER_BYTES, type Transport } from "./transport.ts";

/** Node asks for the next buffer before it heeds a pause; what then still comes, comes in here. */
const SPILL_BYTES = 4 << 10;

/** What the connections of a server have pinned together, in bytes of slots. */
export interface Pins {
  bytes: number;
}

export interface ConnectionOptions {
  readonly pins: Pins;
  /** Whether the peer of a descriptor has closed it (poll's POLLRDHUP). */
  readonly hungUp: (fd: number) => boolean;
  /** It is closed, and nothing of it is left. */
  readonly onClosed: (connection: Connection) => void;
}

/** One accepted socket: the transport of one session. */
export class Connection implements Transport {
  readonly #options: ConnectionOptions;
  readonly #output = new OutputQueue();
  #session: Session | undefined;
  #socket: Socket | undefined;
  #fd = -1;
  #paused = false;
  #spill: Uint8Array | undefined;
  /** Segments are in the hands of the socket. */
  #writing = false;
  /** Of the server's pins, those of this connection. */
  #pinnedBytes = 0;
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
    this.#output.written();
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
    this.#socket.on("end", () => this.destroy());
    // What went wrong with the socket of a client is the client's affair; 'close' follows.
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => this.destroy());
    this.flush();
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
    this.#output.copy(bytes);
    this.#noteHeight();
  }

  sendPayload(payload: Payload, start: number, length: number, done: () => void): void {
    if (this.#closed) return done();
    this.#output.reference(payload, start, length, done);
    this.#noteHeight();
  }

  /** Once the event that is being handled is over: then the replies to all of it go out together. */
  flush(): void {
    if (this.#flushing || this.#writing) return;
    this.#flushing = true;
    process.nextTick(this.#flushNow);
  }

  pause(): void {
    this.#paused = true;
    this.#socket?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#socket?.resume();
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
    // Never from inside a call of the session's.
    process.nextTick(() => {
      this.#session?.closed();
      this.#options.onClosed(this);
    });
  }

  // ── Receiving ─────────────────────────────────────────────────────────────────────────────────────────────────

  #lend(session: Session): Uint8Array {
    if (!this.#paused) return session.receiveBuffer();
    this.#spill ??= new Uint8Array(SPILL_BYTES);
    return this.#spill;
  }

  #received(session: Session, count: number, buffer: Uint8Array): boolean {
    if (this.#closed) return false;
    if (buffer !== this.#spill) {
      session.received(count);
      return !this.#paused;
    }
    // Read into the spill after a pause: the session has room for that much, also where it pauses again midway.
    for (let at = 0; at < count && !this.#closed; ) {
      const into = session.receiveBuffer();
      const taken = Math.min(into.length, count - at);
      into.set(buffer.subarray(at, at + taken));
      session.received(taken);
      at += taken;
    }
    return !this.#paused;
  }

  // ── Sending ───────────────────────────────────────────────────────────────────────────────────────────────────

  #write(): void {
    const socket = this.#socket;
    if (socket === undefined || this.#closed || this.#writing) return;
    for (;;) {
      const round = this.#output.nextRound(MAX_PINNED_BYTES - this.#options.pins.bytes);
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
      this.#output.written();
    }
    this.#noteDepth();
    if (this.#ending && !this.#writing) socket.destroySoon();
  }

  #setPinned(bytes: number): void {
    this.#options.pins.bytes += bytes - this.#pinnedBytes;
    this.#pinnedBytes = bytes;
  }

  #noteHeight(): void {
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
