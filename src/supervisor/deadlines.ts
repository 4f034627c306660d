import type { Operation } from "../shadow/ports.ts";
import type { Policy } from "./policy.ts";

/** The tail is the longest latency of the last one or two windows. */
const WINDOW_MS = 30_000;
/** By so much a latency may be measured longer than it was: submissions are stamped with the time of the last tick. */
export const LONGEST_TICK_MS = 75;
/** That nothing at all completes is a stronger sign than that one request doesn't: it takes half the factor. */
const DEADLOCK_SHARE = 0.5;

/** The longest latencies of one kind of operation. A window without any is not over: rare ones are remembered. */
interface Tail {
  older: number;
  current: number;
  ageMs: number;
}

/**
 * How long an answer may take, learned from how long answers took of late. Milliseconds of the judge's time.
 *
 *   deadline = max(floor, factor × tail) × patience × 2^(deadlines missed), the ceiling at most
 *
 * A driver that missed its deadline may have been slow and not sick. Its successor gets twice the time: a store that has
 * become slow for good is restarted a few times, and then known to be slow.
 */
export class Deadlines {
  /** That of the link. */
  patience = 1;
  readonly #policy: Policy;
  readonly #tails = new Map<Operation, Tail>();
  /** The last deadline that was missed, and how many were. */
  #missedMs = Number.POSITIVE_INFINITY;
  #missed = 0;

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  /** Time passes. */
  pass(ms: number): void {
    for (const tail of this.#tails.values()) tail.ageMs += ms;
  }

  /** One has completed after so long. */
  learn(operation: Operation, latencyMs: number): void {
    // What is learned has to be certain: a blurred tail, multiplied, would hide a hang.
    const certainMs = Math.max(0, latencyMs - LONGEST_TICK_MS);
    const tail = this.#tails.get(operation);
    if (tail === undefined) {
      this.#tails.set(operation, { older: 0, current: certainMs, ageMs: 0 });
    } else if (tail.ageMs >= WINDOW_MS) {
      tail.older = tail.current;
      tail.current = certainMs;
      tail.ageMs = 0;
    } else {
      tail.current = Math.max(tail.current, certainMs);
    }
    if (latencyMs >= this.#missedMs) this.absolve();
  }

  /** For one operation while others complete. */
  stuckAfter(operation: Operation): number {
    return this.#deadline(this.#policy.stuckFloorMs, this.#policy.deadlineFactor * this.#tailOf(operation));
  }

  /** For anything to complete where these are outstanding; for a sign of life where none is. */
  deadlockAfter(outstanding: Iterable<Operation>): number {
    let tailMs = Number.NEGATIVE_INFINITY;
    for (const operation of outstanding) tailMs = Math.max(tailMs, this.#tailOf(operation));
    if (tailMs < 0) tailMs = this.#longestTail();
    return this.#deadline(this.#policy.deadlockFloorMs, DEADLOCK_SHARE * this.#policy.deadlineFactor * tailMs);
  }

  /** Somebody is given up for having missed this deadline. */
  missed(deadlineMs: number): void {
    this.#missed++;
    this.#missedMs = deadlineMs;
  }

  /** The deadlines were right, or have been learned anew: they need not be doubled. */
  absolve(): void {
    this.#missed = 0;
    this.#missedMs = Number.POSITIVE_INFINITY;
  }

  #deadline(floorMs: number, adaptedMs: number): number {
    const deadline = Math.max(floorMs, adaptedMs) * this.patience * 2 ** this.#missed;
    return Math.min(deadline, this.#policy.deadlineCeilingMs);
  }

  #tailOf(operation: Operation): number {
    const tail = this.#tails.get(operation);
    return tail === undefined ? this.#longestTail() : Math.max(tail.older, tail.current);
  }

  #longestTail(): number {
    let longestMs = 0;
    for (const { older, current } of this.#tails.values()) longestMs = Math.max(longestMs, older, current);
    return longestMs;
  }
}
