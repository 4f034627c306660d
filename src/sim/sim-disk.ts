import { ERRNO, type Errno } from "../block/errors.ts";
import { encodeExtents } from "../block/extents.ts";
import { overlaps } from "../block/geometry.ts";
import type { SeededRandom } from "../block/random.ts";
import { isWriter } from "../block/request.ts";
import { EXTENTS_SLOT_BYTES, SUBMIT_FAST, SUBMIT_FUA } from "../shadow/ports.ts";
import { GARBAGE, identify, stamp, ZEROES } from "./content.ts";
import type { Deed } from "./court.ts";
import type { DriverKind } from "./driver-kind.ts";
import type { Fates } from "./fates.ts";
import type { FalseWrite, Lies } from "./lies.ts";
import type { PoisonedMemory } from "./memory.ts";
import type { FlushOrder, Store } from "./store.ts";
import type { Trace } from "./trace.ts";
import { Violation, WorldsEnd } from "./violation.ts";

export interface SimDiskPorts {
  readonly random: SeededRandom;
  readonly fates: Fates;
  readonly trace: Trace;
  readonly store: Store;
  readonly writes: PoisonedMemory;
  readonly reads: PoisonedMemory;
  /** Lies about the store, if this is the world for it. */
  readonly lies: Lies | undefined;
  readonly kind: DriverKind;
  /** Off: no more refusals, failures and lies. */
  faults(): boolean;
}

/** Sectors. */
export interface Submission extends Deed {
  readonly tag: number;
  readonly flags: number;
  readonly address: number;
  /** What a flush has to make durable. */
  readonly order: FlushOrder | undefined;
  readonly submittedAt: number;
  /** Sectors that are applied, of a write that is applied in two steps. */
  applied: number;
}

/** As the link reports it. `count`: bytes. */
export interface Result {
  readonly errno: Errno;
  readonly count: number;
}

const DONE: Result = { errno: 0, count: 0 };

/** What one incarnation of a driver does on the store, all at once. When it does, and whether it lives to tell, is not its affair. */
export class SimDisk {
  readonly #ports: SimDiskPorts;
  readonly #epoch: number;
  readonly #blockSize: number;
  #hasRead = false;

  constructor(epoch: number, ports: SimDiskPorts) {
    this.#epoch = epoch;
    this.#ports = ports;
    this.#blockSize = ports.kind.info.geometry.blockSize;
  }

