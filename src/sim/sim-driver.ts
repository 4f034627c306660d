import assert from "node:assert/strict";
import { ERRNO, type Errno } from "../block/errors.ts";
import { encodeExtents } from "../block/extents.ts";
import {
  type DriverInfo,
  EXTENTS_SLOT_BYTES,
  type IncarnationEvents,
  type Link,
  type Operation,
  SUBMIT_FAST,
  SUBMIT_FUA,
} from "../shadow/ports.ts";
import type { VirtualClock } from "./clock.ts";
import { identify, stamp, ZEROES } from "./content.ts";
import type { PoisonedMemory } from "./memory.ts";
import type { DriverProfile } from "./profile.ts";
import type { SeededRandom } from "./random.ts";
import type { FlushOrder, Store } from "./store.ts";
import type { Trace } from "./trace.ts";
import { Violation } from "./violation.ts";

export interface SimDriverPorts {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly trace: Trace;
  readonly store: Store;
  readonly writes: PoisonedMemory;
  readonly reads: PoisonedMemory;
  readonly events: IncarnationEvents;
  readonly info: DriverInfo;
  readonly profile: DriverProfile;
  /** Asked before and after each submission is applied and each completion delivered: does the driver die here? */
  crashHere(): boolean;
  /** Off: no more refusals, failures and crashes. */
  faults(): boolean;
  /** It is about to fail something, on purpose. */
  refuses(): void;
  /** It is about to lose its cache. */
  dies(): void;
  exited(): void;
}

interface Submission {
  readonly tag: number;
  readonly operation: Operation;
  readonly flags: number;
  readonly first: number;
  readonly count: number;
  readonly address: number;
  /** What a flush has to make durable. */
  readonly order: FlushOrder | undefined;
  /** Sectors that are applied, of a write that is applied in two steps. */
  applied: number;
}

/** A completion in the ring: what was completed first is seen first. */
interface Completion {
  readonly submission: Submission;
  readonly errno: Errno;
  readonly count: number;
}

const DEATH_SEEN_MS = 2;
/** A completion may come this long after the incarnation has been reaped. */
const LATE_MS = 100;

/**
 * One incarnation of the simulated driver, over the store that all of them share. Submissions run each at its own
 * pace, so in any order, and may be half applied when it dies.
 */
export class SimDriver implements Link {
  readonly epoch: number;
  readonly depth: number;
  readonly maxEffect = Number.MAX_SAFE_INTEGER;
  readonly #ports: SimDriverPorts;
  #state: "opening" | "open" | "dead" | "exited" = "opening";
  #closing = false;
  #held: Submission[] = [];
  readonly #outstanding = new Map<number, Submission>();
  #ring: Completion[] = [];
  #settleWanted = false;

  constructor(epoch: number, ports: SimDriverPorts) {
    this.epoch = epoch;
    this.#ports = ports;
    this.depth = ports.profile.depth;
    ports.trace.add("start", epoch, 0, 0, 0);
    this.#open();
  }

