import { DEFAULT_POLICY } from "../supervisor/policy.ts";
import type { VirtualClock } from "./clock.ts";
import { describe, type Entry } from "./history.ts";
import { Violation } from "./violation.ts";

/**
 * Without faults, a request is answered within so long at the latest, well or with an error: a driver that hangs since before is found
 * by the longest deadline there is, and who is without a driver for longer than the device may be held up gets an error.
 */
export const ANSWERED_MS = DEFAULT_POLICY.deadlineCeilingMs + DEFAULT_POLICY.heldTimeoutMs;
/**
 * … and within so long where the device is live all the time, with a driver that is well: what is before it in the queue, a flush
 * and what that covers, at 20 ms each, and a failed flush tried again after a second. What is answered later was forgotten, and found
 * again by chance.
 */
export const SERVED_MS = 3000;
const LOOK_MS = 100;

export interface LivenessPorts {
  readonly clock: VirtualClock;
  longestWait(): { readonly entry: Entry; readonly since: number } | undefined;
  /** The device is live, and its driver is well. */
  isWell(): boolean;
  /** Drivers refuse nothing, and take no longer than they do without faults: nobody waits for more than a driver's death. */
  readonly isBrisk: boolean;
}

/**
 * Once the faults are over, everybody is answered in time; and even before, where nothing but deaths holds up a device. Milliseconds
 * of virtual time, as everywhere.
 */
export class Liveness {
  readonly #ports: LivenessPorts;
  /** Since when there are no faults. */
  #since = Number.POSITIVE_INFINITY;
  /** Since when the device is well. */
  #wellSince = 0;

  constructor(ports: LivenessPorts) {
    this.#ports = ports;
  }

  /** Clients come from here on. */
  begin(): void {
    this.disturbed();
    this.#lookLater();
  }

  /** There are no faults from here on. */
  calm(): void {
    this.#since = this.#ports.clock.now();
    this.disturbed();
  }

  /** Something happened to the device: who waits for it may have to wait anew. */
  disturbed(): void {
    this.#wellSince = this.#ports.clock.now();
  }

  #lookLater(): void {
    this.#ports.clock.after(LOOK_MS, () => {
      this.#look();
      this.#lookLater();
    });
  }

  #look(): void {
    const { clock, longestWait, isWell, isBrisk } = this.#ports;
    if (!isWell()) this.disturbed();
    const wait = longestWait();
    if (wait === undefined) return;
    const { entry, since } = wait;
    const waitedMs = clock.now() - Math.max(since, this.#since);
    const servedMs = isBrisk || waitedMs >= 0 ? clock.now() - Math.max(since, this.#wellSince) : 0;
    if (waitedMs > ANSWERED_MS || servedMs > SERVED_MS) {
      const what =
        servedMs > SERVED_MS
          ? `by a device that has been well for ${servedMs} ms`
          : `for ${waitedMs} ms without faults`;
      throw new Violation("liveness", `${describe(entry)} is not answered ${what}`, entry.first);
    }
  }
}
