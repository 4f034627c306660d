import type { DeviceLimits } from "./limits.ts";
import { Operation } from "./operation.ts";
import type { Clock, Timer } from "./ports.ts";
import type { Charges } from "./trial.ts";

/** While flushes kill, the device waits longer and longer before it asks for one of its own: up to so many times `flushRetryMs`. */
const MAX_CONVICTED_RETRIES = 30;
/** Flushes are cheap if they take at most one part in so many of the time. */
const CHEAP_PART = 20;

/** A flush that the driver is executing. */
export interface FlushInFlight {
  readonly operation: Operation;
  /** The flush requests and FUA writers that it answers. */
  readonly waiters: Operation[];
  /** The shadow's generation when it was submitted: a flush that saw another one proves nothing. */
  readonly generation: number;
  /**
   * Whether every piece had been executed then. A refused one that is overwritten meanwhile leaves its obligation: what
   * overwrote it isn't covered by this flush.
   */
  readonly covers: boolean;
  /** The shadow's mark when it was submitted: what completed later is not covered. */
  readonly mark: number;
}

/**
 * Who waits for a flush, and when the device wants one for itself. At most one is in flight; those that come
 * meanwhile share the next one.
 */
export class Flusher {
  readonly #clock: Clock;
  readonly #limits: DeviceLimits;
  /** An own flush has become due. */
  readonly #due: () => void;
  /** The incarnations that died of a flush, or so it seems. */
  charges: Charges | undefined;
  /** How often it has been found that they did. */
  #convictions = 0;
  #waiters: Operation[] = [];
  #inFlight: FlushInFlight | undefined;
  #ownWanted = false;
  #timer: Timer | undefined;
  #startedAt = 0;
  #endedAt = 0;
  #tookMs = 0;
  /** No own flush before this time: the last one failed. */
  #notBefore = 0;

  constructor(clock: Clock, limits: DeviceLimits, due: () => void) {
    this.#clock = clock;
    this.#limits = limits;
    this.#due = due;
  }

  get waiters(): readonly Operation[] {
    return this.#waiters;
  }

  get inFlight(): FlushInFlight | undefined {
    return this.#inFlight;
  }

  /** Whether a flush is to be submitted as soon as it may be. */
  get wanted(): boolean {
    return this.#inFlight === undefined && (this.#waiters.length > 0 || this.#ownWanted);
  }

  /** Whether it has been found that drivers die of them, and none has come back since. */
  get kills(): boolean {
    return this.#convictions > 0;
  }

  /** Whether another one now would still keep the driver busy with flushes for a small part of the time only. */
  get isCheap(): boolean {
    return this.#inFlight === undefined && this.#clock.now() - this.#endedAt >= this.#tookMs * (CHEAP_PART - 1);
  }

  add(waiter: Operation): void {
    this.#waiters.push(waiter);
  }

  /** The device wants a flush of its own, now, or as soon as a failed one allows. */
  wantOwn(): void {
    if (this.#ownWanted || this.#inFlight !== undefined) return;
    const wait = this.#notBefore - this.#clock.now();
    if (wait <= 0) this.#ownWanted = true;
    else this.#wakeAfter(wait);
  }

  /** The last one that the driver is asked for: there is no later that it could be put off to. */
  wantLast(): void {
    if (this.#convictions === 0 && this.#inFlight === undefined) this.#ownWanted = true;
  }

  /** A piece is held: it must not grow old. */
  holdsPieces(): void {
    if (this.#timer === undefined) this.#wakeAfter(this.#limits.flushAgeMs);
  }

  /** Everybody who waits boards this flush. */
  start(generation: number, mark: number, covers: boolean): FlushInFlight {
    this.#inFlight = { operation: Operation.ownFlush(), waiters: this.#waiters, generation, mark, covers };
    this.#waiters = [];
    this.#ownWanted = false;
    this.#startedAt = this.#clock.now();
    return this.#inFlight;
  }

  /** The flush came back. */
  finish(failed: boolean): FlushInFlight {
    const flush = this.#inFlight as FlushInFlight;
    this.#inFlight = undefined;
    this.charges = undefined;
    this.#convictions = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#endedAt = this.#clock.now();
    this.#tookMs = this.#endedAt - this.#startedAt;
    // What the driver refuses it may refuse again: that is no more worth a try at once than a flush that failed.
    if (failed || !flush.covers) this.#notBefore = this.#endedAt + this.#limits.flushRetryMs;
    return flush;
  }

  /** They wait for the next flush, before those that came later. */
  requeue(waiters: readonly Operation[]): void {
    this.#waiters.unshift(...waiters);
  }

  /** The flush in flight was lost with its incarnation. */
  lose(): void {
    if (this.#inFlight !== undefined) this.requeue(this.#inFlight.waiters);
    this.#inFlight = undefined;
  }

  /** Flushes kill: nobody but clients asks for one for a while. The charges stay: the next death by one convicts again. */
  convicted(): void {
    this.#ownWanted = false;
    const retries = Math.min(2 ** this.#convictions++, MAX_CONVICTED_RETRIES);
    this.#notBefore = this.#clock.now() + retries * this.#limits.flushRetryMs;
  }

  /** Nothing is held against flushes any more. */
  pardon(): void {
    this.charges = undefined;
    this.#convictions = 0;
    this.#notBefore = 0;
  }

  /** Takes out the FUA writers, waiting or aboard: what they wrote counts as unexecuted, so they have to write again. */
  takeWriters(): Operation[] {
    return this.#take((waiter) => waiter.kind !== "flush");
  }

  /** Takes out the flush requests, waiting or aboard. */
  takeFlushes(): Operation[] {
    return this.#take((waiter) => waiter.kind === "flush");
  }

  dispose(): void {
    this.#timer?.cancel();
  }

  #take(wanted: (waiter: Operation) => boolean): Operation[] {
    const taken: Operation[] = [];
    for (const list of [this.#inFlight?.waiters ?? [], this.#waiters]) {
      taken.push(...list.filter(wanted));
      list.splice(0, list.length, ...list.filter((waiter) => !wanted(waiter)));
    }
    return taken;
  }

  #wakeAfter(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.after(ms, () => {
      this.#timer = undefined;
      this.#due();
    });
  }
}
