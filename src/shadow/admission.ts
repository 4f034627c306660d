import { ERRNO, type Errno } from "../block/errors.ts";
import { MAX_SLOT_BYTES, type Memory } from "../block/memory.ts";
import { isWriter, type Request } from "../block/request.ts";
import type { Home } from "./home.ts";
import { type Clock, EXTENTS_SLOT_BYTES, type Timer } from "./ports.ts";
import { WaitingRooms } from "./waiting-room.ts";

export interface AdmissionPorts {
  readonly clock: Clock;
  readonly writes: Memory;
  readonly reads: Memory;
  readonly home: Home;
  /** Pieces that the shadow holds. */
  pieces(): number;
  /** A limit of the shadow is reached: an own flush may help. */
  shortOfRoom(): void;
  /** Reads have taken all their memory: moving replies that wait for slow clients may help. */
  shortOfReads(): void;
  /** Cuts off clients that keep memory for writes whose data they don't send. How many there were. */
  cutOffIdleWriters(): number;
  /** Nothing could be released for `stallTimeoutMs` while somebody waited. */
  stalled(reason: string): void;
}

/**
 * Who may come in (P6). A request gets its memory and the pieces that its acknowledgement may need before it is taken;
 * who finds none waits, and a connection that waits is not read.
 */
export class Admission {
  readonly #ports: AdmissionPorts;
  readonly #pieceLimit: number;
  readonly #stallTimeoutMs: number;
  readonly #writers = new WaitingRooms();
  readonly #readers = new WaitingRooms();
  /** Pieces that writers which are admitted and not answered may add. */
  #admittedPieces = 0;
  /** One is being turned away, who will wait for room in a moment. */
  #turnsAway = false;
  #serveTimer: Timer | undefined;
  #stallTimer: Timer | undefined;
  #stalled = false;
  /** What every request is refused with; 0 when they aren't. */
  refusing: Errno = 0;
  /** Nobody comes in any more, and nobody is refused. */
  holding = false;
  /** The same as `refusing` for writers alone: they would wait in vain for room where nothing is written any more. */
  refusingWriters: Errno = 0;

  constructor(ports: AdmissionPorts, limits: { readonly pieces: number; readonly stallTimeoutMs: number }) {
    this.#ports = ports;
    this.#pieceLimit = limits.pieces;
    this.#stallTimeoutMs = limits.stallTimeoutMs;
  }

  get writersWait(): boolean {
    return this.#turnsAway || this.#writers.length > 0;
  }

  get stalled(): boolean {
    return this.#stalled;
  }

  admit(request: Request): "admitted" | "wait" | Errno {
    if (this.refusing !== 0) return this.refusing;
    if (this.holding) return "wait";
    if (isWriter(request.kind)) return this.#admitWriter(request);
    if ((request.kind === "read" || request.kind === "extents") && request.length > 0)
      return this.#admitReader(request);
    return "admitted";
  }

  /** An admitted request has been answered, or will not be submitted. */
  left(request: Request): void {
    if (isWriter(request.kind)) {
      this.#admittedPieces -= piecesOf(request);
      this.#ports.home.leave(request);
    }
    // With nothing left to release, no flush would ever say that it goes on.
    if (this.#ports.pieces() === 0) this.#stalled = false;
    this.serveSoon();
  }

  whenRoom(request: Request, callback: () => void): () => void {
    if (!isWriter(request.kind)) return this.#readers.of(request).ask(callback);
    this.#stallTimer ??= this.#ports.clock.after(this.#stallTimeoutMs, () => this.#stall());
    return this.#writers.of(request).ask(callback);
  }

  /** Memory or pieces were released. */
  released(): void {
    this.#stalled = false;
    this.#stallTimer?.cancel();
    this.#stallTimer = undefined;
    this.serveSoon();
  }

  dispose(): void {
    this.#serveTimer?.cancel();
    this.#stallTimer?.cancel();
  }

  #admitWriter(request: Request): "admitted" | "wait" | Errno {
    if (this.refusingWriters !== 0) return this.refusingWriters;
    const { pieces, home, writes } = this.#ports;
    const room = pieces() + this.#admittedPieces + piecesOf(request) <= this.#pieceLimit;
    const waiting = this.#writers.of(request);
    if (room && !waiting.closed && home.admit(request)) {
      const needsMemory = request.kind === "write" && request.length > 0;
      if (needsMemory) request.payload = writes.allocate(request.length);
      if (needsMemory && request.payload === undefined) home.leave(request);
      else {
        this.#admittedPieces += piecesOf(request);
        waiting.admitted();
        // Those who still wait do so from now on: what finds room by answers alone needs no flush to release any.
        this.#stallTimer?.cancel();
        this.#stallTimer = undefined;
        return "admitted";
      }
    }
    // However little of the whole is taken: it is not enough for this one.
    this.#turnsAway = true;
    this.#ports.shortOfRoom();
    this.#turnsAway = false;
    return this.#stalled ? ERRNO.EIO : "wait";
  }

  #admitReader(request: Request): "admitted" | "wait" {
    const waiting = this.#readers.of(request);
    if (waiting.closed) return "wait";
    request.payload = this.#ports.reads.allocate(request.kind === "read" ? request.length : EXTENTS_SLOT_BYTES);
    if (request.payload === undefined) {
      this.#ports.shortOfReads();
      return "wait";
    }
    waiting.admitted();
    return "admitted";
  }

  /** Calls back whoever waits, from the event loop, so that they ask again. */
  serveSoon(): void {
    if (this.#serveTimer !== undefined || this.#writers.length + this.#readers.length === 0) return;
    this.#serveTimer = this.#ports.clock.after(0, () => {
      this.#serveTimer = undefined;
      this.#writers.serve();
      this.#readers.serve();
      if (this.#writers.length > 0) {
        this.#stallTimer ??= this.#ports.clock.after(this.#stallTimeoutMs, () => this.#stall());
      }
    });
  }

  #stall(): void {
    this.#stallTimer = undefined;
    if (this.#writers.length === 0) return;
    if (this.#ports.cutOffIdleWriters() > 0) {
      // Not the driver's fault: what they kept is room for those who wait.
      this.#stallTimer = this.#ports.clock.after(this.#stallTimeoutMs, () => this.#stall());
      return;
    }
    this.#stalled = true;
    this.#ports.stalled(`no acknowledged write could be released for ${this.#stallTimeoutMs} ms`);
    this.serveSoon();
  }
}

/** Its acknowledgement adds a piece for each slot, and one more where it cuts an older one in two. */
function piecesOf({ kind, length }: Request): number {
  return 1 + (kind === "write" ? Math.max(1, Math.ceil(length / MAX_SLOT_BYTES)) : 1);
}
