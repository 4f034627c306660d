import type { Vitals } from "../shadow/ports.ts";

/**
 * Time in the kernel counts so many times, since a flush of some seconds is many waits with gaps between them, and only
 * samples are seen: who is in the kernel for half of the time is excused for all of it.
 */
const KERNEL_CREDIT = 2;
/** Who is ready and has run for no more than this part of the time has waited for a core. */
const IDLE_SHARE = 0.25;
/** What it earns so lasts no longer than that after the last such wait. */
const MAX_KERNEL_CREDIT_MS = 1000;

/**
 * What the machine has said of an incarnation's process since it fell under suspicion: what it does, and what excuses it.
 * A look costs some system calls, so there are none before. Milliseconds.
 */
export class Suspicion {
  readonly #mostExcusedMs: number;
  #last: Vitals | undefined;
  #cpuMs = 0;
  #suspendedMs = 0;
  #owedMs = 0;
  /** Waits for a core that were excused before they showed. */
  #foreseenMs = 0;
  #excusedMs = 0;

  /** `mostExcusedMs`: more time than that is never excused. */
  constructor(mostExcusedMs: number) {
    this.#mostExcusedMs = mostExcusedMs;
  }

  /** CPU time that it took. */
  get cpuMs(): number {
    return this.#cpuMs;
  }

  get suspended(): boolean {
    return this.#last?.suspended === true;
  }

  /** For how long it has been suspended at every look. */
  get suspendedMs(): number {
    return this.#suspendedMs;
  }

  get excusedMs(): number {
    return this.#excusedMs;
  }

  /** Takes a look. Returns how much of the time that has passed since the one before is not to be held against it. */
  look(vitals: Vitals | undefined, elapsedMs: number): number {
    if (vitals === undefined) return 0;
    const last = this.#last;
    this.#last = vitals;
    if (last !== undefined) {
      const ranMs = Math.max(0, vitals.cpuMs - last.cpuMs);
      const starvedMs = Math.max(0, vitals.starvedMs - last.starvedMs);
      this.#cpuMs += ranMs;
      // A wait for a core shows only when it is over, as more than has passed: the rest is owed. One that isn't over yet shows by
      // what it is not: it neither sleeps nor runs.
      const waitsForCore = vitals.ready && last.ready && ranMs + starvedMs < elapsedMs * IDLE_SHARE;
      if (waitsForCore) this.#foreseenMs += elapsedMs;
      const foreseen = Math.min(starvedMs, this.#foreseenMs);
      if (!waitsForCore) this.#foreseenMs -= foreseen;
      this.#owedMs += waitsForCore ? elapsedMs : starvedMs - foreseen;
    }
    this.#suspendedMs = vitals.suspended && last?.suspended === true ? this.#suspendedMs + elapsedMs : 0;
    if (vitals.inKernel) {
      const earned = Math.min(this.#owedMs + KERNEL_CREDIT * elapsedMs, elapsedMs + MAX_KERNEL_CREDIT_MS);
      this.#owedMs = Math.max(this.#owedMs, earned);
    }
    const excused = Math.min(elapsedMs, this.#owedMs, this.#mostExcusedMs - this.#excusedMs);
    this.#owedMs -= excused;
    this.#excusedMs += excused;
    return excused;
  }
}
