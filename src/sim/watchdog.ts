import type { FaultKind } from "../block/fault.ts";
import { LAST_CHANCE_PATIENCE } from "../supervisor/judge.ts";
import { DEFAULT_POLICY } from "../supervisor/policy.ts";
import type { VirtualClock } from "./clock.ts";
import type { Hang } from "./sickness.ts";
import type { Condition } from "./sim-process.ts";
import { Violation } from "./violation.ts";

const { deadlockFloorMs, stuckFloorMs, deadlineFactor, deadlineCeilingMs } = DEFAULT_POLICY;

/** The goal for what the heartbeat shows, in milliseconds. */
const SIGN_MS = 500;
/** From a deadline until it is looked at, at most. */
const LOOK_MS = 150;

/** What the judge calls each hang where its link tells it everything; each that it may, for one that is only suspected. */
const NAMES: Record<Hang | "dead", readonly FaultKind[]> = {
  loop: ["endless-loop"],
  suspended: ["stopped"],
  blocked: ["stopped"],
  deadlock: ["deadlock"],
  stuck: ["stuck-request", "deadlock"],
  // Until it is reaped, a dead one looks like many things.
  dead: ["stopped", "deadlock", "endless-loop", "stuck-request"],
};
const HANGS: ReadonlySet<FaultKind> = new Set(NAMES.dead);

/** An incarnation, as far as it may hang. */
export interface Watched {
  readonly epoch: number;
  readonly condition: Condition;
  /** How long it has been under a strain, which doesn't count. */
  readonly strainedMs: number;
  /** It can't be found out any more by what it does: it was asked to close, or killed. */
  readonly ending: boolean;
  readonly exited: boolean;
}

/** Watches the judge: it has to find each hang in time, and to leave alone who does not hang. */
export class Watchdog {
  /** Hangs that were found, by what they are. */
  readonly found: Record<Hang, number> = { loop: 0, suspended: 0, blocked: 0, deadlock: 0, stuck: 0 };
  readonly #clock: VirtualClock;
  /** Whether links tell of signs of life and of processes: without them one hang looks like another. */
  readonly #tells: boolean;
  readonly #isLastChance: () => boolean;
  #slowestMs = 0;
  /** Deadlines that were missed since an incarnation was last live. */
  #missed = 0;

  /** `isLastChance`: whether what is out fails for good if it hangs now, so that it is given more time. */
  constructor(clock: VirtualClock, tells: boolean, isLastChance: () => boolean = () => false) {
    this.#clock = clock;
    this.#isLastChance = isLastChance;
    this.#tells = tells;
  }

  /** A submission took so long. */
  took(ms: number): void {
    this.#slowestMs = Math.max(this.#slowestMs, ms);
  }

  /** Deadlines were right so far: one is live, or what hung them up is found. */
  absolve(): void {
    this.#missed = 0;
  }

  /** It hangs from now on, with something in hand. */
  hangs(patient: Watched, hang: Hang): void {
    this.#expect(patient, hang, this.#clock.now(), this.#boundMs(patient, hang));
  }

  /** The supervisor gives it up for this. */
  fault(patient: Watched, kind: FaultKind): void {
    if (!HANGS.has(kind)) return;
    const { condition, epoch } = patient;
    if (condition === "well" || condition === "slow" || condition === "starved" || condition === "in kernel") {
      throw new Violation("judge", `epoch ${epoch} is given up for a fault "${kind}", and it is ${condition}`);
    }
    if (this.#tells && !NAMES[condition].includes(kind)) {
      throw new Violation("judge", `epoch ${epoch} is given up for a fault "${kind}", and it is ${condition}`);
    }
    if (condition !== "dead") this.found[condition]++;
    const bySign = (this.#tells && kind === "endless-loop") || (condition === "suspended" && kind === "stopped");
    if (!bySign) this.#missed++;
  }

  #expect(patient: Watched, hang: Hang, since: number, boundMs: number): void {
    this.#clock.after(since + boundMs - this.#clock.now(), () => {
      if (patient.ending || patient.exited || patient.condition !== hang) return;
      // What it had to do with others has gone on, and may have shown that it takes longer than was known.
      const nowMs = this.#boundMs(patient, hang);
      if (nowMs > boundMs) return this.#expect(patient, hang, since, nowMs);
      throw new Violation("judge", `epoch ${patient.epoch} hangs (${hang}) and is not given up after ${boundMs} ms`);
    });
  }

  #boundMs({ strainedMs }: Watched, hang: Hang): number {
    const slowest = this.#slowestMs;
    const deadlock = this.#deadline(deadlockFloorMs, (deadlineFactor / 2) * slowest) + LOOK_MS + slowest;
    if (hang === "stuck") {
      // While others complete seldom, it is given as long as they took, and judged only when the next one does.
      return this.#deadline(stuckFloorMs, deadlineFactor * slowest) + 2 * deadlock + strainedMs;
    }
    const bySign = this.#tells && (hang === "loop" || hang === "suspended");
    return (bySign ? SIGN_MS : Math.max(SIGN_MS, deadlock)) + strainedMs;
  }

  #deadline(floorMs: number, adaptedMs: number): number {
    const patience = this.#isLastChance() ? LAST_CHANCE_PATIENCE : 1;
    return Math.min(deadlineCeilingMs, Math.max(floorMs, adaptedMs) * patience * 2 ** this.#missed);
  }
}
