import { strict as assert } from "node:assert";
import { ERRNO, type Errno, errnoName } from "../block/errors.ts";
import { type Geometry, overlaps } from "../block/geometry.ts";
import type { Payload } from "../block/memory.ts";
import type { Request } from "../block/request.ts";
import { type DeviceCounters, newCounters } from "./counters.ts";
import { Flusher } from "./flusher.ts";
import type { DeviceLimits } from "./limits.ts";
import { Operation } from "./operation.ts";
import type { Piece } from "./piece-map.ts";
import type { AttachObserver, DevicePorts, DriverInfo, Link } from "./ports.ts";
import { Schedule } from "./schedule.ts";
import { Shadow } from "./shadow.ts";
import { differenceOf, StoreCheck } from "./store-check.ts";
import { type CompletionFault, Submissions } from "./submissions.ts";

/** What the device hears from its engine. */
export interface EngineObserver {
  /** The end of a request. `exposed`: a lost incarnation that isn't reaped may still touch its memory. */
  finished(request: Request, errno: Errno, exposed: boolean): void;
  /** Memory or pieces were released. */
  released(): void;
  /** Whether writers wait for something to be released. */
  readonly writersWait: boolean;
  /** What could be issued has been. */
  progressed(): void;
}

/**
 * What the device does on its driver: requests in order, replays, flushes. It is in one of three phases:
 *
 *   detached ──attach──▶ checking ──same store──▶ running
 *      ▲                    │                        │
 *      └───────detach───────┴────────────────────────┘
 *
 * Invariants, beside those of the shadow and the schedule:
 * - A running engine's unexecuted piece has a replay, or was refused.
 * - No flush is submitted while a replay is outstanding, and never two are in flight.
 * - A request is in the schedule from `add` until its end; a flush request is with the flusher.
 */
export class Engine {
  readonly counters: DeviceCounters = newCounters();
  readonly #ports: DevicePorts;
  readonly #limits: DeviceLimits;
  readonly #observer: EngineObserver;
  readonly #shadow: Shadow;
  readonly #schedule: Schedule;
  readonly #flusher: Flusher;

  #info: DriverInfo | undefined;
  /** Bytes of the store of the incarnation that it is attached to. */
  #size = 0;
  #check: StoreCheck | undefined;
  /** The incarnation that it is attached to; `#running` once it has proved to be the same store. */
  #submissions: Submissions | undefined;
  #running = false;
  /** Who attached it, until the replay is over. */
  #attached: AttachObserver | undefined;
  /** Requests of the recovery that are not answered; `#attached` is told at 0. */
  #reissued = 0;
  #arrivals = 0;
  /** Refused pieces have been tried again for the flush that waits. */
  #refusedRetried = false;
  #pumping = false;
  #quiesced: (() => void) | undefined;
  /** `#quiesced` was told: the driver closes, and nothing is submitted to it any more. */
  #closing = false;

