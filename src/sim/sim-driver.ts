import assert from "node:assert/strict";
import { ERRNO } from "../block/errors.ts";
import type { FaultKind } from "../block/fault.ts";
import { overlaps } from "../block/geometry.ts";
import { isWriter } from "../block/request.ts";
import { type IncarnationEvents, type Link, type Operation, SUBMIT_FUA } from "../shadow/ports.ts";
import type { VirtualClock } from "./clock.ts";
import type { Deed } from "./court.ts";
import type { Hang } from "./sickness.ts";
import { type Result, SimDisk, type SimDiskPorts, type Submission } from "./sim-disk.ts";
import { type Condition, SimProcess } from "./sim-process.ts";
import { Violation } from "./violation.ts";

/** What a driver tells its front. `point`: the front may die here, in the middle of its turn. */
export type SimIncarnationEvents = Omit<IncarnationEvents, "fault"> & { point(): void };

export interface SimDriverPorts extends SimDiskPorts {
  readonly clock: VirtualClock;
  readonly events: SimIncarnationEvents;
  /** Asked before and after each submission is applied and each completion delivered: does the driver die here? */
  crashHere(): boolean;
  /** It is about to fail something, on purpose. */
  refuses(): void;
  /** It is about to lose its cache. */
  dies(driver: SimDriver): void;
  /** It is given this; and the front is about to be told what has become of it. */
  submitted(submission: Submission): void;
  completes(driver: SimDriver, submission: Submission, errno: number): void;
  exited(): void;
  /** From now on it hangs, with something in hand. */
  hangs(hang: Hang): void;
  /** It has touched poison and is about to die of it, or to hang. */
  poisoned(deed: Deed): void;
  /** The front has the completion of a submission, after so many milliseconds. */
  took(ms: number): void;
}

/** A completion in the ring: what was completed first is seen first. */
interface Completion extends Result {
  readonly submission: Submission;
}

/** What a slow store's submissions take, each step of the way, instead of `delayMs`. */
const SLOW_MS = 100;
const STRAIN_MS = 3000;
const DEATH_SEEN_MS = 2;
/** A completion may come this long after the incarnation has been reaped. */
const LATE_MS = 100;
const NO_ERRNO = 9999;

/**
 * One incarnation of the simulated driver, over the store that all of them share. Submissions run each at its own
 * pace, so in any order, and may be half applied when it dies.
 */
export class SimDriver implements Link {
  readonly epoch: number;
  readonly depth: number;
  readonly maxEffect: number;
  readonly patience = 1;
  readonly #ports: SimDriverPorts;
  readonly #disk: SimDisk;
  readonly #process: SimProcess;
  #state: "opening" | "open" | "dead" | "exited" = "opening";
  #killed = false;
  #closing = false;
  #closed = false;
  #held: Submission[] = [];
  readonly #outstanding = new Map<number, Submission>();
  #ring: Completion[] = [];
  #settleWanted = false;

  constructor(epoch: number, ports: SimDriverPorts) {
    this.epoch = epoch;
    this.#ports = ports;
    this.#disk = new SimDisk(epoch, ports);
    this.#process = new SimProcess(ports.clock, ports.kind.sickness.signs);
    const { profile, info } = ports.kind;
    this.depth = profile.depth;
    this.maxEffect = profile.effectSectors * info.geometry.blockSize;
    ports.trace.add("start", epoch, 0, 0, 0);
    this.#open();
  }

  get kind(): SimDriverPorts["kind"] {
    return this.#ports.kind;
  }

  get process(): SimProcess {
    return this.#process;
  }

  get condition(): Condition {
    return this.#process.condition;
  }

  get strainedMs(): number {
    return this.#process.strainedMs;
  }

  get ending(): boolean {
    return this.#closing || this.#killed;
  }

  /** It ended in order, as it was asked to. */
  get closed(): boolean {
    return this.#closed;
  }

  get exited(): boolean {
    return this.#state === "exited";
  }

