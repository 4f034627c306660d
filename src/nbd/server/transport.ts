import type { Payload } from "../../block/memory.ts";

/**
 * What a session needs of its connection. In production a unix or TCP socket, in simulation a pair of byte queues.
 * The session, for its part, offers: `receiveBuffer()`, where the next bytes are to be received (borrowed until the
 * next call; never empty while not paused), `received(count)`, `drained()`, `closed()`, `shutdown()`.
 */
export interface Transport {
  /** Queues bytes. Borrowed: copied before this returns. */
  send(bytes: Uint8Array): void;
  /**
   * Queues `length` bytes of `payload` from `start` on, by reference; `done` once when they are not needed any more,
   * also where the connection is closed, and perhaps before this returns.
   */
  sendPayload(payload: Payload, start: number, length: number, done: () => void): void;
  /**
   * Ends a batch: what is queued goes out in as few system calls as possible. Called after every reply that comes by
   * itself, so a transport puts the work off to the end of the event.
   */
  flush(): void;
  /**
   * Bytes queued that the kernel has not taken. After it has passed OUTPUT_HIGH_WATER_BYTES, `drained` is called when it
   * has sunk.
   */
  readonly queuedBytes: number;
  /**
   * Everything queued goes out in plain text, then the connection is encrypted. From here on the session gets decrypted
   * bytes only, in buffers that it lends from now on.
   */
  startTls(): void;
  /** Stops receiving. */
  pause(): void;
  resume(): void;
  /** Whether the peer has closed its side, unread bytes notwithstanding. */
  hungUp(): boolean;
  /** Sends what is queued, then closes. */
  end(): void;
  /** Closes at once: nothing is received into the session's buffers from here on. */
  destroy(): void;
}

/** With more than this queued, a session reads no further request of its client. */
export const OUTPUT_HIGH_WATER_BYTES = 4 << 20;
/** At this, after having been above the high mark, `drained` is called. */
export const OUTPUT_LOW_WATER_BYTES = 1 << 20;
