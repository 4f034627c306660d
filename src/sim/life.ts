import assert from "node:assert/strict";
import type { Clock } from "../shadow/ports.ts";
import type { VirtualClock } from "./clock.ts";

/** Thrown through a front that dies in the middle of a turn; what it has been doing is left as it is. */
const DEATH = new Error("the front dies");

/** Whether the front dies at this point. `atHome`: before it changes what outlives it. */
type DiesHere = (atHome: boolean) => boolean;

/**
 * The life of one front. Every way into the front leads through it, so that nothing of one that has died ever runs again: its timers,
 * what its drivers report, what its connections bring.
 */
export class Life {
  /** The front's own timers. */
  readonly clock: Clock;
  readonly #diesHere: DiesHere | undefined;
  #alive = true;
  #depth = 0;

  /** `diesHere`: asked at every point at which it may die; left out for one that may not. */
  constructor(clock: VirtualClock, diesHere?: DiesHere) {
    this.#diesHere = diesHere;
    const now = (): number => clock.now();
    const after: Clock["after"] = (ms, callback) => clock.after(ms, () => this.enter(callback));
    this.clock = diesHere === undefined ? clock : { now, after };
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** A turn of the front: does `work`, as far as it lives to do it. */
  enter(work: () => void): void {
    if (this.#diesHere === undefined) return work();
    if (!this.#alive || (this.#depth === 0 && this.#diesHere(false))) return;
    this.#depth++;
    try {
      work();
    } catch (thrown) {
      if (thrown !== DEATH) throw thrown;
    } finally {
      this.#depth--;
    }
  }

  /** Inside of a turn: between two of its effects. `atHome`: the next one is on what outlives it. */
  point(atHome = false): void {
    if (this.#depth > 0 && (!this.#alive || this.#diesHere?.(atHome) === true)) throw DEATH;
  }

  /** A turn that it is in the middle of ends at its next point. Never of one that may not die. */
  end(): void {
    assert(this.#diesHere !== undefined, "a front dies that may not");
    this.#alive = false;
  }
}