  /** What was submitted and has not been seen to complete. */
  get outstanding(): readonly Submission[] {
    return [...this.#outstanding.values()];
  }

  submit(tag: number, operation: Operation, flags: number, offset: number, length: number, address: number): void {
    const { trace, store, clock, kind, events } = this.#ports;
    events.point();
    const { blockSize } = kind.info.geometry;
    assert(offset % blockSize === 0 && length % blockSize === 0, "a submission is not whole blocks");
    const order = operation === "flush" ? store.beginFlush() : undefined;
    const [first, count] = [offset / blockSize, length / blockSize];
    const submission = { tag, operation, flags, first, count, address, order, submittedAt: clock.now(), applied: 0 };
    trace.add("submit", this.epoch, first, count, flags, `${operation} tag ${tag}`);
    this.#checkSubmission(submission);
    this.#outstanding.set(tag, submission);
    this.#ports.submitted(submission);
    if (this.#state === "open") this.#held.push(submission);
  }

  kick(): void {
    this.#process.ring();
    const batch = this.#held;
    this.#held = [];
    for (const submission of batch) this.#after(this.#delay(), () => this.#execute(submission));
  }

  /** Finishes what is in flight and exits; what was not flushed is gone. */
  close(): void {
    this.#ports.trace.add("close", this.epoch, 0, 0, 0);
    this.#closing = true;
    this.#exitIfClosed();
  }

  /** It will die, but not at once: until it is reaped it may go on. */
  kill(): void {
    const { clock, random, trace, kind } = this.#ports;
    this.#killed = true;
    trace.add("kill", this.epoch, 0, 0, 0);
    if (this.#state === "dead" || this.#state === "exited") return;
    clock.after(random.below(this.#ports.faults() ? kind.profile.reapMs : 2), () => {
      if (this.#state === "dead" || this.#state === "exited") return;
      this.#die();
      this.#exit("operator", "killed by SIGKILL");
    });
  }

  /** The power fails. */
  vanish(): void {
    this.#state = "exited";
    this.#process.become("dead");
    this.#ports.exited();
  }

  /** It dies by itself, and the front will hear of it. */
  crash(): void {
    if (this.#state === "dead" || this.#state === "exited") return;
    const { clock, random, kind } = this.#ports;
    this.#die();
    // What it had put into the ring is there still, or was lost on the way, or turns up when nobody waits for it.
    const fate = random.pick(["seen", "lost", "late"]);
    const reapMs = random.chance(0.2) ? kind.profile.reapMs : DEATH_SEEN_MS;
    clock.after(random.below(reapMs), () => {
      if (fate === "seen") for (const completion of this.#ring) this.#deliver(completion);
      const death = random.pick(kind.sickness.deaths);
      this.#exit(death, `it ended: ${death}`);
    });
    if (fate !== "late") return;
    clock.after(reapMs + random.below(LATE_MS), () => {
      for (const completion of this.#ring) this.#deliver(completion);
    });
  }

  #open(): void {
    const { random, fates, kind, events, trace } = this.#ports;
    const { profile } = kind;
    const faults = this.#ports.faults() && this.epoch > 1;
    if (faults && fates.strikes("open hangs", random, profile.openHangs)) return;
    const fails = kind.neverOpens || (faults && fates.strikes("open fails", random, profile.openFails));
    const crashes = faults && fates.strikes("crash in open", random, profile.crashInOpen);
    this.#after(random.between(1, 50), () => {
      if (crashes) return this.crash();
      if (fails) {
        trace.add("open fails", this.epoch, 0, 0, 0);
        events.openFailed(this.epoch, "Cannot open store: it is away, a store was wanted");
        return;
      }
      this.#state = "open";
      trace.add("opened", this.epoch, 0, 0, 0);
      events.opened(this.epoch, kind.info, this);
      if (kind.livesMs !== undefined) this.#ports.clock.after(kind.livesMs(), () => this.crash());
    });
  }

  /** The rules of the link, from the driver's side. */
  #checkSubmission(submission: Submission): void {
    const { first, count, operation } = submission;
    if (this.#outstanding.size >= this.depth) throw new Violation("P6", "more submissions than the link's depth");
    if (this.#outstanding.has(submission.tag)) throw new Violation("core", `tag ${submission.tag} is out twice`);
    for (const other of this.#outstanding.values()) {
      if (operation === "flush" && other.operation === "flush") {
        throw new Violation("P2", "two flushes are in flight");
      }
      const conflict = isWriter(operation) || isWriter(other.operation);
      if (!conflict || !overlaps(first, count, other.first, other.count)) continue;
      const what = `${operation} and ${other.operation} are in flight at once`;
      throw new Violation("P3", what, Math.max(first, other.first));
    }
  }

  #execute(submission: Submission): void {
    if (this.#state !== "open") return;
    const { random, trace } = this.#ports;
    if (this.#crashes() || this.#touchesPoison(submission) || this.#fallsIll(submission)) return;
    const { operation, first, count, applied } = submission;
    trace.add("apply", this.epoch, first, count, applied, operation);
    if (operation === "write" && applied === 0 && count > 1 && random.chance(0.3)) {
      this.#disk.apply(submission, random.between(1, count - 1));
      return this.#after(this.#delay(), () => this.#execute(submission));
    }
    this.#post(submission, this.#disk.execute(submission));
  }

  /** The driver is through with it: what it wrote counts as completed, and the completion is on its way. */
  #post(submission: Submission, { errno, count }: Result): void {
    if (this.#crashes()) return;
    this.#disk.complete(submission);
    if (errno !== 0 && errno !== ERRNO.ENOTSUP) this.#ports.refuses();
    this.#ring.push({ submission, errno, count });
    this.#ports.clock.after(this.#delay(), () => {
      // What is in the ring is seen, even if the driver hangs by now; after its death, when that is seen.
      if (this.#state !== "open" || this.#crashes()) return;
      const oldest = this.#ring.shift();
      if (oldest !== undefined) this.#deliver(oldest);
      this.#crashes();
    });
  }

  #deliver(completion: Completion): void {
    const { submission, errno, count } = completion;
    const { events, trace, random, fates, kind, clock, took } = this.#ports;
    took(clock.now() - submission.submittedAt);
    this.#outstanding.delete(submission.tag);
    trace.add("complete", this.epoch, submission.first, submission.count, errno, submission.operation);
    const synced = submission.operation === "flush" || (submission.flags & SUBMIT_FUA) !== 0;
    if (errno !== 0 && synced) this.#disk.evictSome(this.outstanding);
    this.#ports.completes(this, submission, errno);
    if (this.#ports.faults() && fates.strikes("invalid completion", random, kind.profile.bogus)) {
      const tag = random.pick([submission.tag, random.next()]);
      const how = random.pick(["twice", "wrong length", "no such error"]);
      trace.add("bogus completion", this.epoch, 0, 0, tag, how);
      if (how === "wrong length") events.completed(this.epoch, submission.tag, 0, count + 1);
      else if (how === "no such error") events.completed(this.epoch, submission.tag, NO_ERRNO, count);
      else {
        events.completed(this.epoch, submission.tag, errno, count);
        if (!this.#outstanding.has(tag)) events.completed(this.epoch, tag, 0, 0);
      }
    } else events.completed(this.epoch, submission.tag, errno, count);
    if (!this.#settleWanted) {
      this.#settleWanted = true;
      clock.after(0, () => {
        this.#settleWanted = false;
        events.settled(this.epoch);
      });
    }
    this.#exitIfClosed();
  }

  #crashes(): boolean {
    if (this.#state === "open" && this.#ports.crashHere()) this.crash();
    return this.#state !== "open";
  }

  /** Whether this submission is deadly here; then its effect has begun. */
  #touchesPoison(submission: Submission): boolean {
    const { poison } = this.#ports.kind.sickness;
    const { clock, random, trace } = this.#ports;
    if (poison === undefined || !this.#ports.faults() || clock.now() < poison.from) return false;
    const { operation, first, count } = submission;
    const touches = operation === "flush" || overlaps(first, count, poison.first, poison.count);
    if (!touches || !poison.deadly.includes(operation)) return false;
    trace.add("poison", this.epoch, first, count, 0, `${operation}: ${poison.effect}`);
    if (isWriter(operation)) this.#disk.apply(submission, random.between(submission.applied, count));
    this.#ports.poisoned(submission);
    if (poison.effect === "crash") this.crash();
    else this.#hang(submission, poison.effect);
    return true;
  }

  /** Whether this submission is not executed now, because the driver hangs from here on or is under a strain. */
  #fallsIll(submission: Submission): boolean {
    const { random, fates, kind, trace } = this.#ports;
    if (!this.#ports.faults() || this.condition !== "well") return false;
    const { hang, hangs, strain, strains, excess } = kind.sickness;
    if (excess !== undefined && fates.strikes("excess", random, excess.chance)) {
      trace.add("strain", this.epoch, 0, 0, 1, `too much: ${excess.of}`);
      this.#process.exceed(excess.of);
    }
    if (fates.strikes("hang", random, hang)) {
      this.#hang(submission, random.pick(hangs));
      return true;
    }
    if (!fates.strikes("strain", random, strain)) return false;
    const suffered = random.pick(strains);
    trace.add("strain", this.epoch, 0, 0, 0, suffered);
    this.#process.suffer(suffered, random.between(1, STRAIN_MS));
    this.#process.do(() => this.#execute(submission));
    return true;
  }

  #hang(submission: Submission, hang: Hang): void {
    const { first, count, operation } = submission;
    this.#ports.trace.add("hang", this.epoch, first, count, 0, `${hang}: ${operation}`);
    this.#process.become(hang);
    this.#ports.hangs(hang);
  }

  #die(): void {
    const { store, trace } = this.#ports;
    trace.add("dies", this.epoch, 0, 0, 0);
    this.#state = "dead";
    this.#process.become("dead");
    this.#ports.dies(this);
    store.loseCache();
  }

  #exit(kind: FaultKind, how: string): void {
    if (this.#state === "exited") return;
    this.#state = "exited";
    this.#ports.trace.add("exited", this.epoch, 0, 0, 0, how);
    this.#ports.exited();
    this.#ports.events.exited(this.epoch, kind, how);
  }

  #exitIfClosed(): void {
    if (!this.#closing || this.#outstanding.size > 0) return;
    this.#after(1, () => {
      if (this.#outstanding.size > 0) return;
      this.#closed = true;
      this.#die();
      this.#exit("exit", "exit code 0");
    });
  }

  /** Later, if it still lives. */
  #after(ms: number, callback: () => void): void {
    this.#ports.clock.after(ms, () => {
      this.#process.do(() => {
        if (this.#state === "opening" || this.#state === "open") callback();
      });
    });
  }

  #delay(): number {
    const ms = this.condition === "slow" ? SLOW_MS : this.#ports.kind.profile.delayMs;
    return this.#ports.random.below(ms + 1);
  }
}
