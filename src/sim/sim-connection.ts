import { type Payload, restOfSlot, slotBytes } from "../block/memory.ts";
import type { SeededRandom } from "../block/random.ts";
import { OUTPUT_HIGH_WATER_BYTES, OUTPUT_LOW_WATER_BYTES, type Transport } from "../nbd/server/transport.ts";
import type { VirtualClock } from "./clock.ts";
import type { Life } from "./life.ts";

/** What a connection asks of the session at its server's end. */
export interface ServerEnd {
  receiveBuffer(): Uint8Array;
  received(count: number): void;
  drained(): void;
  closed(): void;
}

/** What a connection asks of its client's end. Bytes are borrowed. */
export interface ClientEnd {
  received(bytes: Uint8Array): void;
  /** The server has closed it. */
  closed(): void;
}

interface Outgoing {
  /** Copied bytes, or a part of a payload that is taken only when it is delivered. */
  readonly bytes: Uint8Array | undefined;
  readonly payload: Payload | undefined;
  readonly start: number;
  readonly length: number;
  readonly done: (() => void) | undefined;
}

const MAX_LATENCY_MS = 3;
/** Of bytes that come in pieces, a piece is this many blocks at most: no payload arrives at once. */
const FRAGMENT_BLOCKS = 1.4;
/** Some sockets count every byte as many, so that small worlds reach the marks too. */
const BYTE_WEIGHTS = [1, 1, 256] as const;

/**
 * A socket pair: bytes arrive in order, split anywhere, after a while. The client may hang up with bytes unread; a
 * server that has paused learns of that only if it looks. Until a front accepts it, it waits, and what the client sends, too.
 */
export class SimConnection implements Transport {
  readonly number: number;
  readonly #clock: VirtualClock;
  readonly #random: SeededRandom;
  /** Bytes of a piece at most; `undefined` where they come as they are sent. */
  readonly #fragmentBytes: number | undefined;
  #server: ServerEnd | undefined;
  #life: Life | undefined;
  #client: ClientEnd | undefined;
  #incoming: Uint8Array[] = [];
  #incomingAt = 0;
  #outgoing: Outgoing[] = [];
  readonly #byteWeight: number;
  #queuedBytes = 0;
  #overHighWater = false;
  #paused = false;
  #receiving = false;
  #sending = false;
  #stalledUntil = 0;
  #ending = false;
  /** The client has closed its side. */
  #hungUp = false;
  #closed = false;

