import type { Incarnations, Operation } from "../shadow/ports.ts";
import type { InFlight } from "../shadow/watch.ts";
import type { Deadlines } from "./deadlines.ts";
import { Excess } from "./excess.ts";
import { Heartbeat, type Sign } from "./heartbeat.ts";
import type { Verdict } from "./judge.ts";
import type { Policy } from "./policy.ts";
import { Suspicion } from "./suspicion.ts";

const OPERATIONS: readonly Operation[] = ["read", "write", "zero", "trim", "flush", "extents"];

/** A deadline that has passed to this part makes it worth system calls to learn what the process does. */
const SUSPICIOUS_SHARE = 1 / 3;
/** Of the time without a completion, what has to be CPU time for a loop, where no heartbeat tells it from a deadlock. */
const LOOPING_SHARE = 0.5;
/** An idle incarnation that gives no signs of life is looked at so seldom, in looks. */
const MUTE_LOOKS = 2;

/** How soon to look again. */
export type Pace = "idle" | "busy" | "close";

/** What has been seen of one incarnation, look by look. All times are the judge's, which this makes pass. */
export class Examination {
  readonly #incarnations: Pick<Incarnations, "vitals">;
  readonly #epoch: number;
  readonly #policy: Policy;
  readonly #deadlines: Deadlines;
  readonly #heartbeat: Heartbeat;
  readonly #excess: Excess;
  #suspicion: Suspicion | undefined;
  /** CPU time under this suspicion when it was first found silent. */
  #cpuBeforeSilence: number | undefined;
  #sign: Sign = "quiet";
  #completed = 0;
  /** When something last completed, or when there came to be something to complete. */
  #progressAt = 0;
  /** How long everything was held up of late: what was, is given as long to get through. */
  #heldUpMs = 0;
  #busy = false;
  #looks = 0;

  constructor(
    incarnations: Pick<Incarnations, "ping" | "beat" | "vitals" | "usage">,
    epoch: number,
    policy: Policy,
    deadlines: Deadlines,
  ) {
    this.#incarnations = incarnations;
    this.#epoch = epoch;
    this.#policy = policy;
    this.#deadlines = deadlines;
    this.#heartbeat = new Heartbeat(incarnations, epoch);
    this.#excess = new Excess(incarnations, epoch, policy, this.#heartbeat);
  }

