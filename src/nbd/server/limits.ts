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
/** A refused write with more data than this ends the connection; that of others is read and dropped. */
export const MAX_DRAINED_WRITE_BYTES = 64 << 20;

/**
 * Memory of reads that sockets may have in their hands while their clients don't take it, over all connections; what goes
 * out beyond it is copied. It must leave enough of an arena of reads, and of each size of its slots, for everybody else.
 */
export const MAX_PINNED_BYTES = 12 << 20;

/** A client whose write's data has not come on for so long is cut off if others wait for the memory that it keeps. */
export const MAX_WRITE_SILENCE_MS = 10_000;
