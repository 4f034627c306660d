import type { Incarnations } from "../shadow/ports.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Verdict } from "./judge.ts";
import type { Policy } from "./policy.ts";

/** How often it is looked at, in milliseconds. */
const PERIOD_MS = 1000;
/** One late answer proves nothing: a collection of garbage, a module loaded late. */
const LATE_ANSWERS = 2;

/** Whether an incarnation takes more than the policy allows. Where it allows everything, nothing is looked at. */
export class Excess {
  readonly #incarnations: Pick<Incarnations, "vitals" | "usage">;
  readonly #epoch: number;
  readonly #policy: Policy;
  readonly #heartbeat: Heartbeat;
  #passedMs = 0;
  #starvedMs: number | undefined;
  #late = 0;

  constructor(
    incarnations: Pick<Incarnations, "vitals" | "usage">,
    epoch: number,
    policy: Policy,
    heartbeat: Heartbeat,
  ) {
    this.#incarnations = incarnations;
    this.#epoch = epoch;
    this.#policy = policy;
    this.#heartbeat = heartbeat;
  }

  /** `now`: the judge's time; `elapsedMs`: what of it has passed since the last look. */
  look(now: number, elapsedMs: number): Verdict | undefined {
    const { maxResidentBytes, maxOpenFiles, maxLagMs } = this.#policy;
    if (maxResidentBytes === 0 && maxOpenFiles === 0 && maxLagMs === 0) return undefined;
    this.#passedMs += elapsedMs;
    if (this.#passedMs < PERIOD_MS) return undefined;
    this.#passedMs = 0;
    const usage = this.#incarnations.usage(this.#epoch);
    if (usage === undefined) return undefined;
    const { residentBytes, openFiles, lagMs } = usage;
    if (maxResidentBytes > 0 && residentBytes > maxResidentBytes) {
      return { kind: "memory", what: `${residentBytes} bytes resident (limit ${maxResidentBytes})` };
    }
    if (maxOpenFiles > 0 && openFiles > maxOpenFiles) {
      return { kind: "files", what: `${openFiles} open files (limit ${maxOpenFiles})` };
    }
    return maxLagMs > 0 && lagMs !== undefined ? this.#lag(now, lagMs) : undefined;
  }

  #lag(now: number, lagMs: number): Verdict | undefined {
    const starvedMs = this.#starvedSinceLastLook();
    // An answer that is due says nothing yet, and the one before has been judged. If it does not come, that is a hang.
    if (this.#heartbeat.askedAt !== undefined) return undefined;
    this.#heartbeat.ask(now);
    this.#late = lagMs - starvedMs > this.#policy.maxLagMs ? this.#late + 1 : 0;
    if (this.#late < LATE_ANSWERS) return undefined;
    return {
      kind: "lag",
      what: `its event loop took ${Math.round(lagMs)} ms to answer, ${this.#late} times (limit ${this.#policy.maxLagMs} ms)`,
    };
  }

  #starvedSinceLastLook(): number {
    const starvedMs = this.#incarnations.vitals(this.#epoch)?.starvedMs ?? 0;
    const before = this.#starvedMs ?? starvedMs;
    this.#starvedMs = starvedMs;
    return starvedMs - before;
  }
}
