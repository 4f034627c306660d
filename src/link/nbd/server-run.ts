import type { FaultKind } from "../../block/fault.ts";
import type { Target } from "../../nbd/uri.ts";

/**
 * What is known of the writers that a server was sent: all are answered; some are not, on a connection that it has closed; or
 * on one that was closed on it, since what it said made no sense any more.
 */
export type LastWriters = "answered" | "left" | "cutOff";

/** The server behind one incarnation. */
export interface NbdServerRun {
  readonly target: Target;
  /** It is ours, and dies with all that it has in hand. Another one can only be left alone. */
  readonly ours: boolean;
  /** How long one that isn't ours may take to answer what it has; without a limit if left out. */
  readonly patienceMs: number | undefined;
  /** Its process, where it is ours, until it has ended. */
  readonly pid: number | undefined;
  /** Its connections have been closed in order, and everything is durable: it may go. Ends in `gone`. */
  close(): void;
  /**
   * It is given up. One of ours is killed at once, any other when its connections are over. Ends in `gone`.
   */
  kill(lastWriters: LastWriters): void;
}

export interface NbdServerEvents {
  /** Its process has ended, if it is ours. `gone` follows when all that it has started has, too. `how`: one line. */
  ended(kind: FaultKind, how: string): void;
  /** Asked to or not, it is gone: nothing that it had in hand reaches the store any more. */
  gone(kind: FaultKind, how: string): void;
}
