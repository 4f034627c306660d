import type { Clock, DriverRef, Timer } from "../shadow/ports.ts";
import type { Policy } from "./policy.ts";

/** How an upgrade came out. `epoch`: of the incarnation that serves then. `stallMs`: how long no driver served. */
export type UpgradeOutcome =
  /** The newcomer has proved itself. */
  | { readonly outcome: "upgraded"; readonly epoch: number; readonly stallMs: number }
  /** It failed on probation (`served`), or could not take over, and the driver before it serves again, or is about to. */
  | {
      readonly outcome: "rolled back";
      readonly served: boolean;
      readonly epoch: number;
      readonly stallMs: number;
      readonly reason: string;
    }
  /** Nothing was done: it could not be made ready, or the device was not in order when it was. */
  | { readonly outcome: "refused"; readonly reason: string };

/** Whoever asked for the upgrade. */
export interface UpgradeObserver {
  /** The newcomer serves, on probation. */
  serving(epoch: number, stallMs: number): void;
  ended(outcome: UpgradeOutcome): void;
}

type Stage = "preparing" | "handing over" | "on probation" | "rolling back" | "over";

/**
 * One upgrade:
 *
 *   preparing ──ready──▶ handing over ──live──▶ on probation ──enough requests, long enough──▶ upgraded
 *       │ not ready           │ fault               │ fault
 *       ▼                     └─────────┬───────────┘
 *    refused                            ▼
 *                                  rolling back
 */
export class Upgrade {
  readonly to: DriverRef;
  readonly from: DriverRef;
  readonly #clock: Clock;
  readonly #policy: Policy;
  readonly #observer: UpgradeObserver;
  #stage: Stage = "preparing";
  /** Since when no driver serves. */
  #stalledAt = 0;
  #stallMs = 0;
  #epoch = 0;
  #timer: Timer | undefined;
  #failure = "";
  /** The newcomer has come to serve. */
  #served = false;

  constructor(from: DriverRef, to: DriverRef, clock: Clock, policy: Policy, observer: UpgradeObserver) {
    this.from = from;
    this.to = to;
    this.#clock = clock;
    this.#policy = policy;
    this.#observer = observer;
  }

  get stage(): Stage {
    return this.#stage;
  }

  /** Why it is rolled back. */
  get failure(): string {
    return this.#failure;
  }

  /** It has to be ready in so many milliseconds, or nothing comes of it. */
  within(ms: number, otherwise: string): void {
    this.#timer = this.#clock.after(ms, () => this.refused(otherwise));
  }

  /** It is. How long the driver that serves takes for its flush is not its affair. */
  ready(): void {
    this.#timer?.cancel();
  }

  /** The driver that served is asked to close. */
  handOver(): void {
    this.#stage = "handing over";
    this.#stalledAt = this.#clock.now();
  }

  /** The newcomer is live; `passed` is called when it has been for long enough. */
  live(epoch: number, passed: () => void): void {
    this.#epoch = epoch;
    if (this.#stage !== "handing over") return;
    this.#stage = "on probation";
    this.#served = true;
    this.#stallMs = this.#clock.now() - this.#stalledAt;
    this.#timer = this.#clock.after(this.#policy.probationMs, passed);
    this.#observer.serving(epoch, this.#stallMs);
  }

  /** Whether so many requests are enough. */
  hasProved(completed: number): boolean {
    const { probationRequests } = this.#policy;
    return this.#stage === "on probation" && probationRequests > 0 && completed >= probationRequests;
  }

  passed(): void {
    this.#end({ outcome: "upgraded", epoch: this.#epoch, stallMs: this.#stallMs });
  }

  /** The newcomer has failed: the driver before it is to serve again. */
  failed(reason: string): void {
    if (this.#stage === "on probation") this.#stalledAt = this.#clock.now() - this.#stallMs;
    this.#stage = "rolling back";
    this.#failure = reason;
    this.#timer?.cancel();
  }

  /** It does, or can't either. */
  rolledBack(epoch: number): void {
    const stallMs = this.#clock.now() - this.#stalledAt;
    this.#end({ outcome: "rolled back", served: this.#served, epoch, stallMs, reason: this.#failure });
  }

  refused(reason: string): void {
    this.#end({ outcome: "refused", reason });
  }

  #end(outcome: UpgradeOutcome): void {
    this.#stage = "over";
    this.#timer?.cancel();
    this.#observer.ended(outcome);
  }
}
