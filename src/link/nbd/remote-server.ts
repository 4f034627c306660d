import type { Target } from "../../nbd/uri.ts";
import type { RemoteSource } from "./nbd.ts";
import type { NbdServerEvents, NbdServerRun } from "./server.ts";

/** How long a server that is given up may take to answer what it has, where that is limited. */
const DRAIN_TIMEOUT_MS = 1000;

/** A server that somebody else runs: it can't be killed, only left alone. */
export class RemoteServer implements NbdServerRun {
  readonly target: Target;
  readonly ours = false;
  readonly pid = undefined;
  readonly patienceMs: number | undefined;
  readonly #settleMs: number;
  readonly #events: NbdServerEvents;

  /** `settleMs`: see {@link RemoteSource}. */
  constructor({ target, settleMs }: RemoteSource, events: NbdServerEvents) {
    this.target = target;
    this.patienceMs = settleMs === undefined ? undefined : DRAIN_TIMEOUT_MS;
    this.#settleMs = settleMs ?? 0;
    this.#events = events;
  }

  close(): void {
    setImmediate(() => this.#events.gone("disconnected"));
  }

  kill(proven: boolean): void {
    if (proven || this.#settleMs === 0) setImmediate(() => this.#events.gone("disconnected"));
    else setTimeout(() => this.#events.gone(`disconnected, and left alone for ${this.#settleMs} ms`), this.#settleMs);
  }
}
