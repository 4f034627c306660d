/** What the operator wants the supervisor to decide. Milliseconds. */
export interface Policy {
  /** How long an incarnation may take from its start until its store is open. */
  readonly openTimeoutMs: number;
  /** A killed incarnation that isn't reaped after this long makes the device `held`. */
  readonly reapTimeoutMs: number;
  /** After this long without a driver, waiting and new requests get EIO at once; the recovery goes on. */
  readonly heldTimeoutMs: number;
  /** The first delay before a restart, after an incarnation that died before its replay was finished. It doubles. */
  readonly restartDelayMs: number;
  readonly maxRestartDelayMs: number;
  /** A stop, or a planned restart, that takes longer kills the driver. */
  readonly stopTimeoutMs: number;
}

export const DEFAULT_POLICY: Policy = {
  openTimeoutMs: 10_000,
  reapTimeoutMs: 2000,
  heldTimeoutMs: 60_000,
  restartDelayMs: 100,
  maxRestartDelayMs: 30_000,
  stopTimeoutMs: 10_000,
};