  get pace(): Pace {
    if (this.#heartbeat.askedAt !== undefined || this.#suspicion?.suspended === true) return "close";
    return this.#busy ? "busy" : "idle";
  }

  /** `elapsedMs`: since the look before, as far as the front got to run. */
  look(inFlight: InFlight, elapsedMs: number): Verdict | undefined {
    this.#looks++;
    const wasSilent = this.#sign === "silent";
    this.#sign = this.#heartbeat.listen();
    const progressed = inFlight.completed !== this.#completed;
    this.#completed = inFlight.completed;
    this.#learn(inFlight, elapsedMs);
    const oldest = oldestOf(inFlight);
    inFlight.now += elapsedMs - this.#suspect(inFlight.now + elapsedMs, oldest, progressed, elapsedMs);
    const { now } = inFlight;
    this.#heldUpMs = Math.max(this.#heldUpMs - elapsedMs, progressed && this.#busy ? now - this.#progressAt : 0);
    if (progressed || !this.#busy || oldest.size === 0) this.#progressAt = now;
    this.#busy = oldest.size > 0;
    const verdict = this.#hang(now, oldest, progressed, wasSilent) ?? this.#excess.look(now, elapsedMs);
    if (this.#sign === "quiet") this.#heartbeat.ask(now);
    return verdict;
  }

  #learn(inFlight: InFlight, elapsedMs: number): void {
    this.#deadlines.pass(elapsedMs);
    for (const operation of OPERATIONS) {
      const latencyMs = inFlight.takeSlowest(operation);
      if (latencyMs !== undefined) this.#deadlines.learn(operation, latencyMs);
    }
  }

  /** Looks closely where something speaks against it. Returns how much of `elapsedMs` is excused. */
  #suspect(now: number, oldest: Oldest, progressed: boolean, elapsedMs: number): number {
    if (!this.#isSuspicious(now, oldest, progressed)) {
      this.#suspicion = undefined;
      this.#cpuBeforeSilence = undefined;
      return 0;
    }
    this.#suspicion ??= new Suspicion(this.#policy.deadlineCeilingMs);
    const excused = this.#suspicion.look(this.#incarnations.vitals(this.#epoch), elapsedMs);
    if (this.#sign === "silent") this.#cpuBeforeSilence ??= this.#suspicion.cpuMs;
    else this.#cpuBeforeSilence = undefined;
    return excused;
  }

  #isSuspicious(now: number, oldest: Oldest, progressed: boolean): boolean {
    if (this.#sign === "silent" || this.#suspicion?.suspended === true) return true;
    for (const [operation, since] of oldest) {
      if (now - since >= SUSPICIOUS_SHARE * this.#deadlines.stuckAfter(operation)) return true;
    }
    if (oldest.size > 0 && this.#busy && !progressed) {
      // Nobody else would tell of its suspension.
      if (this.#sign === "mute") return true;
      return now - this.#progressAt >= SUSPICIOUS_SHARE * this.#deadlines.deadlockAfter(oldest.keys());
    }
    return this.#sign === "mute" && oldest.size === 0 && this.#looks % MUTE_LOOKS === 0;
  }

  #hang(now: number, oldest: Oldest, progressed: boolean, wasSilent: boolean): Verdict | undefined {
    if (this.#sign === "silent") return this.#silent(now, oldest);
    if (this.#sign === "mute" && this.#isSuspended()) return this.#stopped();
    if (oldest.size === 0) return undefined;
    if (progressed) return this.#stuck(now, oldest);
    // One that has just come back is given the time to complete what it did meanwhile.
    return wasSilent ? undefined : this.#stalled(now, oldest);
  }

  #silent(now: number, oldest: Oldest): Verdict | undefined {
    if (this.#suspicion?.suspended === true) return this.#isSuspended() ? this.#stopped() : undefined;
    const limitMs = this.#policy.heartbeatTimeoutMs;
    const silentMs = now - (this.#heartbeat.askedAt ?? now);
    const cpuMs = (this.#suspicion?.cpuMs ?? 0) - (this.#cpuBeforeSilence ?? 0);
    if (cpuMs >= limitMs) {
      const what = `no sign of life while it took ${ms(cpuMs)} of CPU time (limit ${ms(limitMs)})`;
      return { kind: "endless-loop", what };
    }
    const deadlineMs = this.#deadlines.deadlockAfter(oldest.keys());
    if (silentMs < deadlineMs) return undefined;
    const what = `no sign of life for ${ms(silentMs)} (deadline ${ms(deadlineMs)})${this.#excuses()}: blocked in a call`;
    return { kind: "stopped", what, deadlineMs };
  }

  #isSuspended(): boolean {
    return (this.#suspicion?.suspendedMs ?? 0) >= this.#policy.heartbeatTimeoutMs;
  }

  #stopped(): Verdict {
    const forMs = this.#suspicion?.suspendedMs ?? 0;
    return { kind: "stopped", what: `suspended for ${ms(forMs)} (limit ${ms(this.#policy.heartbeatTimeoutMs)})` };
  }

  /** Nothing completes at all: each of those that are out holds up the others. */
  #stalled(now: number, oldest: Oldest): Verdict | undefined {
    const deadlineMs = this.#deadlines.deadlockAfter(oldest.keys());
    const stalledMs = now - this.#progressAt;
    if (stalledMs < deadlineMs) return undefined;
    const since = `no completion for ${ms(stalledMs)} (deadline ${ms(deadlineMs)})${this.#excuses()}`;
    if (this.#sign !== "mute") {
      return { kind: "deadlock", what: `${since}, although its event loop turns`, deadlineMs };
    }
    const cpuMs = this.#suspicion?.cpuMs ?? 0;
    return cpuMs >= LOOPING_SHARE * stalledMs
      ? { kind: "endless-loop", what: `${since}, while it took ${ms(cpuMs)} of CPU time`, deadlineMs }
      : { kind: "deadlock", what: since, deadlineMs };
  }

  /** Others complete. Judged when they do, since where nothing does, some may only wait for the slowest. */
  #stuck(now: number, oldest: Oldest): Verdict | undefined {
    const deadlines = new Map(OPERATIONS.map((operation) => [operation, this.#deadlines.stuckAfter(operation)]));
    const flowing = now - this.#heldUpMs;
    const isOverdue = (operation: Operation, since: number): boolean =>
      flowing - since >= (deadlines.get(operation) ?? Number.POSITIVE_INFINITY);
    for (const [operation, since] of oldest) {
      if (!isOverdue(operation, since)) continue;
      const deadlineMs = this.#deadlines.stuckAfter(operation);
      const what = `${article(operation)} is out for ${ms(now - since)} (deadline ${ms(deadlineMs)})${this.#excuses()}`;
      return { kind: "stuck-request", what: `${what}, while others complete`, isOverdue, deadlineMs };
    }
    return undefined;
  }

  #excuses(): string {
    const excusedMs = Math.round(this.#suspicion?.excusedMs ?? 0);
    return excusedMs > 0 ? `, not counting ${ms(excusedMs)} without a core or in the kernel` : "";
  }
}

/** Since when the oldest of each kind that is out has been out. */
type Oldest = ReadonlyMap<Operation, number>;

function oldestOf(inFlight: InFlight): Oldest {
  const oldest = new Map<Operation, number>();
  inFlight.each((operation, since) => {
    if (since < (oldest.get(operation) ?? Number.POSITIVE_INFINITY)) oldest.set(operation, since);
  });
  return oldest;
}

function article(operation: Operation): string {
  return operation === "extents" ? "a list of extents" : `a ${operation}`;
}

function ms(time: number): string {
  return `${Math.round(time)} ms`;
}
