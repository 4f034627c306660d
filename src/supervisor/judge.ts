import type { FaultKind } from "../block/fault.ts";
import type { Clock, Incarnations, Operation, Timer } from "../shadow/ports.ts";
import type { InFlight } from "../shadow/watch.ts";
import { Deadlines, LONGEST_TICK_MS } from "./deadlines.ts";
import { Examination, type Pace } from "./examination.ts";
import type { Policy } from "./policy.ts";

/**
 * Milliseconds from one look to the next. A close one is for who has been asked for a sign of life, or is suspended. So
 * one that is idle is asked ten times a second: a close look hears the answer, and the next look asks again.
 */
const TICK_MS = { idle: LONGEST_TICK_MS, busy: 50, close: 25 } as const satisfies Record<Pace, number>;
/** A tick that took so many times as long was the front's own affair: it did not get to run. */
const LATE = 2;
/** Before a request fails for good because a driver hangs over it, it may take so many times as long. */
export const LAST_CHANCE_PATIENCE = 3;

export interface Verdict {
  readonly kind: FaultKind;
  /** One line with figures: "no completion for 412 ms (deadline 350 ms), although its event loop turns". */
  readonly what: string;
  /** Of a stuck request: whether a submission is one of those that are past their deadline; the others are not suspected. */
  readonly isOverdue?: (operation: Operation, since: number) => boolean;
  /** The deadline that was missed, if it rests on one. */
  readonly deadlineMs?: number;
}

export interface JudgePorts {
  readonly clock: Clock;
  readonly incarnations: Pick<Incarnations, "ping" | "beat" | "vitals" | "usage">;
  /** What is with the driver; undefined while it is not attached. Its time has to go on from one incarnation to the next. */
  inFlight(): InFlight | undefined;
  /** The incarnation is sick. It is not watched any more when this is called. */
  found(epoch: number, verdict: Verdict): void;
}

interface Watched {
  readonly epoch: number;
  readonly patience: number;
  readonly examination: Examination;
  lookedAt: number;
  tickMs: number;
  timer: Timer;
}

/**
 * Finds hangs and excess. It looks at progress, at signs of life and at what the machine says of the process, never at time
 * alone: its own time passes only as far as the front gets to run, and stands still while the driver is excused.
 *
 *                    sign of life   completions   CPU time
 *   endless loop          no            –            yes
 *   stopped               no            –            no
 *   deadlock              yes           none         –
 *   stuck request         yes           of others    –
 */
export class Judge {
  readonly #ports: JudgePorts;
  readonly #policy: Policy;
  readonly #deadlines: Deadlines;
  #watched: Watched | undefined;

  constructor(ports: JudgePorts, policy: Policy) {
    this.#ports = ports;
    this.#policy = policy;
    this.#deadlines = new Deadlines(policy);
  }

  /** From now on the incarnation is watched. `patience`: of its link. */
  watch(epoch: number, patience: number): void {
    this.unwatch();
    if (!this.#policy.watch) return;
    const { clock, incarnations } = this.#ports;
    this.#watched = {
      epoch,
      patience,
      examination: new Examination(incarnations, epoch, this.#policy, this.#deadlines),
      lookedAt: clock.now(),
      tickMs: TICK_MS.busy,
      timer: clock.after(TICK_MS.busy, () => this.#look()),
    };
  }

  /** It is over, or ends in order. */
  unwatch(): void {
    this.#watched?.timer.cancel();
    this.#watched = undefined;
  }

  /** What a hung incarnation left has been answered by the one after it: the deadline was right. */
  absolve(): void {
    this.#deadlines.absolve();
  }

  #look(): void {
    const watched = this.#watched;
    if (watched === undefined) return;
    const { clock } = this.#ports;
    const now = clock.now();
    const tookMs = now - watched.lookedAt;
    const isLate = tookMs > LATE * watched.tickMs;
    // A timer may be early by a fraction of a millisecond; the deadlines are multiples of ticks.
    const elapsedMs = Math.max(watched.tickMs, Math.min(tookMs, LATE * watched.tickMs));
    const inFlight = this.#ports.inFlight();
    this.#deadlines.patience = watched.patience * (inFlight?.lastChance === true ? LAST_CHANCE_PATIENCE : 1);
    const verdict = inFlight === undefined ? undefined : watched.examination.look(inFlight, elapsedMs);
    // After a late tick, what would speak for the driver may still wait in the front's own event loop, behind this.
    if (verdict !== undefined && !isLate) {
      if (verdict.deadlineMs !== undefined) this.#deadlines.missed(verdict.deadlineMs);
      this.unwatch();
      this.#ports.found(watched.epoch, verdict);
      return;
    }
    watched.lookedAt = now;
    watched.tickMs = TICK_MS[watched.examination.pace];
    watched.timer = clock.after(watched.tickMs, () => this.#look());
  }
}
