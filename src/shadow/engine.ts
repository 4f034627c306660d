import { strict as assert } from "node:assert";
import { ERRNO, type Errno, errnoName } from "../block/errors.ts";
import { type Geometry, overlaps } from "../block/geometry.ts";
import type { Payload } from "../block/memory.ts";
import { isWriter, type Request } from "../block/request.ts";
import { type DeviceCounters, newCounters } from "./counters.ts";
import { Digests, type Range } from "./digests.ts";
import { Flusher } from "./flusher.ts";
import { type Home, IN_MEMORY, type Remains } from "./home.ts";
import type { DeviceLimits } from "./limits.ts";
import { Operation } from "./operation.ts";
import type { Piece } from "./piece-map.ts";
import type { AttachObserver, DevicePorts, DriverInfo, DriverRef, Link } from "./ports.ts";
import { Schedule } from "./schedule.ts";
import { Shadow } from "./shadow.ts";
import { StoreCheck } from "./store-check.ts";
import { StoreIdentity } from "./store-identity.ts";
import { type CompletionFault, Submissions } from "./submissions.ts";
import { type Suspicion, Trial } from "./trial.ts";
import { type LieCure, Verifier } from "./verifier.ts";
import type { InFlight } from "./watch.ts";

/** What the device hears from its engine. */
export interface EngineObserver {
  /** The end of a request. `exposed`: a lost incarnation that isn't reaped may still touch its memory. */
  finished(request: Request, errno: Errno, exposed: boolean): void;
  /** Memory or pieces were released. */
  released(): void;
  /** Whether writers wait for something to be released. */
  readonly writersWait: boolean;
  /** The home keeps nothing any more: what can't be kept is not acknowledged. */
  homeFailed(reason: string): void;
  /** What could be issued has been. */
  progressed(): void;
  /** So many operations were with two incarnations when they died: they will be tried alone. */
  suspected(count: number): void;
  /** A driver on probation answered with an error. Whether it has been given up for that: then the operation is for the next one. */
  erred(operation: Operation): boolean;
  /** A read found other data than was written. */
  lied(range: Range, cure: LieCure): void;
  /** An operation kills every incarnation that it is given to. Whether it is to be refused for that. */
  convicted(operation: Operation): boolean;
}

export interface EngineOptions {
  /** False for no shadow. */
  readonly retains: boolean;
  /** Whether reads are compared with what was written. */
  readonly verifies: boolean;
  /** The front's memory if left out. */
  readonly home?: Home | undefined;
  /** What was found there. */
  readonly remains?: Remains | undefined;
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
  readonly #home: Home;
  readonly #shadow: Shadow;
  readonly #schedule: Schedule;
  readonly #flusher: Flusher;

  readonly #identity: StoreIdentity;
  #check: StoreCheck | undefined;
  readonly #verifies: boolean;
  #verifier: Verifier | undefined;
  /** The incarnation that it is attached to; `#running` once it has proved to be the same store. */
  #submissions: Submissions | undefined;
  #running = false;
  /** Who attached it, until the replay is over. */
  #attached: AttachObserver | undefined;
  /** Requests of the recovery that are not answered; `#attached` is told at 0. */
  #reissued = 0;
  #arrivals = 0;
  /** `spent`: it keeps nothing any more, and the store has all that it was given. */
  #homeState: "well" | "failed" | "spent" = "well";
  /** Flush requests that the home answers. */
  readonly #syncing = new Set<Operation>();
  /** Refused pieces have been tried again for the flush that waits. */
  #refusedRetried = false;
  #pumping = false;
  /** Told when the next flush has ended. */
  #settled: (() => void)[] = [];
  #quiesced: (() => void) | undefined;
  /** `#quiesced` was told: the driver closes, and nothing is submitted to it any more. */
  #closing = false;
  readonly #trial: Trial;
  /** Where a client's read has gone well. */
  #readWell: number | undefined;
  /** The incarnation has executed something that was asked of it. */
  #fruitful = false;
  /** The judge's time, over incarnations. */
  #judgedTime = 0;
  /**
   * The shadow's mark when a writer was last refused: what that has left in the driver's cache no flush has covered since. Infinity
   * where a flush failed after that, since the driver may have forgotten that it has to write it.
   */
  #unsettledAt: number | undefined;
  /** What is told when the blocks are read that the store is to be known by. */
  #learned: (() => void) | undefined;

