/**
 * What may be wrong with a driver, each with its name, its counter in the status, and its row in docs/faults.md.
 *
 * `blames`: whether what was with the driver when this came to light is suspected of having caused it (P8).
 * - "requests": it may well have been one of them.
 * - "perhaps": it may have been, and so may somebody outside, or a slow store: more evidence is wanted.
 * - "nobody": none of them has to do with it.
 */
const KINDS = {
  // How it ended by itself.
  exit: { blames: "requests", means: "its process ended" },
  signal: { blames: "requests", means: "its process was ended by a signal of its own making" },
  killed: { blames: "perhaps", means: "its process was killed by somebody" },
  "out-of-memory": { blames: "perhaps", means: "it ran out of memory" },
  exception: { blames: "requests", means: "an exception outside a call" },
  rejection: { blames: "requests", means: "an unhandled rejection" },
  disconnected: { blames: "requests", means: "the server closed a connection" },
  // How it did not come to serve.
  "open-failed": { blames: "nobody", means: "its store could not be opened" },
  "open-late": { blames: "nobody", means: "its store was not open in time" },
  "other-store": { blames: "nobody", means: "it came with another store" },
  // How it hangs.
  "stuck-request": { blames: "perhaps", means: "a request is past its deadline while others complete" },
  deadlock: { blames: "perhaps", means: "no request completes although its event loop turns" },
  "endless-loop": { blames: "requests", means: "its event loop does not turn, and it takes CPU time" },
  stopped: { blames: "perhaps", means: "its event loop does not turn, and it takes no CPU time" },
  "close-late": { blames: "nobody", means: "it did not close in time" },
  // What it takes too much of.
  memory: { blames: "perhaps", means: "resident memory over the limit" },
  files: { blames: "perhaps", means: "open files over the limit" },
  lag: { blames: "perhaps", means: "event-loop lag over the limit" },
  // How it breaks the rules of the link (P5).
  "unknown-tag": { blames: "requests", means: "a completion of nothing that was submitted, or for the second time" },
  "unknown-error": { blames: "requests", means: "a completion with an error that there is not" },
  "wrong-length": { blames: "requests", means: "a completion with a length that was not asked for" },
  "malformed-extents": { blames: "requests", means: "extents that describe nothing" },
  "ring-position": { blames: "requests", means: "a position in the ring that can't be true" },
  doorbell: { blames: "requests", means: "the doorbell rang more often than it was asked for" },
  protocol: { blames: "requests", means: "a reply that makes no sense" },
  "control-message": { blames: "requests", means: "a control message that makes no sense" },
  // What else speaks against it.
  lie: { blames: "nobody", means: "a read returned other data than was written" },
  errors: { blames: "nobody", means: "on probation, it answered with an error" },
  health: { blames: "nobody", means: "the health check failed" },
  operator: { blames: "nobody", means: "killed by the operator" },
} as const satisfies Record<string, { blames: Blame; means: string }>;

export type Blame = "requests" | "perhaps" | "nobody";

export type FaultKind = keyof typeof KINDS;

export const FAULT_KINDS = Object.keys(KINDS) as FaultKind[];

export function blameOf(kind: FaultKind): Blame {
  return KINDS[kind].blames;
}

/** A few words for people, for example "its process ended". */
export function meaningOf(kind: FaultKind): string {
  return KINDS[kind].means;
}

/** How often each was found: not yet. */
export function newFaultCounts(): Record<FaultKind, number> {
  return Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>;
}
