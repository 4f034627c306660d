/** The bounds of one device (P6). Every one of them leads to backpressure before it leads to an error. */
export interface DeviceLimits {
  /** Pieces the shadow may hold. */
  readonly pieces: number;
  /** An own flush is asked for when this part of the pieces or of the memory is taken. */
  readonly flushShare: number;
  /**
   * It is asked for from so many bytes on already, as long as own flushes are cheap: a small shadow is replayed sooner,
   * and stays in the processor's caches.
   */
  readonly cheapFlushBytes: number;
  /** An own flush is asked for when a piece has been held for this long. */
  readonly flushAgeMs: number;
  /** How long to wait after a failed own flush before the next one. */
  readonly flushRetryMs: number;
  /** Where a limit is reached and nothing could be released for this long, writes and flushes get EIO. */
  readonly stallTimeoutMs: number;
  /** Bytes of digests of what was written, where reads are verified. Blocks past it are not verified. */
  readonly digestBytes: number;
}

export const DEFAULT_LIMITS: DeviceLimits = {
  pieces: 65536,
  flushShare: 0.5,
  cheapFlushBytes: 4 << 20,
  flushAgeMs: 5000,
  flushRetryMs: 1000,
  stallTimeoutMs: 30_000,
  digestBytes: 64 << 20,
};