  submit(tag: number, operation: Operation, flags: number, offset: number, length: number, address: number): void {
    const { trace, store, info } = this.#ports;
    const { blockSize } = info.geometry;
    assert(offset % blockSize === 0 && length % blockSize === 0, "a submission is not whole blocks");
    const order = operation === "flush" ? store.beginFlush() : undefined;
    const [first, count] = [offset / blockSize, length / blockSize];
    const submission = { tag, operation, flags, first, count, address, order, applied: 0 };
    trace.add("submit", this.epoch, first, count, flags, `${operation} tag ${tag}`);
    if (this.#state !== "open") return;
    this.#checkSubmission(submission);
    this.#outstanding.set(tag, submission);
    this.#held.push(submission);
  }

  kick(): void {
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
    const { clock, random, trace, profile } = this.#ports;
    trace.add("kill", this.epoch, 0, 0, 0);
    if (this.#state === "dead" || this.#state === "exited") return;
    clock.after(random.below(this.#ports.faults() ? profile.reapMs : 2), () => {
      if (this.#state === "dead" || this.#state === "exited") return;
      this.#die();
      this.#exit("killed by SIGKILL");
    });
  }

  /** It dies by itself, and the front will hear of it. */
  crash(): void {
    if (this.#state === "dead" || this.#state === "exited") return;
    const { clock, random, profile } = this.#ports;
    this.#die();
    // What it had put into the ring is there still, or was lost on the way, or turns up when nobody waits for it.
    const fate = random.pick(["seen", "lost", "late"]);
    const reapMs = random.chance(0.2) ? profile.reapMs : DEATH_SEEN_MS;
    clock.after(random.below(reapMs), () => {
      if (fate === "seen") for (const completion of this.#ring) this.#deliver(completion);
      this.#exit("killed by SIGSEGV");
    });
    if (fate !== "late") return;
    clock.after(reapMs + random.below(LATE_MS), () => {
      for (const completion of this.#ring) this.#deliver(completion);
    });
  }

  #open(): void {
    const { random, profile, events, info, trace } = this.#ports;
    const faults = this.#ports.faults();
    if (faults && this.epoch > 1 && random.chance(profile.openHangs)) return;
    const fails = faults && this.epoch > 1 && random.chance(profile.openFails);
    const crashes = faults && this.epoch > 1 && random.chance(profile.crashInOpen);
    this.#after(random.between(1, 50), () => {
      if (crashes) return this.crash();
      if (fails) {
        trace.add("open fails", this.epoch, 0, 0, 0);
        events.openFailed(this.epoch, "Cannot open store: it is away, a store was wanted");
        return;
      }
      this.#state = "open";
      trace.add("opened", this.epoch, 0, 0, 0);
      events.opened(this.epoch, info, this);
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
      const conflict = writes(operation) || writes(other.operation);
      if (!conflict || first >= other.first + other.count || other.first >= first + count) continue;
      const what = `${operation} and ${other.operation} are in flight at once`;
      throw new Violation("P3", what, Math.max(first, other.first));
    }
  }

  #execute(submission: Submission): void {
    if (this.#state !== "open") return;
    const { random, trace, info } = this.#ports;
    if (this.#crashes()) return;
    trace.add("apply", this.epoch, submission.first, submission.count, submission.applied, submission.operation);
    this.#destageSome();
    switch (submission.operation) {
      case "read":
        return this.#read(submission);
      case "extents":
        return this.#extents(submission);
      case "flush":
        return this.#flush(submission);
      case "zero":
        // A driver may be unable to zero a range of this kind, and unwilling to do it slowly.
        if (random.chance((submission.flags & SUBMIT_FAST) !== 0 ? 0.4 : 0.1)) {
          return this.#post(submission, ERRNO.ENOTSUP, 0);
        }
        if (!info.geometry.zero) throw new Violation("core", "zero is submitted to a driver that has none");
        return this.#write(submission);
      case "trim":
        if (!info.geometry.trim) throw new Violation("core", "trim is submitted to a driver that has none");
        return this.#write(submission);
      case "write":
        if (submission.applied === 0 && submission.count > 1 && random.chance(0.3)) {
          this.#applySectors(submission, random.between(1, submission.count - 1), false);
          return this.#after(this.#delay(), () => this.#execute(submission));
        }
        return this.#write(submission);
    }
  }

  #read(submission: Submission): void {
    const { first, count, address } = submission;
    const { store, reads, info, random, profile } = this.#ports;
    const { blockSize } = info.geometry;
    const fails = this.#ports.faults() && random.chance(profile.refuse / 2);
    const filled = fails ? random.below(count + 1) : count;
    for (let i = 0; i < filled; i++) {
      stamp(reads.at(address + i * blockSize, blockSize), first + i, store.read(first + i));
    }
    this.#post(submission, fails ? ERRNO.EIO : 0, fails ? 0 : count * blockSize);
  }

  #extents(submission: Submission): void {
    const { store, reads, info, random } = this.#ports;
    const { blockSize } = info.geometry;
    const stopAt = random.chance(0.3) ? random.between(1, submission.count) : submission.count;
    const extents = [];
    for (let i = 0; i < stopAt; i++) {
      const zero = store.read(submission.first + i) === ZEROES && random.chance(0.9);
      extents.push({ length: blockSize, zero, hole: zero && random.chance(0.5) });
    }
    const into = reads.at(submission.address, EXTENTS_SLOT_BYTES);
    this.#post(submission, 0, encodeExtents(extents, submission.count * blockSize, into));
  }

  #flush(submission: Submission): void {
    const { store, random, profile, trace } = this.#ports;
    const order = submission.order as FlushOrder;
    if (this.#ports.faults() && random.chance(profile.flushFails)) {
      trace.add("flush fails", this.epoch, 0, 0, profile.flushForgets ? 1 : 0);
      store.failFlush(order, profile.flushForgets ? "forget" : "keep");
      return this.#post(submission, ERRNO.EIO, 0);
    }
    store.finishFlush(order);
    this.#post(submission, 0, 0);
  }

  #write(submission: Submission): void {
    const { random, profile, trace, store, info } = this.#ports;
    const { first, count } = submission;
    const bad =
      profile.badSectors > 0 && first < profile.badFirst + profile.badSectors && profile.badFirst < first + count;
    const fua = (submission.flags & SUBMIT_FUA) !== 0;
    if (this.#ports.faults() && (bad || random.chance(fua ? profile.refuseFua : profile.refuse))) {
      trace.add("refuse", this.epoch, first, count, 0, submission.operation);
      this.#applySectors(submission, count, true);
      if (fua && random.chance(0.7)) {
        store.failFlush(store.beginFlush(), profile.flushForgets ? "forget" : "keep");
      }
      return this.#post(submission, random.pick([ERRNO.EIO, ERRNO.ENOSPC]), 0);
    }
    this.#applySectors(submission, count, false);
    const length = submission.operation === "write" ? count * info.geometry.blockSize : 0;
    this.#post(submission, 0, length);
  }

  /** Applies sectors up to `end` of a write, zero or trim; `some` leaves out some of them. */
  #applySectors(submission: Submission, end: number, some: boolean): void {
    const { store, writes: memory, info, random } = this.#ports;
    const { blockSize } = info.geometry;
    for (let i = submission.applied; i < end; i++) {
      const sector = submission.first + i;
      if (some && random.chance(0.5)) continue;
      if (submission.operation === "trim" && random.chance(0.5)) continue;
      const address = submission.address + i * blockSize;
      const content = submission.operation === "write" ? identify(memory.at(address, blockSize), sector) : ZEROES;
      if ((submission.flags & SUBMIT_FUA) !== 0) store.applyDurable(sector, content);
      else store.apply(sector, content);
    }
    submission.applied = end;
  }

