import type { VirtualClock } from "./clock.ts";
import { Violation } from "./violation.ts";

/** How long what is outstanding may take once the faults are off, in virtual milliseconds. */
export const LIVENESS_MS = 120_000;
/** More than any world needs: where time stands still, this ends it. */
const MAX_EVENTS = 400_000;

/** The course of a world: event by event, until something is as it should be. */
export class Course {
  readonly #clock: VirtualClock;
  readonly #situation: () => string;
  #events = 0;

  /** `situation`: how things are, for people, where they are not as they should be. */
  constructor(clock: VirtualClock, situation: () => string) {
    this.#clock = clock;
    this.#situation = situation;
  }

  /** Runs until `done`, for `ms` at most. Returns whether it is done. */
  until(done: () => boolean, ms: number): boolean {
    const limit = this.#clock.now() + ms;
    while (!done()) {
      if (!this.#clock.step(limit)) return done();
      if (++this.#events > MAX_EVENTS) throw new Violation("liveness", `${MAX_EVENTS} events and no end`);
    }
    return true;
  }

  /** The same, where it has to be done by then. */
  need(done: () => boolean, ms: number, otherwise: string): void {
    if (this.until(done, ms)) return;
    throw new Violation("liveness", `${otherwise} after ${ms} ms (${this.#situation()})`);
  }

  /** Runs for `ms`, whatever happens. */
  pass(ms: number): void {
    this.until(() => false, ms);
  }
}