  /** `inFragments`: of a device with blocks of so many bytes, what is sent arrives in pieces. */
  constructor(number: number, ports: { clock: VirtualClock; random: SeededRandom }, inFragments: number | undefined) {
    this.number = number;
    this.#clock = ports.clock;
    this.#random = ports.random;
    this.#fragmentBytes = inFragments === undefined ? undefined : Math.floor(inFragments * FRAGMENT_BLOCKS);
    this.#byteWeight = ports.random.pick(BYTE_WEIGHTS);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Who gets what the server sends. */
  connect(client: ClientEnd): void {
    this.#client = client;
  }

  /** `accept` makes the server's end, which may send at once, in the front of this `life`. */
  open(life: Life, accept: () => ServerEnd): void {
    this.#life = life;
    life.enter(() => {
      this.#server = accept();
    });
    if (this.#incoming.length > 0) this.#receiveSoon();
  }

  /**
   * The server's process dies. What it had handed to the socket is still there, or, if it was not `inOrder`, not all of it; what was
   * sent to it, and not read, is gone.
   */
  serverDies(inOrder: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#server = undefined;
    this.#incoming = [];
    const arrives = this.#outgoing
      .slice(0, inOrder ? this.#outgoing.length : this.#random.between(0, this.#outgoing.length))
      .map(copyOf);
    this.#outgoing = [];
    const client = this.#client;
    this.#clock.after(this.#latency(), () => {
      for (const bytes of arrives) client?.received(bytes);
      client?.closed();
    });
  }

  // ── The client's end ────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes the bytes: they are the connection's from here on. */
  write(bytes: Uint8Array): void {
    if (this.#hungUp || this.#closed) return;
    this.#incoming.push(bytes);
    this.#receiveSoon();
  }

  /** The client closes the connection. What it has sent may still be read, as with a socket. */
  hangUp(): void {
    if (this.#hungUp || this.#closed) return;
    this.#hungUp = true;
    this.#client = undefined;
    if (this.#random.chance(0.3)) this.#incoming = [];
    this.#incomingAt = this.#incoming.length === 0 ? 0 : this.#incomingAt;
    this.#dropOutgoing();
    // A server that reads finds what is unread, then the end, before the client can be back.
    if (!this.#paused) this.#receiveAll();
    else if (this.#random.chance(0.3)) this.#clock.after(this.#latency(), () => this.#close());
  }

  /** The client does not read for a while. */
  stopReading(ms: number): void {
    this.#stalledUntil = this.#clock.now() + ms;
  }

  // ── The server's end ────────────────────────────────────────────────────────────────────────────────────────────

  get queuedBytes(): number {
    return this.#queuedBytes * this.#byteWeight;
  }

  send(bytes: Uint8Array): void {
    this.#life?.point();
    this.#queue({ bytes: bytes.slice(), payload: undefined, start: 0, length: bytes.length, done: undefined });
  }

  sendPayload(payload: Payload, start: number, length: number, done: () => void): void {
    this.#life?.point();
    this.#queue({ bytes: undefined, payload, start, length, done });
  }

  flush(): void {
    this.#life?.point();
    this.#sendSoon();
  }

  startTls(): never {
    throw new Error("simulated connections are not encrypted");
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#receiveSoon();
  }

  hungUp(): boolean {
    return this.#hungUp;
  }

  end(): void {
    this.#ending = true;
    this.#sendSoon();
  }

  destroy(): void {
    this.#close();
  }

  // ── The way there ───────────────────────────────────────────────────────────────────────────────────────────────

  #receiveSoon(): void {
    if (this.#receiving || this.#closed || this.#server === undefined) return;
    this.#receiving = true;
    this.#clock.after(this.#latency(), () => {
      this.#receiving = false;
      if (this.#paused || this.#closed) return;
      if (this.#hungUp) return this.#receiveAll();
      const most = this.#fragmentBytes;
      this.#receive(most === undefined ? Number.POSITIVE_INFINITY : this.#random.between(1, most));
      if (this.#incoming.length > 0 && !this.#paused) this.#receiveSoon();
    });
  }

  #receiveAll(): void {
    if (this.#server === undefined) return this.#close();
    while (!this.#paused && !this.#closed && this.#incoming.length > 0) this.#receive(Number.POSITIVE_INFINITY);
    if (!this.#paused) this.#close();
  }

  /** Hands over at most `limit` bytes, in as many pieces as the session's buffers ask for. */
  #receive(limit: number): void {
    let left = limit;
    while (left > 0 && !this.#paused && !this.#closed) {
      const head = this.#incoming[0];
      const server = this.#server;
      if (head === undefined || server === undefined) return;
      const into = server.receiveBuffer();
      let filled = 0;
      while (filled < into.length && left > 0) {
        const next = this.#incoming[0];
        if (next === undefined) break;
        const count = Math.min(next.length - this.#incomingAt, into.length - filled, left);
        into.set(next.subarray(this.#incomingAt, this.#incomingAt + count), filled);
        filled += count;
        left -= count;
        this.#incomingAt += count;
        if (this.#incomingAt < next.length) continue;
        this.#incoming.shift();
        this.#incomingAt = 0;
      }
      this.#life?.enter(() => server.received(filled));
    }
  }

  // ── The way back ────────────────────────────────────────────────────────────────────────────────────────────────

  #queue(outgoing: Outgoing): void {
    if (this.#closed || this.#hungUp) {
      const { done } = outgoing;
      if (done !== undefined) this.#life?.clock.after(0, done);
      return;
    }
    this.#outgoing.push(outgoing);
    this.#queuedBytes += outgoing.length;
    if (this.queuedBytes > OUTPUT_HIGH_WATER_BYTES) this.#overHighWater = true;
  }

  #sendSoon(): void {
    if (this.#sending || this.#closed) return;
    this.#sending = true;
    this.#clock.after(Math.max(this.#latency(), this.#stalledUntil - this.#clock.now()), () => {
      this.#sending = false;
      if (this.#closed) return;
      this.#deliver();
      if (this.#outgoing.length > 0) this.#sendSoon();
      else if (this.#ending) this.#close();
    });
  }

  #deliver(): void {
    const count =
      this.#fragmentBytes !== undefined ? this.#random.between(1, this.#outgoing.length) : this.#outgoing.length;
    for (const { bytes, payload, start, length, done } of this.#outgoing.splice(0, count)) {
      this.#queuedBytes -= length;
      const client = this.#client;
      if (client !== undefined && bytes !== undefined) client.received(bytes);
      else if (client !== undefined && payload !== undefined) deliverPayload(client, payload, start, length);
      if (done !== undefined) this.#life?.enter(done);
    }
    if (!this.#overHighWater || this.queuedBytes > OUTPUT_LOW_WATER_BYTES) return;
    this.#overHighWater = false;
    const server = this.#server;
    if (server !== undefined) this.#life?.enter(() => server.drained());
  }

  #dropOutgoing(): void {
    const dropped = this.#outgoing;
    this.#outgoing = [];
    this.#queuedBytes = 0;
    for (const { done } of dropped) if (done !== undefined) this.#life?.clock.after(0, done);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#incoming = [];
    this.#dropOutgoing();
    const server = this.#server;
    const client = this.#client;
    this.#clock.after(0, () => {
      if (server !== undefined) this.#life?.enter(() => server.closed());
      client?.closed();
    });
  }

  #latency(): number {
    return this.#random.below(MAX_LATENCY_MS);
  }
}

function copyOf({ bytes, payload, start, length }: Outgoing): Uint8Array {
  if (bytes !== undefined || payload === undefined) return bytes ?? new Uint8Array(0);
  const copy = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const count = Math.min(length - at, restOfSlot(start + at));
    copy.set(slotBytes(payload, start + at, count), at);
    at += count;
  }
  return copy;
}

/** Bytes of a payload may lie in several slots. */
function deliverPayload(client: ClientEnd, payload: Payload, start: number, length: number): void {
  for (let at = start; at < start + length; ) {
    const count = Math.min(start + length - at, restOfSlot(at));
    client.received(slotBytes(payload, at, count));
    at += count;
  }
}