  execute(submission: Submission): Result {
    const { operation, flags } = submission;
    const { geometry } = this.#ports.kind.info;
    this.#destageSome();
    switch (operation) {
      case "read":
        return this.#read(submission);
      case "extents":
        return this.#extents(submission);
      case "flush":
        return this.#flush(submission);
      case "zero":
        if (!geometry.zero) throw new Violation("core", "zero is submitted to a driver that has none");
        // A driver may be unable to zero a range of this kind, and unwilling to do it slowly.
        if (this.#refusesZero((flags & SUBMIT_FAST) !== 0)) return { errno: ERRNO.ENOTSUP, count: 0 };
        return this.#write(submission);
      case "trim":
        if (!geometry.trim) throw new Violation("core", "trim is submitted to a driver that has none");
        return this.#write(submission);
      case "write":
        return this.#write(submission);
    }
  }

  /** Applies sectors up to `end` of a write, zero or trim; `some` leaves out some of them, and so may a `lie`. */
  apply(submission: Submission, end: number, some = false, lie?: FalseWrite): void {
    const { store, writes: memory, random, kind, lies } = this.#ports;
    if (kind.foreign) this.#writesToAnotherStore();
    const durable = (submission.flags & SUBMIT_FUA) !== 0 && !kind.keepsNothing;
    for (let i = submission.applied; i < end; i++) {
      const sector = submission.first + i;
      if (some && random.chance(0.5)) continue;
      if (submission.operation === "trim" && random.chance(0.5)) continue;
      if (lie?.written(sector) === false) continue;
      lies?.written(sector);
      const bytes = memory.at(submission.address + i * this.#blockSize, this.#blockSize);
      const content = submission.operation === "write" ? identify(bytes, sector) : ZEROES;
      if (durable) store.applyDurable(sector, content);
      else store.apply(sector, content);
    }
    submission.applied = end;
    for (const sector of lie?.garbage ?? []) {
      store.apply(sector, GARBAGE);
      store.complete(sector);
    }
  }

  /** What it wrote counts as completed, so that the next flush covers it. */
  complete({ operation, first, count }: Submission): void {
    if (!isWriter(operation)) return;
    for (let i = 0; i < count; i++) this.#ports.store.complete(first + i);
  }

  /**
   * What a failed flush has dropped can't be read any more, but by reads that were there before the failure is seen. `outstanding`:
   * what is with the driver.
   */
  evictSome(outstanding: readonly Deed[]): void {
    const { store, random, trace } = this.#ports;
    const reads = outstanding.filter(({ operation }) => operation === "read" || operation === "extents");
    for (let sector = 0; sector < store.sectors; sector++) {
      const isRead = reads.some((read) => overlaps(read.first, read.count, sector, 1));
      if (isRead || random.chance(0.5)) continue;
      if (trace.recording) trace.add("evict", this.#epoch, sector, 1, 0);
      store.evict(sector);
    }
  }

  #read({ first, count, address }: Submission): Result {
    const { store, reads, random, fates, kind, lies, faults } = this.#ports;
    const fails = faults() && fates.strikes("failed read", random, kind.profile.refuse / 2);
    const filled = fails ? random.below(count + 1) : count;
    this.#hasRead = true;
    if (faults() && !fails) lies?.aboutRead(first, count);
    for (let i = 0; i < filled; i++) {
      const truth = kind.foreign ? GARBAGE : store.read(first + i);
      const content = lies === undefined || fails ? truth : lies.read(first + i, truth);
      stamp(reads.at(address + i * this.#blockSize, this.#blockSize), first + i, content);
    }
    return fails ? { errno: ERRNO.EIO, count: 0 } : { errno: 0, count: count * this.#blockSize };
  }

  #extents({ first, count, address }: Submission): Result {
    const { store, reads, random } = this.#ports;
    const stopAt = random.chance(0.3) ? random.between(1, count) : count;
    const extents = [];
    for (let i = 0; i < stopAt; i++) {
      const zero = store.read(first + i) === ZEROES && random.chance(0.9);
      extents.push({ length: this.#blockSize, zero, hole: zero && random.chance(0.5) });
    }
    const into = reads.at(address, EXTENTS_SLOT_BYTES);
    return { errno: 0, count: encodeExtents(extents, count * this.#blockSize, into) };
  }

  #flush({ order }: Submission): Result {
    const { store, random, fates, kind, trace, faults } = this.#ports;
    const { flushFails } = kind.profile;
    if (kind.keepsNothing || order === undefined) return DONE;
    if (faults() && fates.strikes("failed flush", random, flushFails)) {
      trace.add("flush fails", this.#epoch, 0, 0, 0, this.#fate);
      store.failFlush(order, this.#fate);
      return { errno: ERRNO.EIO, count: 0 };
    }
    store.finishFlush(order);
    return DONE;
  }

  /** Not a fast one where there are lies, since it would leave what nobody is held to. */
  #refusesZero(fast: boolean): boolean {
    const { random, lies } = this.#ports;
    return fast ? lies === undefined && random.chance(0.4) : random.chance(0.1);
  }

  #write(submission: Submission): Result {
    const { random, fates, kind, trace, store, lies, faults } = this.#ports;
    const { badSectors, badFirst, refuse, refuseFua } = kind.profile;
    const { operation, first, count } = submission;
    const bad = badSectors > 0 && overlaps(first, count, badFirst, badSectors);
    const fua = (submission.flags & SUBMIT_FUA) !== 0;
    if (faults() && (bad || fates.strikes("refused write", random, fua ? refuseFua : refuse))) {
      trace.add("refuse", this.#epoch, first, count, 0, operation);
      this.apply(submission, count, true);
      if (fua && random.chance(0.7)) store.failFlush(store.beginFlush(), this.#fate);
      return { errno: random.pick([ERRNO.EIO, ERRNO.ENOSPC]), count: 0 };
    }
    const lie = faults() && operation !== "trim" ? lies?.aboutWrite(first, count) : undefined;
    this.apply(submission, count, false, lie);
    return { errno: 0, count: operation === "write" ? count * this.#blockSize : 0 };
  }

  /** What a failed flush does with what it has not written. */
  get #fate(): "forget" | "keep" {
    return this.#ports.kind.profile.flushForgets ? "forget" : "keep";
  }

  /** What it has been asked for before shows that it is another store; where nothing has been, nobody can tell. */
  #writesToAnotherStore(): never {
    if (this.#hasRead) throw new Violation("core", "something is written to another store");
    throw new WorldsEnd();
  }

  #destageSome(): void {
    const { store, random, kind } = this.#ports;
    if (kind.keepsNothing || !random.chance(kind.profile.destage)) return;
    for (let i = random.between(1, 8); i > 0; i--) store.destage(random.below(store.sectors));
  }
}
