import type { Target } from "../../nbd/uri.ts";
import type { LastWriters, NbdServerEvents, NbdServerRun } from "./server-run.ts";
import type { RemoteSource } from "./source.ts";

/** How long a server that is given up may take to answer what it has, where that is limited. */
const DRAIN_TIMEOUT_MS = 1000;
/** How long one that was cut off is left alone, where nothing else is said: it lives on, with what it had in hand. */
const CUT_OFF_SETTLE_MS = 1000;

/** A server that somebody else runs: it can't be killed, only left alone. */
export class RemoteServer implements NbdServerRun {
  readonly target: Target;
  readonly ours = false;
  readonly pid = undefined;
  readonly patienceMs: number | undefined;
  readonly #settleMs: number | undefined;
  readonly #events: NbdServerEvents;

  /** `settleMs`: see {@link RemoteSource}. */
  constructor({ target, settleMs }: RemoteSource, events: NbdServerEvents) {
    this.target = target;
    this.patienceMs = settleMs === undefined ? undefined : DRAIN_TIMEOUT_MS;
    this.#settleMs = settleMs;
    this.#events = events;
  }

  close(): void {
    setImmediate(() => this.#gone("disconnected"));
  }

  kill(lastWriters: LastWriters): void {
    const unansweredMs = this.#settleMs ?? (lastWriters === "cutOff" ? CUT_OFF_SETTLE_MS : 0);
    const waitMs = lastWriters === "answered" ? 0 : unansweredMs;
    if (waitMs === 0) setImmediate(() => this.#gone("disconnected"));
    else setTimeout(() => this.#gone(`disconnected, and left alone for ${waitMs} ms`), waitMs);
  }

  #gone(how: string): void {
    this.#events.gone("disconnected", how);
  }
}
