import { strict as assert } from "node:assert";
import { ERRNO, type Errno } from "../block/errors.ts";
import type { Geometry } from "../block/geometry.ts";
import type { Payload } from "../block/memory.ts";
import { isWriter, type Request } from "../block/request.ts";
import { Admission } from "./admission.ts";
import { countReply, type DeviceCounters } from "./counters.ts";
import type { Range } from "./digests.ts";
import { Engine } from "./engine.ts";
import { type Home, IN_MEMORY, type Remains } from "./home.ts";
import { DEFAULT_LIMITS, type DeviceLimits } from "./limits.ts";
import type { Operation } from "./operation.ts";
import type { Piece } from "./piece-map.ts";
import type { AttachObserver, BlockDevice, DevicePorts, DriverInfo, DriverRef, Link } from "./ports.ts";
import type { CompletionFault } from "./submissions.ts";
import type { Suspicion } from "./trial.ts";
import type { LieCure } from "./verifier.ts";
import type { InFlight } from "./watch.ts";

/** What the device finds out about its driver. */
export interface DeviceObserver {
  /** So many requests and pieces were with two incarnations when they died: they are going to be tried alone. */
  suspected(count: number): void;
  /** A driver on probation answered with an error. Whether it has been given up for that. */
  erred(operation: Operation["kind"], errno: Errno): boolean;
  /** A read found other data than was written. */
  lied(range: Range, cure: LieCure): void;
  /** One of them kills every incarnation that it is given to. Whether it is to be refused for that, with EIO. */
  convicted(convict: Convict): boolean;
}

export interface DeviceOptions {
  /** False for no shadow. */
  readonly retains?: boolean;
  /** Whether what is read is compared with what was written, as far as that is known. */
  readonly verify?: "digests" | undefined;
  /** Where the shadow lives beyond this process, and what was found there; in this process's memory alone if left out. */
  readonly home?: Home | undefined;
  readonly remains?: Remains | undefined;
}

export interface Convict {
  readonly operation: Operation["kind"];
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
  /** It is a piece of the shadow, and stays there. */
  readonly acknowledged: boolean;
}

/** One device as its clients see it: who may come in, and the one reply to each request. The rest is its engine's. */
export class Device implements BlockDevice {
  readonly name: string;
  readonly counters: DeviceCounters;
  readonly reads: { release(payload: Payload): void };

  readonly #ports: DevicePorts;
  readonly #admission: Admission;
  readonly #engine: Engine;
  #drained: (() => void) | undefined;
  #stallReason: string | undefined;
  /** Memory that a lost incarnation may touch until it is reaped, of requests that have been answered. */
  #exposed: (() => void)[] = [];
  #reapPending = false;
  #observer: DeviceObserver | undefined;
  /** Why nothing is written any more. */
  #writesStopped: string | undefined;
  /** Why nothing is acknowledged any more that would have to be kept. */
  #homeFailure: string | undefined;

