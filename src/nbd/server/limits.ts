/** What one client may ask of a server. */
export interface SessionLimits {
  /** From the greeting to the end of the handshake. */
  readonly handshakeTimeoutMs: number;
  /** Options in one handshake. */
  readonly options: number;
  /** Requests without a reply; at this many no further one is read. */
  readonly inFlightRequests: number;
  /** Bytes of data of requests without a reply; at this many no further one is read. */
  readonly inFlightBytes: number;
}

export const DEFAULT_LIMITS: SessionLimits = {
  handshakeTimeoutMs: 10_000,
  options: 32,
  inFlightRequests: 256,
  inFlightBytes: 32 << 20,
};

/** Longer data of an option is read, dropped and answered TOO_BIG. */
export const MAX_OPTION_BYTES = 64 << 10;
/** An option with more data than this ends the connection. */
export const MAX_DRAINED_OPTION_BYTES = 1 << 20;
/**
 * A command with more payload than this ends the connection; that of refused ones is read and dropped. With extended
 * headers the largest payload that there can be is the limit.
 */
export const MAX_DRAINED_PAYLOAD_BYTES = 64 << 20;

/**
 * Memory of reads that sockets may have in their hands while their clients don't take it, over all connections; what goes
 * out beyond it is copied. It must leave enough of an arena of reads, and of each size of its slots, for everybody else.
 */
export const MAX_PINNED_BYTES = 12 << 20;

/**
 * Replies that wait for clients to take them, over all connections, in bytes. Past it, the client that has not taken any for
 * the longest is cut off: one that is read at all, however slowly, comes last.
 */
export const MAX_OUTPUT_BYTES = 512 << 20;

/** Requests of one connection, and bytes of their data, that are taken before the others get their turn. */
export const MAX_TURN_REQUESTS = 64;
export const MAX_TURN_BYTES = 4 << 20;

/** A client whose write's data has not come on for so long is cut off if others wait for the memory that it keeps. */
export const MAX_WRITE_SILENCE_MS = 10_000;