  /** `retains`: false for no shadow. */
  constructor(ports: DevicePorts, limits: DeviceLimits, retains: boolean, observer: EngineObserver) {
    this.#ports = ports;
    this.#limits = limits;
    this.#observer = observer;
    this.#shadow = new Shadow(
      {
        release: (payload) => ports.writes.release(payload),
        released: ({ offset, length, payload, start, contested }) => {
          if (!contested) this.#durable(offset, length, payload, start);
        },
      },
      retains,
    );
    this.#schedule = new Schedule(this.#shadow);
    this.#flusher = new Flusher(ports.clock, limits, () => {
      if (this.#shadow.size > 0) this.#flusher.wantOwn();
      this.kick();
    });
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

  /** The pieces that the shadow holds, in order of their offsets. */
  get pieces(): Iterable<Readonly<Piece>> {
    return this.#shadow.pieces;
  }

  get pieceCount(): number {
    return this.#shadow.size;
  }

  /** Of these, those that the driver refuses to take. */
  get refusedPieces(): number {
    return this.#shadow.refused;
  }

  /** Requests that have not ended. */
  get unanswered(): number {
    let flushes = 0;
    for (const waiter of this.#flusher.waiters) if (waiter.kind === "flush") flushes++;
    for (const waiter of this.#flusher.inFlight?.waiters ?? []) if (waiter.kind === "flush") flushes++;
    return this.#schedule.requests.length + flushes;
  }

  // ── Requests ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes a request that the driver may be needed for; `kick` starts it. */
  add(request: Request): void {
    const operation = Operation.forRequest(request, ++this.#arrivals);
    if (request.kind === "flush") return this.#flusher.add(operation);
    if (operation.writer) this.#check?.changes(request);
    if (this.#running) this.#schedule.add(operation);
    else this.#schedule.park(operation);
  }

  /** Goes on with what the last requests, or completions, made possible. */
  kick(): void {
    if (this.#running) this.#pump();
    this.#submissions?.kick();
    this.#tellProgress();
  }

  /** Ends every request that is not with the driver, and all flushes. */
  refuse(errno: Exclude<Errno, 0>): void {
    for (const operation of this.#schedule.requests.filter((request) => !request.issued))
      this.#finish(operation, errno);
    this.refuseFlushes(errno);
  }

  refuseFlushes(errno: Exclude<Errno, 0>): void {
    for (const waiter of this.#flusher.takeFlushes()) this.#finish(waiter, errno);
  }

  /** Wants an own flush when the shadow holds much, or somebody waits for what it holds. */
  makeRoom(): void {
    const { size } = this.#shadow;
    if (size === 0) return;
    const { pieces, flushShare, cheapFlushBytes } = this.#limits;
    const { writes } = this.#ports;
    const much = size >= pieces * flushShare || writes.fullness >= flushShare;
    const some = writes.usedBytes >= cheapFlushBytes && this.#flusher.isCheap;
    if (much || some || this.#observer.writersWait) this.#flusher.wantOwn();
  }

  // ── Incarnations ──────────────────────────────────────────────────────────────────────────────────────────────

  /** See {@link Device.attach}. */
  attach(link: Link, info: DriverInfo, observer: AttachObserver): void {
    assert(this.#submissions === undefined, "the incarnation before is still there");
    const difference = this.#info === undefined ? undefined : differenceOf(this.#info, info);
    if (difference !== undefined) return observer.mismatch(difference);
    this.#info ??= info;
    this.#check ??= new StoreCheck(info.geometry.blockSize, this.#ports.reads, this.#ports.random);
    this.#attached = observer;
    this.#size = info.geometry.size;
    this.#submissions = new Submissions(link, info.geometry, this.#ports.writes.zeroes);
    if (info.discards || !this.#check.start(this.#submissions)) this.#run();
    else this.#submissions.kick();
  }

  /** False if it wasn't attached. */
  detach(): boolean {
    if (this.#submissions === undefined) return false;
    this.#running = false;
    this.#submissions = undefined;
    this.#attached = undefined;
    this.#reissued = 0;
    this.#refusedRetried = false;
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
    this.#closing = false;
    return true;
  }

  /** The incarnation last given up is gone for good. */
  reaped(): void {
    for (const request of this.#schedule.requests) request.exposed = false;
  }

  /** See {@link Device.complete}. */
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

  /** See {@link Device.quiesce}. */
  quiesce(idle: () => void): void {
    this.#quiesced = idle;
    if (this.#shadow.size > 0) this.#flusher.wantOwn();
    this.kick();
  }

  dispose(): void {
    this.#flusher.dispose();
  }

  // ── The pump ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** The same store has come back. */
  #run(): void {
    this.#running = true;
    this.#grow();
    this.#shadow.invalidate();
    this.#schedule.rebuild();
    for (const request of this.#schedule.requests) this.#partOfRecovery(request);
    for (const waiter of this.#flusher.waiters) this.#partOfRecovery(waiter);
    this.kick();
  }

  /** A store that has grown makes a larger device. What a client was told of its size stays true. */
  #grow(): void {
    const { geometry } = this;
    if (this.#info === undefined || this.#size <= geometry.size) return;
    this.#ports.log.info(`${this.#ports.name}: it has grown from ${geometry.size} to ${this.#size} bytes`);
    this.#info = { ...this.#info, geometry: { ...geometry, size: this.#size } };
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
      if (submissions === undefined || this.#closing || !submissions.hasRoomFor(this.#flushIsNext ? 2 : 1)) break;
      const operation = this.#schedule.next(this.#quiesced === undefined);
      if (operation === undefined) break;
      if (!operation.issued) operation.begin(this.#shadow.generation, this.geometry);
      if (!operation.allIssued) submissions.issue(operation);
      this.#schedule.taken(operation);
      if (operation.allIssued && operation.outstanding === 0) this.#executed(operation);
    }
    this.#pumping = false;
    this.#submitFlush();
  }

  /** A flush could be submitted: the last place is kept for it, or whoever always has more to do would keep it waiting. */
  get #flushIsNext(): boolean {
    return this.#flusher.wanted && this.#schedule.replays === 0;
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
    // A part of it may have had its effect.
    this.#shadow.contest(request.offset, request.length);
    if (request.kind === "zero" && request.fast && errno === ERRNO.ENOTSUP) return this.#finish(operation, errno);
    this.counters.refusedWrites++;
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
    if (durable) this.#durable(operation.offset, operation.length, operation.payload, 0, operation);
    if (this.#shadow.size > 0) this.#flusher.holdsPieces();
    this.makeRoom();
    if (unexecuted.length > 0) this.#schedule.addReplays(unexecuted);
    this.#finish(operation, 0);
  }

  /** A range that a piece, or `writer`, has written is durable: a block of it may serve to know the store by. */
  #durable(offset: number, length: number, payload: Payload | undefined, position: number, writer?: Operation): void {
    if (payload === undefined || this.#check?.wants(offset, length) !== true) return;
    // What another writer may have changed says nothing about the store.
    if (!this.#schedule.hasWriter(offset, length, writer)) this.#check.durable(offset, length, payload, position);
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
      // One line for all that it refuses in a row: there may be as many as there are pieces.
      if (this.#shadow.refused === 0) {
        this.#ports.log.error(
          `${this.#ports.name}: the driver refused an acknowledged write (${errnoName(replay.errno)}): ` +
            `${piece.length} bytes at ${piece.offset}, and what else it refuses, are served from the shadow`,
        );
      }
      return this.#shadow.refuse(piece, replay.errno);
    }
    // A trim that the driver refuses has had its effect: the sectors are unspecified.
    this.counters.replayedPieces++;
    this.#shadow.executed(piece, replay.generation);
    if (!this.#shadow.isExecuted(piece)) this.#schedule.addReplays([piece]);
  }

  #checked(operation: Operation): void {
    const mismatch = this.#check?.finished(operation);
    if (mismatch !== undefined) this.#attached?.mismatch(mismatch);
    else if (this.#check?.busy === false) this.#run();
  }

  // ── Flushes ───────────────────────────────────────────────────────────────────────────────────────────────────

  #submitFlush(): void {
    const submissions = this.#submissions;
    if (submissions === undefined || !this.#running || this.#closing || !this.#flushIsNext) return;
    if (!submissions.hasRoomFor(1)) return;
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
      this.#ports.log.warn(
        `${this.#ports.name}: a flush failed (${errnoName(errno)}); what it covered is written again`,
      );
      for (const writer of writers) this.#shadow.contest(writer.offset, writer.length);
      this.#syncFailed();
      for (const waiter of flush.waiters) this.#finish(waiter, errno);
    } else if (flush.generation !== this.#shadow.generation) {
      // A FUA write failed while this one was on its way: it proves nothing.
      this.#flusher.requeue(flush.waiters);
    } else {
      this.#shadow.release(flush.mark);
      this.#observer.released();
      for (const writer of writers) this.#acknowledge(writer, true);
      for (const waiter of flushes) this.#finish(waiter, flush.covers ? 0 : ERRNO.EIO);
    }
    if (this.#shadow.size > 0) this.#flusher.holdsPieces();
    this.makeRoom();
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

  // ── Ends ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The end of a request's operation: everything is in order again before the reply, which may call back in here. */
  #finish(operation: Operation, errno: Errno): void {
    const request = operation.request;
    assert(request !== undefined);
    if (operation.reissued) this.#reissued--;
    if (operation.activeIndex !== -1) this.#schedule.done(operation);
    this.#observer.finished(request, errno, operation.exposed);
  }

  /** Tells whoever waits for the recovery, for quiet, or for the end. */
  #tellProgress(): void {
    if (this.#pumping) return;
    if (this.#running && this.#attached !== undefined && this.#reissued === 0 && this.#schedule.replays === 0) {
      const attached = this.#attached;
      this.#attached = undefined;
      attached.replayed();
    }
    const quiet = this.#submissions?.outstanding === 0 && !this.#flusher.wanted;
    if (this.#quiesced !== undefined && !this.#closing && quiet) {
      this.#closing = true;
      this.#quiesced();
    }
    this.#observer.progressed();
  }
}