  constructor(ports: DevicePorts, limits: Partial<DeviceLimits> = {}, options: DeviceOptions = {}) {
    this.name = ports.name;
    this.#ports = ports;
    const allLimits = { ...DEFAULT_LIMITS, ...limits };
    const { retains = true, verify, home = IN_MEMORY, remains } = options;
    const admission = new Admission(
      {
        clock: ports.clock,
        writes: ports.writes,
        reads: ports.reads,
        home,
        pieces: () => this.#engine.pieceCount,
        shortOfRoom: () => {
          this.#engine.makeRoom();
          this.kick();
        },
        shortOfReads: () => ports.shortOfReads(),
        cutOffIdleWriters: () => ports.cutOffIdleWriters(),
        stalled: (reason) => this.#stall(reason),
      },
      allLimits,
    );
    this.#admission = admission;
    this.#engine = new Engine(
      ports,
      allLimits,
      { retains, verifies: verify === "digests", home, remains },
      {
        finished: (request, errno, exposed) => this.#finished(request, errno, exposed),
        released: () => admission.released(),
        get writersWait() {
          return admission.writersWait;
        },
        homeFailed: (reason) => this.#homeFailed(reason),
        progressed: () => this.#tellDrained(),
        erred: ({ kind, errno }) => this.#observer?.erred(kind, errno) ?? false,
        lied: (range, cure) => this.#observer?.lied(range, cure),
        suspected: (count) => this.#observer?.suspected(count),
        convicted: ({ kind, offset, length, piece }) =>
          this.#observer?.convicted({ operation: kind, offset, length, acknowledged: piece !== undefined }) ?? true,
      },
    );
    this.counters = this.#engine.counters;
    this.reads = {
      release: (payload) => {
        ports.reads.release(payload);
        this.#admission.serveSoon();
      },
    };
  }

  /** Known once the first incarnation has opened. */
  get geometry(): Geometry {
    return this.#engine.geometry;
  }

  /** Whether an incarnation has ever opened. */
  get opened(): boolean {
    return this.#engine.opened;
  }

  /** What the shadow holds. `bytes`: memory taken by writes, in slots, in flight or retained. */
  get shadow(): { pieces: number; bytes: number; limitBytes: number } {
    const { writes } = this.#ports;
    return { pieces: this.#engine.pieceCount, bytes: writes.usedBytes, limitBytes: writes.limitBytes };
  }

  /** The pieces of the shadow, in order of their offsets. */
  shadowPieces(): Iterable<Readonly<Piece>> {
    return this.#engine.pieces;
  }

  /** Requests without a reply. */
  get unanswered(): number {
    return this.#engine.unanswered;
  }

  /** What is with the driver, for the judge; `undefined` while there is none. */
  get inFlight(): InFlight | undefined {
    return this.#engine.inFlight;
  }

  /** Whether the incarnation, or the last one, has executed anything that was asked of it. */
  get fruitful(): boolean {
    return this.#engine.fruitful;
  }

  /** Why the device is degraded; `undefined` while it isn't. */
  get trouble(): string | undefined {
    const { refusedPieces } = this.#engine;
    if (this.#homeFailure !== undefined) return this.#homeFailure;
    if (this.#writesStopped !== undefined) return this.#writesStopped;
    if (refusedPieces > 0)
      return `the driver refuses ${refusedPieces} acknowledged pieces, which are served from the shadow`;
    if (this.#engine.flushesKill) return "the driver dies of flushes: what is acknowledged stays in the shadow";
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
    // It gets no reply: its connection ends with this front, and the next one is asked again.
    if (this.#admission.holding) return this.abandon(request);
    if (this.#admission.refusingWriters !== 0 && isWriter(request.kind))
      return this.#reply(request, this.#admission.refusingWriters);
    const nothingToDo = request.kind === "flush" ? this.geometry.readOnly : request.length === 0;
    if (nothingToDo) return this.#reply(request, 0);
    if (request.fast && !this.geometry.zero) return this.#reply(request, ERRNO.ENOTSUP);
    this.#engine.add(request);
  }

  /** A batch, of requests or of completions, is over: goes on with what it made possible. */
  kick(): void {
    this.#engine.kick();
  }

  // ── Incarnations ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Who is told what the device finds out about its driver. */
  observe(observer: DeviceObserver): void {
    this.#observer = observer;
  }

  /** Takes a new incarnation of `driver`: finds out whether it is the same store, replays, re-issues, goes on. */
  attach(link: Link, info: DriverInfo, driver: DriverRef, observer: AttachObserver): void {
    assert(!this.#reapPending, "the incarnation before is not reaped");
    this.#engine.attach(link, info, driver, observer);
  }

  /**
   * Gives the incarnation up: nothing that it does counts any more. What it has in hand is not used again until it is
   * `reaped`. `suspicion`: what may have been the cause.
   */
  detach(suspicion: Suspicion): void {
    if (this.#engine.detach(suspicion)) this.#reapPending = true;
  }

  /** The incarnation last given up is gone for good: the memory that it had in hand may be used again. */
  reaped(): void {
    this.#reapPending = false;
    this.#engine.reaped();
    for (const release of this.#exposed) release();
    this.#exposed = [];
    this.#admission.serveSoon();
  }

  /** A completion as it came off the link. Returns what is wrong with it, if anything is; then it has had no effect. */
  complete(epoch: number, tag: number, errno: number, count: number): CompletionFault | undefined {
    return this.#engine.complete(epoch, tag, errno, count);
  }

  /**
   * Has the driver flush what is held, while requests go on: the last flush has less to do then, for which everybody waits. `settled` is
   * called when a flush has ended, well or not, or the incarnation is gone; at once where there is nothing to flush.
   */
  settle(settled: () => void): void {
    this.#engine.settle(settled);
  }

  /**
   * Starts no new request; `idle` is called when nothing is with the driver and a flush has been tried. What comes
   * after that, flushes too, is for the next incarnation. Ends with `detach`.
   */
  quiesce(idle: () => void): void {
    this.#engine.quiesce(idle);
  }

  /** After `idle`: reads blocks all over the store, to know it by when another driver serves it. */
  learn(learned: () => void): void {
    this.#engine.learn(learned);
  }

  /**
   * A newcomer is on probation: what it makes durable is kept all the same, as far as there is room, so that it can be replayed on
   * another driver. Until `believe`.
   */
  doubt(): void {
    this.#engine.doubt();
  }

  believe(): void {
    this.#engine.believe();
    this.kick();
  }

  /** The newcomer has proved itself: it is believed, and a larger store makes a larger device. */
  adopt(): void {
    this.#engine.adopt();
    this.kick();
  }

  /** Nothing is written any more: writers get EPERM, what the shadow holds stays there, reads go on. Until `pardon`. */
  stopWriting(reason: string): void {
    this.#writesStopped = reason;
    this.#admission.refusingWriters = ERRNO.EPERM;
    this.#admission.serveSoon();
    this.#engine.stopWriting();
  }

  /** Forgets what speaks against requests and pieces: another driver is tried, or the same one once more. */
  pardon(): void {
    this.#writesStopped = undefined;
    this.#admission.refusingWriters = this.#homeFailure === undefined ? 0 : ERRNO.EIO;
    this.#engine.pardon();
  }

  /**
   * Answers with an error at once what waits and what comes, while the device is held or has failed. Acknowledged
   * pieces stay. Requests that are with a living driver run to their end. Until `serveAgain`.
   */
  refuse(errno: Exclude<Errno, 0>): void {
    this.#admission.refusing = errno;
    this.#engine.refuse(errno);
    this.#admission.serveSoon();
    this.kick();
  }

  serveAgain(): void {
    this.#admission.refusing = 0;
  }

  /**
   * Refuses new requests with ESHUTDOWN, or, with `holds`, answers them nothing: another front will. `drained` is called when all the
   * others have been answered.
   */
  drain(holds: boolean, drained: () => void): void {
    if (holds) this.#admission.holding = true;
    else this.#admission.refusing = ERRNO.ESHUTDOWN;
    this.#drained = drained;
    this.#admission.serveSoon();
    this.kick();
  }

  /** Stops every timer. Nothing may be asked of it any more. */
  dispose(): void {
    this.#engine.dispose();
    this.#admission.dispose();
  }

  /** The home is out of order: what the shadow holds goes on to the store, but nothing comes to it any more. */
  #homeFailed(reason: string): void {
    this.#homeFailure = reason;
    this.#ports.log.error(`${this.name}: ${reason}: writes and flushes get EIO`);
    this.#admission.refusingWriters = ERRNO.EIO;
    this.#admission.serveSoon();
    this.#engine.refuseWriters(ERRNO.EIO);
    this.kick();
  }

  /** A limit is reached and nothing can be released. */
  #stall(reason: string): void {
    this.#stallReason = reason;
    this.#ports.log.error(`${this.name}: ${reason}: writes and flushes get EIO until it can`);
    this.#engine.refuseFlushes(ERRNO.EIO);
  }

  // ── Replies ───────────────────────────────────────────────────────────────────────────────────────────────────

  #finished(request: Request, errno: Errno, exposed: boolean): void {
    const { payload } = request;
    if (exposed && payload !== undefined) {
      const memory = request.kind === "write" ? this.#ports.writes : this.#ports.reads;
      payload.references++;
      this.#exposed.push(() => memory.release(payload));
    }
    this.#reply(request, errno);
  }

  #reply(request: Request, errno: Errno): void {
    countReply(this.counters, request, errno);
    if (request.kind !== "read" || errno !== 0) this.#releasePayload(request);
    this.#admission.left(request);
    request.requester.reply(request, errno);
  }

  #releasePayload(request: Request): void {
    if (request.payload === undefined) return;
    (request.kind === "write" ? this.#ports.writes : this.#ports.reads).release(request.payload);
    request.payload = undefined;
  }

  #tellDrained(): void {
    if (this.#drained === undefined || this.unanswered > 0) return;
    const drained = this.#drained;
    this.#drained = undefined;
    drained();
  }
}
