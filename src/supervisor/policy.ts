/** What the operator wants the supervisor to decide. Milliseconds, if nothing else is said. */
export interface Policy {
  /** How long an incarnation may take from its start until its store is open. */
  readonly openTimeoutMs: number;
  /** A killed incarnation that isn't reaped after this long makes the device `held`. */
  readonly reapTimeoutMs: number;
  /** After this long without a driver, waiting and new requests get EIO at once; the recovery goes on. */
  readonly heldTimeoutMs: number;
  /** A stop, or a planned restart, that takes longer kills the driver. */
  readonly stopTimeoutMs: number;

  /** Whether hangs and excess are looked for. Off for a driver that is being debugged. */
  readonly watch: boolean;
  /** CPU time without a sign of life that makes an endless loop; suspension that makes a stop. */
  readonly heartbeatTimeoutMs: number;
  /** The least deadline for anything to complete at all, before it is a deadlock. */
  readonly deadlockFloorMs: number;
  /** The least deadline for one request while others complete, before it is stuck. */
  readonly stuckFloorMs: number;
  /** Deadlines are so many times the longest latency of late, from the floor on. */
  readonly deadlineFactor: number;
  /** No deadline is longer. */
  readonly deadlineCeilingMs: number;
  /** Excess: bytes resident, open files, event-loop lag. 0: no limit. */
  readonly maxResidentBytes: number;
  readonly maxOpenFiles: number;
  readonly maxLagMs: number;

  /** The first delay before a restart, after an incarnation that died before it had done anything. It doubles. */
  readonly restartDelayMs: number;
  readonly maxRestartDelayMs: number;
  /** So many unplanned restarts within `restartBudgetMs`, and the driver is given up. 0: no limit without a fallback, 10 with one. */
  readonly restartBudget: number;
  readonly restartBudgetMs: number;
  /** What becomes of the device when its drivers, the fallback too, are given up. */
  readonly exhausted: "held" | "failed" | "read-only";
  /** What becomes of a request that kills: EIO, or another try with the fallback driver. */
  readonly poison: "error" | "fallback";
  /** An upgrade is on probation for so long; then there is no way back. */
  readonly probationMs: number;
  /** … or for so many submissions answered, if that is sooner. 0: by time alone, since hangs take time to be found. */
  readonly probationRequests: number;
}

export const DEFAULT_POLICY: Policy = {
  openTimeoutMs: 10_000,
  reapTimeoutMs: 2000,
  heldTimeoutMs: 60_000,
  stopTimeoutMs: 10_000,
  watch: true,
  heartbeatTimeoutMs: 250,
  deadlockFloorMs: 350,
  stuckFloorMs: 1500,
  deadlineFactor: 8,
  deadlineCeilingMs: 60_000,
  maxResidentBytes: 0,
  maxOpenFiles: 0,
  maxLagMs: 0,
  restartDelayMs: 100,
  maxRestartDelayMs: 30_000,
  restartBudget: 0,
  restartBudgetMs: 60_000,
  exhausted: "held",
  poison: "error",
  probationMs: 5000,
  probationRequests: 0,
};
