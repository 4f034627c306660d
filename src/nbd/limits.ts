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

export const HANDSHAKE_TIMEOUT_MS = 10_000;
export const MAX_OPTIONS = 32;
export const MAX_IN_FLIGHT_REQUESTS = 256;
export const MAX_IN_FLIGHT_BYTES = 64 << 20;

/** Longer data of an option is read, dropped and answered TOO_BIG. */
export const MAX_OPTION_BYTES = 64 << 10;
/** An option with more data than this ends the connection. */
export const MAX_DRAINED_OPTION_BYTES = 1 << 20;
/** A refused write with more data than this ends the connection; that of others is read and dropped. */
export const MAX_DRAINED_WRITE_BYTES = 64 << 20;

export const DEFAULT_LIMITS: SessionLimits = {
  handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
  options: MAX_OPTIONS,
  inFlightRequests: MAX_IN_FLIGHT_REQUESTS,
  inFlightBytes: MAX_IN_FLIGHT_BYTES,
};
