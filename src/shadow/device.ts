import { strict as assert } from "node:assert";
import { ERRNO, type Errno, errnoName } from "../block/errors.ts";
import { type Geometry, overlaps } from "../block/geometry.ts";
import type { Memory, Payload } from "../block/memory.ts";
import type { Request } from "../block/request.ts";
import { Admission } from "./admission.ts";
import { type DeviceCounters, newCounters } from "./counters.ts";
import { Flusher } from "./flusher.ts";
import { DEFAULT_LIMITS, type DeviceLimits } from "./limits.ts";
import { Operation } from "./operation.ts";
import type { Piece } from "./piece-map.ts";
import type { BlockDevice, Clock, DriverInfo, Link, Log, Random } from "./ports.ts";
import { Schedule } from "./schedule.ts";
import { Shadow } from "./shadow.ts";
import { differenceOf, StoreCheck } from "./store-check.ts";
import { type CompletionFault, Submissions } from "./submissions.ts";

export interface DevicePorts {
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Memory for what clients write. From address `zeroes` on it has MAX_SLOT_BYTES that are always zero. */
  readonly writes: Memory & { readonly zeroes: number };
  /** Memory for what clients read. */
  readonly reads: Memory;
  /** There is no memory for a read: replies that clients are slow to take should be moved out of it. */
  shortOfReads(): void;
}

/** Whom the device tells what became of an incarnation that it was attached to. */
export interface AttachObserver {
  /** Everything that earlier incarnations may have lost has been executed by this one. */
  replayed(): void;
  /** It serves another store, or the same one with its contents lost. */
  mismatch(what: string): void;
}

/**
 * One device: what its clients see, and its shadow. It is in one of three phases:
 *
 *   detached ──attach──▶ checking ──same store──▶ running
 *      ▲                    │                        │
 *      └───────detach───────┴────────────────────────┘
 *
 * Invariants, beside those of the shadow and the schedule:
 * - A running device's unexecuted piece has a replay, or was refused.
 * - No flush is submitted while a replay is outstanding, and never two are in flight.
 * - A request is in the schedule from `submit` until its reply; a flush request is with the flusher.
 */
export class Device implements BlockDevice {
  readonly name: string;
  readonly counters: DeviceCounters = newCounters();
  readonly reads: { release(payload: Payload): void };

  readonly #ports: DevicePorts;
  readonly #limits: DeviceLimits;
  readonly #admission: Admission;
  readonly #shadow: Shadow;
  readonly #schedule: Schedule;
  readonly #flusher: Flusher;

  #info: DriverInfo | undefined;
  #check: StoreCheck | undefined;
  /** The incarnation that it is attached to; `#running` once it has proved to be the same store. */
  #submissions: Submissions | undefined;
  #running = false;
  #observer: AttachObserver | undefined;
  /** Requests of the recovery that are not answered; the observer is told at 0. */
  #reissued = 0;
  #arrivals = 0;
  /** Refused pieces have been tried again for the flush that waits. */
  #refusedRetried = false;
  #pumping = false;
  #quiesced: (() => void) | undefined;
  #drained: (() => void) | undefined;
  #stallReason: string | undefined;
  /** Memory that a lost incarnation may touch until it is reaped, of requests that have been answered. */
  #exposed: (() => void)[] = [];
  #reapPending = false;