  /** The driver is through with it: what it wrote counts as completed, and the completion is on its way. */
  #post(submission: Submission, errno: Errno, count: number): void {
    if (this.#crashes()) return;
    const { store } = this.#ports;
    if (writes(submission.operation)) {
      for (let i = 0; i < submission.count; i++) store.complete(submission.first + i);
    }
    if (errno !== 0 && errno !== ERRNO.ENOTSUP) this.#ports.refuses();
    this.#ring.push({ submission, errno, count });
    this.#ports.clock.after(this.#delay(), () => {
      // After its death the ring is emptied once more, when the death is seen.
      if (this.#state !== "open" || this.#crashes()) return;
      const oldest = this.#ring.shift();
      if (oldest !== undefined) this.#deliver(oldest);
      this.#crashes();
    });
  }

  #deliver(completion: Completion): void {
    const { submission, errno, count } = completion;
    const { events, trace, random, profile, clock } = this.#ports;
    this.#outstanding.delete(submission.tag);
    trace.add("complete", this.epoch, submission.first, submission.count, errno, submission.operation);
    if (errno !== 0 && (submission.operation === "flush" || (submission.flags & SUBMIT_FUA) !== 0)) this.#evictSome();
    events.completed(this.epoch, submission.tag, errno, count);
    if (this.#ports.faults() && random.chance(profile.bogus)) {
      const tag = random.pick([submission.tag, random.next()]);
      trace.add("bogus completion", this.epoch, 0, 0, tag);
      if (!this.#outstanding.has(tag)) events.completed(this.epoch, tag, 0, 0);
    }
    if (!this.#settleWanted) {
      this.#settleWanted = true;
      clock.after(0, () => {
        this.#settleWanted = false;
        events.settled(this.epoch);
      });
    }
    this.#exitIfClosed();
  }

  /** What a failed flush has dropped can't be read any more, but by reads that were there before the failure is seen. */
  #evictSome(): void {
    const { store, random, trace } = this.#ports;
    const reads = [...this.#outstanding.values()].filter(
      ({ operation }) => operation === "read" || operation === "extents",
    );
    for (let sector = 0; sector < store.sectors; sector++) {
      const isRead = reads.some((read) => read.first <= sector && sector < read.first + read.count);
      if (isRead || random.chance(0.5)) continue;
      if (trace.recording) trace.add("evict", this.epoch, sector, 1, 0);
      store.evict(sector);
    }
  }

  #destageSome(): void {
    const { store, random, profile } = this.#ports;
    if (!random.chance(profile.destage)) return;
    for (let i = random.between(1, 8); i > 0; i--) store.destage(random.below(store.sectors));
  }

  #crashes(): boolean {
    if (this.#state === "open" && this.#ports.crashHere()) this.crash();
    return this.#state !== "open";
  }

  #die(): void {
    const { store, trace } = this.#ports;
    trace.add("dies", this.epoch, 0, 0, 0);
    this.#state = "dead";
    this.#ports.dies();
    store.loseCache();
  }

  #exit(how: string): void {
    this.#state = "exited";
    this.#ports.trace.add("exited", this.epoch, 0, 0, 0, how);
    this.#ports.exited();
    this.#ports.events.exited(this.epoch, how);
  }

  #exitIfClosed(): void {
    if (!this.#closing || this.#outstanding.size > 0) return;
    this.#after(1, () => {
      if (this.#outstanding.size > 0) return;
      this.#die();
      this.#exit("exit code 0");
    });
  }

  /** Later, if it still lives. */
  #after(ms: number, callback: () => void): void {
    this.#ports.clock.after(ms, () => {
      if (this.#state === "opening" || this.#state === "open") callback();
    });
  }

  #delay(): number {
    return this.#ports.random.below(this.#ports.profile.delayMs + 1);
  }
}

function writes(operation: Operation): boolean {
  return operation === "write" || operation === "zero" || operation === "trim";
}