  constructor(ports: DevicePorts, limits: DeviceLimits, options: EngineOptions, observer: EngineObserver) {
    const { retains, verifies, home = IN_MEMORY, remains } = options;
    this.#home = home;
    this.#identity = new StoreIdentity(remains?.store);
    this.#verifies = verifies;
    this.#ports = ports;
    this.#limits = limits;
    this.#observer = observer;
    this.#shadow = new Shadow(
      {
        release: (payload) => ports.writes.release(payload),
        released: ({ offset, length, payload, start, contested }) => {
          if (!contested) this.#durable(offset, length, payload, start);
        },
        home,
      },
      retains,
    );
    this.#shadow.restore(remains?.pieces ?? []);
    home.observe({
      room: () => observer.released(),
      failed: (reason) => {
        this.#homeState = "failed";
        observer.homeFailed(reason);
      },
    });
    this.#schedule = new Schedule(this.#shadow);
    this.#flusher = new Flusher(ports.clock, limits, () => {
      if (this.#shadow.size > 0) this.#flusher.wantOwn();
      this.kick();
    });
    this.#trial = new Trial({
      clock: ports.clock,
      schedule: this.#schedule,
      shadow: this.#shadow,
      flusher: this.#flusher,
      control: (submissions, suspect) => this.#check?.control(submissions, this.geometry.size, suspect, this.#readWell),
      suspected: (count) => observer.suspected(count),
      kick: () => this.kick(),
    });
  }

  /** Known once the first incarnation has opened. */
  get geometry(): Geometry {
    return this.#identity.geometry;
  }

  /** Whether an incarnation has ever opened. */
  get opened(): boolean {
    return this.#identity.isKnown;
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

  /** Whether the last flushes have killed their drivers, and none has come back since. */
  get flushesKill(): boolean {
    return this.#flusher.kills;
  }

  /** What is with the driver, for the judge; `undefined` while there is none. */
  get inFlight(): InFlight | undefined {
    return this.#submissions;
  }

  /** Whether the incarnation, or the last one, has executed anything that was asked of it. */
  get fruitful(): boolean {
    return this.#fruitful;
  }

  /** Requests that have not ended. */
  get unanswered(): number {
    let flushes = 0;
    for (const waiter of this.#flusher.waiters) if (waiter.kind === "flush") flushes++;
    for (const waiter of this.#flusher.inFlight?.waiters ?? []) if (waiter.kind === "flush") flushes++;
    return this.#schedule.requests.length + flushes + this.#syncing.size;
  }

  // ── Requests ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes a request that the driver may be needed for; `kick` starts it. */
  add(request: Request): void {
    const operation = Operation.forRequest(request, ++this.#arrivals);
    if (request.kind === "flush") return this.#addFlush(operation);
    this.#changes(request);
    if (this.#running) this.#schedule.add(operation);
    else this.#schedule.park(operation);
  }

  /** Where the home is durable, what was acknowledged is there: no driver is needed. */
  #addFlush(flush: Operation): void {
    if (!this.#home.durable) return this.#flusher.add(flush);
    this.#syncing.add(flush);
    this.#home.sync((failed) => {
      this.#syncing.delete(flush);
      this.#finish(flush, failed ? ERRNO.EIO : 0);
      this.kick();
    });
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

  /** Ends every writer that is not with the driver. */
  refuseWriters(errno: Exclude<Errno, 0>): void {
    for (const operation of this.#schedule.requests.filter(({ writer, issued }) => writer && !issued))
      this.#finish(operation, errno);
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
    const much = size >= pieces * flushShare || Math.max(writes.fullness, this.#home.fullness) >= flushShare;
    const some = writes.usedBytes >= cheapFlushBytes && this.#flusher.isCheap;
    if (this.#shadow.doubts && (much || this.#observer.writersWait)) {
      const what = "the shadow is full: what has been flushed on probation can't be given back any more";
      this.#ports.log.warn(`${this.#ports.name}: ${what}`);
      this.#believe();
    }
    if (much || some || this.#observer.writersWait) this.#flusher.wantOwn();
  }

  // ── Incarnations ──────────────────────────────────────────────────────────────────────────────────────────────

  /** See {@link Device.attach}. */
  attach(link: Link, info: DriverInfo, driver: DriverRef, observer: AttachObserver): void {
    assert(this.#submissions === undefined, "the incarnation before is still there");
    const difference = this.#identity.come(driver, info);
    if (difference !== undefined) return observer.mismatch(difference);
    this.#check ??= new StoreCheck(info.geometry.blockSize, this.#ports.reads, this.#ports.random, this.#verifies);
    if (this.#verifies && !info.discards) {
      this.#verifier ??= this.#newVerifier(info.geometry.blockSize);
    }
    this.#attached = observer;
    this.#fruitful = false;
    // What the home makes durable the driver need not.
    const geometry = this.#home.durable ? { ...info.geometry, fua: false } : info.geometry;
    this.#submissions = new Submissions(link, geometry, this.#ports.writes.zeroes, this.#judgedTime);
    const mayKill = (offset: number, length: number): boolean =>
      this.#schedule.requests.some(
        (other) => other.charges !== undefined && overlaps(other.offset, other.length, offset, length),
      );
    if (info.discards || !this.#check.start(this.#submissions, driver, mayKill)) this.#run();
    else this.#submissions.kick();
  }

  #newVerifier(blockSize: number): Verifier {
    const { clock, random } = this.#ports;
    const digests = new Digests(blockSize, this.#limits.digestBytes, random);
    const verifier = new Verifier({
      digests,
      clock,
      shadow: this.#shadow,
      schedule: this.#schedule,
      counters: this.counters,
      writeAgain: (pieces) => this.#writeAgain(pieces),
      lied: (range, cure) => {
        // What the driver lies about doesn't make another store of it.
        this.#check?.forget(range.offset, range.length);
        this.#observer.lied(range, cure);
      },
    });
    for (const piece of this.#shadow.pieces) verifier.restored(piece);
    return verifier;
  }

  /** False if it wasn't attached. */
  detach(suspicion: Suspicion): boolean {
    if (this.#submissions === undefined) {
      this.#fruitful = false;
      if (suspicion.blame === "perhaps") this.#trial.acquitAll();
      return false;
    }
    const convicts = this.#trial.charge(this.#submissions, suspicion);
    // Each death with requests in hand brings the end of those that kill nearer: no reason to put off the next incarnation.
    if (suspicion.blame === "requests" && this.#schedule.requests.some(({ outstanding }) => outstanding > 0))
      this.#fruitful = true;
    this.#judgedTime = this.#submissions.now;
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
    this.#check?.lose(suspicion.blame !== "nobody");
    this.#flusher.lose();
    const written = this.#flusher.takeWriters();
    for (const waiter of this.#flusher.waiters) waiter.reissued = false;
    this.#shadow.lose();
    this.#schedule.lose();
    this.#trial.clear();
    this.#quiesced = undefined;
    this.#learned = undefined;
    this.#unsettledAt = undefined;
    this.#closing = false;
    for (const convict of convicts) this.#convict(convict, written);
    return true;
  }

  /** The incarnation last given up is gone for good. */
  reaped(): void {
    for (const request of this.#schedule.requests) request.exposed = false;
    this.#tellSettled();
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

  /** See {@link Device.settle}. */
  settle(settled: () => void): void {
    if (this.#running && this.#shadow.size > 0) this.#flusher.wantLast();
    // Where flushes kill, none is wanted.
    if (!this.#flusher.wanted && this.#flusher.inFlight === undefined) return settled();
    this.#settled.push(settled);
    this.kick();
  }

  /** See {@link Device.quiesce}. */
  quiesce(idle: () => void): void {
    this.#quiesced = idle;
    if (this.#shadow.size > 0) this.#flusher.wantLast();
    this.kick();
  }

  /**
   * Everything is at rest: reads blocks that the store is to be known by when another driver serves it. Where something may be lost
   * with this one, the store stays known by what it was.
   */
  learn(learned: () => void): void {
    const submissions = this.#submissions;
    if (submissions === undefined || this.#identity.discards || this.#unsettledAt !== undefined) return learned();
    const mayBeLost = (offset: number, length: number): boolean => this.#shadow.overlapping(offset, length).length > 0;
    this.#check?.learn(submissions, this.geometry.size, mayBeLost);
    for (const { request } of this.#schedule.requests) if (request !== undefined) this.#changes(request);
    if (this.#check?.busy !== true) return learned();
    this.#learned = learned;
    submissions.kick();
  }

  /** See {@link Device.doubt}. */
  doubt(): void {
    this.#shadow.doubt();
  }

  /** See {@link Device.believe}. */
  believe(): void {
    this.#believe();
  }

  /** The driver that serves has come to stay. */
  adopt(): void {
    this.#believe();
    this.#identity.adopt();
    if (!this.#running) return;
    this.#grow();
    this.#remember();
  }

  /** Nothing is written any more: what the shadow holds stays there, and writers get EPERM. */
  stopWriting(): void {
    for (const piece of this.#shadow.pieces) this.#shadow.withhold(piece, ERRNO.EPERM);
    this.refuseWriters(ERRNO.EPERM);
  }

  /** What was withheld from the driver is offered to the next one. */
  pardon(): void {
    this.#shadow.offerAll();
    this.#trial.pardon();
  }

  dispose(): void {
    this.#flusher.dispose();
    this.#trial.dispose();
  }

  // ── The pump ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** The same store has come back. */
  #run(): void {
    this.#running = true;
    this.#identity.proven();
    this.#trial.begin();
    this.#grow();
    this.#remember();
    this.#shadow.invalidate();
    this.#rebuild();
    for (const request of this.#schedule.requests) if (!request.keeping) this.#partOfRecovery(request);
    for (const waiter of this.#flusher.waiters) this.#partOfRecovery(waiter);
    // An own flush that was lost with the last incarnation is wanted by nobody else.
    if (this.#shadow.size > 0) this.#flusher.holdsPieces();
    this.kick();
  }

  #grow(): void {
    const before = this.#identity.grow();
    if (before === undefined) return;
    this.#ports.log.info(`${this.#ports.name}: it has grown from ${before} to ${this.geometry.size} bytes`);
  }

  #remember(): void {
    if (this.#submissions !== undefined) this.#home.remember(this.#identity.knowledge(this.#submissions.epoch));
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
      const operation = this.#trial.next(submissions, this.#quiesced === undefined, this.#flushIsNext);
      if (operation === undefined) break;
      if (!operation.issued) operation.begin(this.#shadow.generation, this.#identity.can);
      if (!operation.allIssued) submissions.issue(operation);
      if (operation !== this.#trial.current) this.#schedule.taken(operation);
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
    if (this.#trial.isControl(operation)) return;
    const { errno } = operation;
    if (errno !== 0 && this.#shadow.doubts && this.#hasErred(operation)) return;
    if (operation === this.#flusher.inFlight?.operation) return this.#flushed(operation.errno);
    const { request } = operation;
    if (request === undefined && operation.piece === undefined) return this.#checked(operation);
    this.#fruitful = true;
    // Where zeroes have to be written instead, the same operation goes on.
    const goesOn = operation.kind === "zero" && errno === ERRNO.ENOTSUP && !operation.writesZeroes;
    if (!goesOn || request?.fast === true) this.#trial.completed(operation);
    if (operation.piece !== undefined) return this.#replayed(operation);
    if (request === undefined) return;
    if (!operation.writer) return this.#read(operation, request);
    if (errno !== 0) return this.#refused(operation, request);
    if (!request.fua || this.#home.durable) return this.#acknowledge(operation, false);
    if (this.#submissions?.makesDurable(operation) === true) return this.#acknowledge(operation, true);
    if (operation.generation !== this.#shadow.generation) {
      // A flush failed meanwhile; what was written before is not to be relied on.
      operation.reset();
      this.#rebuild();
      return;
    }
    operation.flushing = true;
    this.#flusher.add(operation);
  }

  /** On probation: the driver before it may do better, and the client need not know. What can't be done at all is no failure. */
  #hasErred(operation: Operation): boolean {
    const { request, piece, kind, errno } = operation;
    const wasAsked = request !== undefined || piece !== undefined || kind === "flush";
    return wasAsked && errno !== ERRNO.ENOTSUP && this.#observer.erred(operation);
  }

  /** A reader is back: the shadow has the last word on what it is told. */
  #read(operation: Operation, request: Request): void {
    let errno = operation.errno;
    if (errno === 0 && this.#verifier !== undefined) {
      const verdict = this.#verifier.verify(operation, request);
      if (verdict === "not yet") return;
      errno = verdict;
    }
    const { offset, length, payload } = request;
    if (operation.errno === 0) this.#readWell = offset;
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
    this.#unsettledAt = this.#shadow.mark();
    if (request.fua) this.#syncFailed();
    this.#finish(operation, errno);
  }

  #writeZeroes(operation: Operation): void {
    this.#schedule.again(operation);
    operation.writesZeroes = true;
  }

  #acknowledge(operation: Operation, durable: boolean): void {
    const unexecuted = this.#shadow.acknowledge(operation, durable);
    if (operation.request !== undefined) this.#verifier?.acknowledged(operation.request);
    if (durable) this.#durable(operation.offset, operation.length, operation.payload, 0, operation);
    if (this.#shadow.size > 0) this.#flusher.holdsPieces();
    this.makeRoom();
    if (unexecuted.length > 0) this.#schedule.addReplays(unexecuted);
    this.#keep(operation);
  }

  /**
   * Answers a writer once the home keeps it. Until then it stays in its place: nobody reads what might be gone after the front's
   * death. No loss of an incarnation concerns it any more.
   */
  #keep(operation: Operation): void {
    const home = this.#home;
    const isSynced = home.durable && operation.request?.fua === true;
    if (home.immediate && !isSynced) return this.#finish(operation, 0);
    operation.keeping = true;
    const done = (failed: boolean): void => {
      operation.keeping = false;
      this.#finish(operation, failed ? ERRNO.EIO : 0);
      this.kick();
    };
    if (isSynced) home.sync(done);
    else home.kept(done);
  }

  /** The blocks that the store is known by may hold something else soon. */
  #changes(request: Request): void {
    if (isWriter(request.kind)) this.#check?.changes(request);
  }

  /** A range that a piece, or `writer`, has written is durable: a block of it may serve to know the store by. */
  #durable(offset: number, length: number, payload: Payload | undefined, position: number, writer?: Operation): void {
    // What a newcomer on probation says of itself proves nothing of the store.
    if (payload === undefined || this.#shadow.doubts || this.#check?.wants(offset, length) !== true) return;
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

  /** It kills. Never acknowledged, it is refused; a piece stays in the shadow, and is not offered to the driver any more. */
  #convict(operation: Operation, written: readonly Operation[]): void {
    if (!this.#observer.convicted(operation)) return;
    this.counters.convictions++;
    const { request, piece } = operation;
    if (piece !== undefined) {
      if (piece.gone) return;
      // A trim that the driver refuses has had its effect: the sectors are unspecified.
      if (piece.kind === "trim") this.#shadow.giveUp(piece);
      else this.#shadow.withhold(piece, ERRNO.EIO);
    } else if (request === undefined) {
      this.#flusher.convicted();
      for (const writer of written) {
        this.#shadow.contest(writer.offset, writer.length);
        this.#finish(writer, ERRNO.EIO);
      }
      this.refuseFlushes(ERRNO.EIO);
    } else {
      if (operation.writer) this.#shadow.contest(request.offset, request.length);
      this.#finish(operation, ERRNO.EIO);
    }
  }

  #checked(operation: Operation): void {
    const mismatch = this.#check?.finished(operation);
    if (mismatch !== undefined) return this.#attached?.mismatch(mismatch);
    if (this.#check?.busy !== false) return;
    if (this.#learned === undefined) return this.#run();
    this.#learned();
    this.#learned = undefined;
  }

  // ── Flushes ───────────────────────────────────────────────────────────────────────────────────────────────────

  #submitFlush(): void {
    const submissions = this.#submissions;
    if (submissions === undefined || !this.#running || this.#closing || !this.#flushIsNext) return;
    if (!submissions.hasRoomFor(1)) return;
    if (!this.#trial.mayFlush(submissions)) return;
    if (this.#shadow.refused > 0 && !this.#refusedRetried) {
      this.#refusedRetried = true;
      this.#schedule.retryRefused();
      return this.#pump();
    }
    const clients = this.#flusher.waiters.length;
    const flush = this.#flusher.start(this.#shadow.generation, this.#shadow.mark(), this.#shadow.refused === 0);
    if (clients === 0) this.counters.ownFlushes++;
    flush.operation.issued = true;
    submissions.issue(flush.operation);
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
      if (writers.length > 0) this.#unsettledAt = this.#shadow.mark();
      this.#syncFailed();
      for (const waiter of flush.waiters) this.#finish(waiter, errno);
    } else if (flush.generation !== this.#shadow.generation) {
      // A FUA write failed while this one was on its way: it proves nothing.
      this.#flusher.requeue(flush.waiters);
    } else {
      const { size } = this.#shadow;
      this.#shadow.release(flush.mark);
      this.#home.released();
      if (this.#unsettledAt !== undefined && this.#unsettledAt < flush.mark) this.#unsettledAt = undefined;
      // Who waits for room waits in vain where all that is left is refused.
      if (this.#shadow.size < size) this.#observer.released();
      for (const writer of writers) this.#acknowledge(writer, true);
      for (const waiter of flushes) this.#finish(waiter, flush.covers ? 0 : ERRNO.EIO);
    }
    if (this.#shadow.size > 0) this.#flusher.holdsPieces();
    this.makeRoom();
    this.#tellSettled();
  }

  #tellSettled(): void {
    const all = this.#settled;
    this.#settled = [];
    for (const settled of all) settled();
  }

  /**
   * A flush or a FUA write failed: the driver may have thrown away anything that was not durable, and will not say so
   * again. All of it, and what is in flight, counts as unexecuted.
   */
  #syncFailed(): void {
    if (this.#unsettledAt !== undefined) this.#unsettledAt = Number.POSITIVE_INFINITY;
    this.#shadow.invalidate();
    for (const writer of this.#flusher.takeWriters()) writer.reset();
    this.#rebuild();
  }

  /** The driver may not have executed these pieces, whatever it says. */
  #writeAgain(pieces: readonly Piece[]): void {
    const waitsForFlush = this.#schedule.requests.some(
      ({ issued, request, offset, length }) =>
        issued &&
        !this.#home.durable &&
        request?.fua === true &&
        pieces.some((piece) => overlaps(offset, length, piece.offset, piece.length)),
    );
    // The replays would wait for that writer, and it, perhaps, for a flush, which waits for every replay.
    if (waitsForFlush) return this.#syncFailed();
    for (const piece of pieces) this.#shadow.distrust(piece);
    this.#schedule.addReplays(pieces);
  }

  #rebuild(): void {
    this.#schedule.rebuild();
    this.#trial.rebuilt();
  }

  /** The driver's flushes count, those of its probation too. */
  #believe(): void {
    if (!this.#shadow.doubts) return;
    this.#shadow.believe();
    this.#home.released();
    this.#observer.released();
  }

  // ── Ends ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The end of a request's operation: everything is in order again before the reply, which may call back in here. */
  #finish(operation: Operation, errno: Errno): void {
    const request = operation.request;
    assert(request !== undefined);
    if (errno !== 0 && operation.writer && operation.everIssued) this.#verifier?.failed(request);
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
    if (this.#homeState === "failed" && this.#shadow.size === 0) {
      this.#homeState = "spent";
      this.#home.spent?.();
    }
    this.#observer.progressed();
  }
}
