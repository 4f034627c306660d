import type { Clock, Log } from "../../shadow/ports.ts";

const INTERVAL_MS = 10_000;

/** A warning of what a hostile client can make happen at will: said once in a while, with a count of the others. */
export class RareLine {
  readonly #clock: Clock;
  readonly #log: Log | undefined;
  /** Those since the last line. */
  #unsaid = 0;
  #due = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, log: Log | undefined) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Says `message`, or counts it. */
  warn(message: string): void {
    const now = this.#clock.now();
    if (now < this.#due) {
      this.#unsaid++;
      return;
    }
    this.#log?.warn(this.#unsaid === 0 ? message : `${message}, and ${this.#unsaid} others before it`);
    this.#unsaid = 0;
    this.#due = now + INTERVAL_MS;
  }
}