  constructor(ports: DevicePorts, limits: Partial<DeviceLimits> = {}, options: { readonly retains?: boolean } = {}) {
    this.name = ports.name;
    this.#ports = ports;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#admission = new Admission(
      {
        clock: ports.clock,
        writes: ports.writes,
        reads: ports.reads,
        pieces: () => this.#shadow.size,
        shortOfRoom: () => {
          this.#makeRoom();
          this.kick();
        },
        shortOfReads: () => ports.shortOfReads(),
        stalled: (reason) => this.#stall(reason),
      },
      this.#limits,
    );
    this.#shadow = new Shadow(
      {
        release: (payload) => ports.writes.release(payload),
        released: (piece) => {
          // What another writer may have changed says nothing about the store.
          if (this.#check?.wantsPiece !== true || piece.contested) return;
          if (!this.#schedule.hasWriter(piece.offset, piece.length)) this.#check.remember(piece);
        },
      },
      options.retains ?? true,
    );
    this.#schedule = new Schedule(this.#shadow);
    this.#flusher = new Flusher(ports.clock, this.#limits, () => {
      if (this.#shadow.size > 0) this.#flusher.wantOwn();
      this.kick();
    });
    this.reads = {
      release: (payload) => {
        ports.reads.release(payload);
        this.#admission.serveSoon();
      },
    };
  }

  /** Known once the first incarnation has opened. */
  get geometry(): Geometry {
    assert(this.#info !== undefined, "the geometry is asked for before an incarnation has opened");
    return this.#info.geometry;
  }

  /** Whether an incarnation has ever opened. */
  get opened(): boolean {
    return this.#info !== undefined;
  }

  /** What the shadow holds. `bytes`: memory taken by writes, in slots, in flight or retained. */
  get shadow(): { pieces: number; bytes: number; limitBytes: number } {
    const { writes } = this.#ports;
    return { pieces: this.#shadow.size, bytes: writes.usedBytes, limitBytes: writes.limitBytes };
  }

  /** The pieces of the shadow, in order of their offsets. */
  shadowPieces(): Iterable<Readonly<Piece>> {
    return this.#shadow.pieces;
  }

  /** Requests without a reply. */
  get unanswered(): number {
    let flushes = 0;
    for (const waiter of this.#flusher.waiters) if (waiter.kind === "flush") flushes++;
    for (const waiter of this.#flusher.inFlight?.waiters ?? []) if (waiter.kind === "flush") flushes++;
    return this.#schedule.requests.length + flushes;
  }

  /** Why the device is degraded; `undefined` while it isn't. */
  get trouble(): string | undefined {
    const { refused } = this.#shadow;
    if (refused > 0) return `the driver refuses ${refused} acknowledged pieces, which are served from the shadow`;
    return this.#admission.stalled ? this.#stallReason : undefined;
  }

  // ── Requests ──────────────────────────────────────────────────────────────────────────────────────────────────

  admit(request: Request): "admitted" | "wait" | Errno {
    return this.#admission.admit(request);
  }

  whenRoom(request: Request, callback: () => void): () => void {
    return this.#admission.whenRoom(request, callback);
  }

  abandon(request: Request): void {
    this.#releasePayload(request);
    this.#admission.left(request);
  }

  submit(request: Request): void {
    if (this.#admission.refusing !== 0) return this.#reply(request, this.#admission.refusing);
    if (request.kind === "flush") {
      if (this.geometry.readOnly) return this.#reply(request, 0);
      return this.#flusher.add(Operation.forRequest(request, ++this.#arrivals));
    }
    if (request.length === 0) return this.#reply(request, 0);
    if (request.fast && !this.geometry.zero) return this.#reply(request, ERRNO.ENOTSUP);
    const operation = Operation.forRequest(request, ++this.#arrivals);
    if (operation.writer) this.#check?.forget(request.offset, request.length);
    if (this.#running) this.#schedule.add(operation);
    else this.#schedule.park(operation);
  }

  kick(): void {
    if (this.#running) this.#pump();
    this.#submissions?.kick();
    this.#tellProgress();
  }

  // ── Incarnations ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes a new incarnation: finds out whether it is the same store, replays, re-issues, goes on. */
  attach(link: Link, info: DriverInfo, observer: AttachObserver): void {
    assert(this.#submissions === undefined && !this.#reapPending, "the incarnation before is still there");
    const difference = this.#info === undefined ? undefined : differenceOf(this.#info, info);
    if (difference !== undefined) return observer.mismatch(difference);
    this.#info ??= info;
    this.#check ??= new StoreCheck(info.geometry.blockSize, this.#ports.reads, this.#ports.random);
    this.#observer = observer;
    this.#submissions = new Submissions(link, info.geometry, this.#ports.writes.zeroes);
    if (info.discards || !this.#check.start(this.#submissions)) this.#run();
    else this.#submissions.kick();
  }

  /**
   * Gives the incarnation up: nothing that it does counts any more. What it has in hand is not used again until it is
   * `reaped`.
   */
  detach(): void {
    if (this.#submissions === undefined) return;
    this.#running = false;
    this.#submissions = undefined;
    this.#observer = undefined;
    this.#reissued = 0;
    this.#refusedRetried = false;
    this.#reapPending = true;
    // What is with the lost incarnation: if it is answered before the reaping, its memory has to wait for that.
    for (const request of this.#schedule.requests) {
      request.exposed = request.outstanding > 0;
      request.reissued = false;
    }
    this.#flusher.lose();
    this.#flusher.takeWriters();
    for (const waiter of this.#flusher.waiters) waiter.reissued = false;
    this.#shadow.lose();
    this.#schedule.lose();
    this.#quiesced = undefined;
  }

  /** The incarnation last given up is gone for good: the memory that it had in hand may be used again. */
  reaped(): void {
    this.#reapPending = false;
    for (const request of this.#schedule.requests) request.exposed = false;
    for (const release of this.#exposed) release();
    this.#exposed = [];
    this.#admission.serveSoon();
  }

  /** A completion as it came off the link. Returns what is wrong with it, if anything is; then it has had no effect. */
  complete(epoch: number, tag: number, errno: number, count: number): CompletionFault | undefined {
    if (epoch !== this.#submissions?.epoch) {
      this.counters.lateCompletions++;
      return undefined;
    }
    const operation = this.#submissions.complete(tag, errno, count);
    if (operation === "more") return undefined;
    if ("fault" in operation) return operation.fault;
    this.#executed(operation);
    return undefined;
  }

  /** A batch of completions is over: goes on with what they made possible. */
  settled(): void {
    this.kick();
  }

  /** Starts no new request; `idle` is called when nothing is with the driver and a flush has been tried. Ends with `detach`. */
  quiesce(idle: () => void): void {
    this.#quiesced = idle;
    if (this.#shadow.size > 0) this.#flusher.wantOwn();
    this.kick();
  }

  /**
   * Answers with an error at once what waits and what comes, while the device is held or has failed. Acknowledged
   * pieces stay. Requests that are with a living driver run to their end. Until `serveAgain`.
   */
  refuse(errno: Exclude<Errno, 0>): void {
    this.#admission.refusing = errno;
    for (const operation of this.#schedule.requests.filter((request) => !request.issued))
      this.#finish(operation, errno);
    this.#answerFlushes(errno);
    this.#admission.serveSoon();
    this.kick();
  }

  serveAgain(): void {
    this.#admission.refusing = 0;
  }

  /** Refuses new requests with ESHUTDOWN; `drained` is called when all the others have been answered. */
  drain(drained: () => void): void {
    this.#admission.refusing = ERRNO.ESHUTDOWN;
    this.#drained = drained;
    this.#admission.serveSoon();
    this.kick();
  }

  /** Stops every timer. Nothing may be asked of it any more. */
  dispose(): void {
    this.#flusher.dispose();
    this.#admission.dispose();
  }

  // ── The pump ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** The same store has come back. */
  #run(): void {
    this.#running = true;
    this.#shadow.invalidate();
    this.#schedule.rebuild();
    for (const request of this.#schedule.requests) this.#partOfRecovery(request);
    for (const waiter of this.#flusher.waiters) this.#partOfRecovery(waiter);
    this.kick();
  }

  #partOfRecovery(operation: Operation): void {
    operation.reissued = true;
    this.#reissued++;
    this.counters.reissuedRequests++;
  }

  /** Issues what can be issued. Replies may call back in here; the outermost call does the work. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    for (;;) {
      const submissions = this.#submissions;
      if (submissions === undefined || submissions.full) break;
      const operation = this.#schedule.next(this.#quiesced === undefined);
      if (operation === undefined) break;
      if (!operation.issued) this.#begin(operation);
      if (!operation.allIssued) submissions.issue(operation);
      if (!operation.allIssued) continue;
      this.#schedule.issued(operation);
      if (operation.outstanding === 0) this.#executed(operation);
    }
    this.#pumping = false;
    this.#submitFlush();
  }

  /** Its first part is about to be issued. What the driver isn't needed for is done by this. */
  #begin(operation: Operation): void {
    operation.issued = true;
    operation.generation = this.#shadow.generation;
    const { piece, request, kind } = operation;
    if (piece !== undefined) {
      // What was in flight when the replay was scheduled may have cut the piece since.
      operation.offset = piece.offset;
      operation.length = piece.length;
      if (piece.gone || (kind === "trim" && !this.geometry.trim)) operation.position = operation.length;
    } else if (kind === "cache" || (kind === "trim" && !this.geometry.trim)) {
      operation.position = operation.length;
    } else if (kind === "extents" && request !== undefined && !this.geometry.extents) {
      // Data everywhere is always a safe answer.
      request.extents = [{ length: request.length, hole: false, zero: false }];
      operation.position = operation.length;
    }
  }

  // ── Completions ───────────────────────────────────────────────────────────────────────────────────────────────

  /** All parts of an operation are back. */
  #executed(operation: Operation): void {
    if (operation === this.#flusher.inFlight?.operation) return this.#flushed(operation.errno);
    if (operation.piece !== undefined) return this.#replayed(operation);
    const { request, errno } = operation;
    if (request === undefined) return this.#checked(operation);
    if (!operation.writer) return this.#read(operation, request);
    if (errno !== 0) return this.#refused(operation, request);
    if (!request.fua || this.#submissions?.makesDurable(operation) === true) {
      return this.#acknowledge(operation, request.fua);
    }
    if (operation.generation !== this.#shadow.generation) {
      // A flush failed meanwhile; what was written before is not to be relied on.
      operation.reset();
      this.#schedule.rebuild();
      return;
    }
    operation.flushing = true;
    this.#flusher.add(operation);
  }

  /** A reader is back: the shadow has the last word on what it is told. */
  #read(operation: Operation, request: Request): void {
    let { errno } = operation;
    const { offset, length, payload } = request;
    if (request.kind === "read" && payload !== undefined && this.#shadow.overlay(offset, length, payload)) errno = 0;
    if (request.extents !== undefined) request.extents = this.#shadow.overlayExtents(offset, length, request.extents);
    this.#finish(operation, errno);
  }

  /** A write, zero or trim that was never acknowledged gets an error: it leaves no trace in the shadow. */
  #refused(operation: Operation, request: Request): void {
    const { errno } = operation;
    if (operation.kind === "zero" && errno === ERRNO.ENOTSUP && !operation.writesZeroes && !request.fast) {
      return this.#writeZeroes(operation);
    }
    if (request.kind === "zero" && request.fast && errno === ERRNO.ENOTSUP) return this.#finish(operation, errno);
    this.counters.refusedWrites++;
    this.#shadow.contest(request.offset, request.length);
    if (request.fua) this.#syncFailed();
    this.#finish(operation, errno);
  }

  #writeZeroes(operation: Operation): void {
    const { generation } = operation;
    operation.reset();
    operation.writesZeroes = true;
    // It stays with the driver, as far as the order is concerned.
    operation.issued = true;
    operation.generation = generation;
    this.#schedule.enqueue(operation);
  }

  #acknowledge(operation: Operation, durable: boolean): void {
    const unexecuted = this.#shadow.acknowledge(operation, durable);
    if (this.#shadow.size > 0) this.#flusher.holdsPieces();
    this.#makeRoom();
    if (unexecuted.length > 0) this.#schedule.addReplays(unexecuted);
    this.#finish(operation, 0);
  }

  #replayed(replay: Operation): void {
    const piece = replay.piece;
    assert(piece !== undefined);
    if (replay.kind === "zero" && replay.errno !== 0 && !replay.writesZeroes) return this.#writeZeroes(replay);
    if (piece.replay === replay) piece.replay = undefined;
    this.#schedule.done(replay);
    if (piece.gone) return;
    if (replay.errno !== 0 && replay.kind !== "trim") {
      this.counters.refusedReplays++;
      this.#ports.log.error(
        `${this.name}: the driver refused an acknowledged write (${errnoName(replay.errno)}): ` +
          `${piece.length} bytes at ${piece.offset} are served from the shadow`,
      );
      return this.#shadow.refuse(piece, replay.errno);
    }
    // A trim that the driver refuses has had its effect: the sectors are unspecified.
    this.counters.replayedPieces++;
    this.#shadow.executed(piece, replay.generation);
    if (!this.#shadow.isExecuted(piece)) this.#schedule.addReplays([piece]);
  }

  #checked(operation: Operation): void {
    const mismatch = this.#check?.finished(operation);
    if (mismatch !== undefined) this.#observer?.mismatch(mismatch);
    else if (this.#check?.busy === false) this.#run();
  }

  // ── Flushes ───────────────────────────────────────────────────────────────────────────────────────────────────

  #submitFlush(): void {
    const submissions = this.#submissions;
    if (submissions === undefined || !this.#running || !this.#flusher.wanted) return;
    if (this.#schedule.replays > 0 || submissions.full) return;
    if (this.#shadow.refused > 0 && !this.#refusedRetried) {
      this.#refusedRetried = true;
      this.#retryRefused();
      return this.#pump();
    }
    const clients = this.#flusher.waiters.length;
    const flush = this.#flusher.start(this.#shadow.generation, this.#shadow.mark(), this.#shadow.refused === 0);
    if (clients === 0) this.counters.ownFlushes++;
    flush.operation.issued = true;
    submissions.issue(flush.operation);
  }

  /** A flush can't be honest while the driver refuses a piece: give it another chance. */
  #retryRefused(): void {
    const inFlight = this.#schedule.requests.filter((request) => request.issued && request.writer);
    const retried = [...this.#shadow.pieces].filter(
      // The replay would wait for the writer, and that, with FUA, for this very flush. It takes the piece's place anyway.
      (piece) =>
        piece.refused !== 0 &&
        !inFlight.some((writer) => overlaps(writer.offset, writer.length, piece.offset, piece.length)),
    );
    for (const piece of retried) this.#shadow.retry(piece);
    this.#schedule.addReplays(retried);
  }

  #flushed(errno: Errno): void {
    const flush = this.#flusher.finish(errno !== 0);
    this.#refusedRetried = false;
    const writers = flush.waiters.filter((waiter) => waiter.kind !== "flush");
    const flushes = flush.waiters.filter((waiter) => waiter.kind === "flush");
    if (errno !== 0) {
      this.counters.failedFlushes++;
      this.#ports.log.warn(`${this.name}: a flush failed (${errnoName(errno)}); what it covered is written again`);
      for (const writer of writers) this.#shadow.contest(writer.offset, writer.length);
      this.#syncFailed();
      for (const waiter of flush.waiters) this.#finish(waiter, errno);
    } else if (flush.generation !== this.#shadow.generation) {
      // A FUA write failed while this one was on its way: it proves nothing.
      this.#flusher.requeue(flush.waiters);
    } else {
      this.#shadow.release(flush.mark);
      this.#admission.released();
      for (const writer of writers) this.#acknowledge(writer, true);
      for (const waiter of flushes) this.#finish(waiter, flush.covers ? 0 : ERRNO.EIO);
    }
    if (this.#shadow.size > 0) this.#flusher.holdsPieces();
    this.#makeRoom();
  }

  /** Wants an own flush when the shadow holds much, or somebody waits for what it holds. */
  #makeRoom(): void {
    const { size } = this.#shadow;
    if (size === 0) return;
    const { pieces, flushShare, cheapFlushBytes } = this.#limits;
    const { writes } = this.#ports;
    const much = size >= pieces * flushShare || writes.fullness >= flushShare;
    const some = writes.usedBytes >= cheapFlushBytes && this.#flusher.isCheap;
    if (much || some || this.#admission.writersWait) this.#flusher.wantOwn();
  }

  /**
   * A flush or a FUA write failed: the driver may have thrown away anything that was not durable, and will not say so
   * again. All of it, and what is in flight, counts as unexecuted.
   */
  #syncFailed(): void {
    this.#shadow.invalidate();
    for (const writer of this.#flusher.takeWriters()) writer.reset();
    this.#schedule.rebuild();
  }

  /** A limit is reached and nothing can be released. */
  #stall(reason: string): void {
    this.#stallReason = reason;
    this.#ports.log.error(`${this.name}: ${reason}: writes and flushes get EIO until it can`);
    this.#answerFlushes(ERRNO.EIO);
  }

  #answerFlushes(errno: Exclude<Errno, 0>): void {
    for (const waiter of this.#flusher.takeFlushes()) this.#finish(waiter, errno);
  }

  // ── Replies ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** The end of a request's operation: everything is in order again before the reply, which may call back in here. */
  #finish(operation: Operation, errno: Errno): void {
    const request = operation.request;
    assert(request !== undefined);
    if (operation.reissued) this.#reissued--;
    if (operation.activeIndex !== -1) this.#schedule.done(operation);
    if (operation.exposed && request.payload !== undefined) {
      const { payload } = request;
      const memory = request.kind === "write" ? this.#ports.writes : this.#ports.reads;
      payload.references++;
      this.#exposed.push(() => memory.release(payload));
    }
    this.#reply(request, errno);
  }

  #reply(request: Request, errno: Errno): void {
    count(this.counters, request, errno);
    if (request.kind !== "read" || errno !== 0) this.#releasePayload(request);
    this.#admission.left(request);
    request.requester.reply(request, errno);
  }

  #releasePayload(request: Request): void {
    if (request.payload === undefined) return;
    (request.kind === "write" ? this.#ports.writes : this.#ports.reads).release(request.payload);
    request.payload = undefined;
  }

  /** Tells whoever waits for the recovery, for quiet, or for the end. */
  #tellProgress(): void {
    if (this.#pumping) return;
    if (this.#running && this.#observer !== undefined && this.#reissued === 0 && this.#schedule.replays === 0) {
      const observer = this.#observer;
      this.#observer = undefined;
      observer.replayed();
    }
    if (this.#quiesced !== undefined && this.#submissions?.outstanding === 0 && !this.#flusher.wanted) {
      const quiesced = this.#quiesced;
      this.#quiesced = () => {};
      quiesced();
    }
    if (this.#drained !== undefined && this.unanswered === 0) {
      const drained = this.#drained;
      this.#drained = undefined;
      drained();
    }
  }
}

function count(counters: DeviceCounters, request: Request, errno: Errno): void {
  if (errno !== 0) counters.errors++;
  switch (request.kind) {
    case "read":
      counters.reads++;
      counters.readBytes += request.length;
      break;
    case "write":
      counters.writes++;
      counters.writtenBytes += request.length;
      break;
    case "zero":
      counters.zeroes++;
      break;
    case "trim":
      counters.trims++;
      break;
    case "flush":
      counters.flushes++;
      break;
    default:
      break;
  }
}
