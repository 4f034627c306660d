import type { Errno } from "../block/errors.ts";
import { type Geometry, overlaps } from "../block/geometry.ts";
import type { Payload } from "../block/memory.ts";
import { isWriter, type Request, type RequestKind } from "../block/request.ts";
import type { Piece } from "./piece-map.ts";
import type { Charges } from "./trial.ts";

/**
 * What the device does on the driver: a client's request, the replay of a piece, or a flush. It goes
 *
 *   waiting ──▶ ready ──▶ executing ──▶ (flushing) ──▶ done
 *      ▲ conflicts   ▲ depth    │ parts in flight   │ FUA without the driver's help
 *      └────────────┴──────────┴───────────────────┘  the incarnation dies, or a flush fails
 */
export class Operation {
  readonly kind: RequestKind;
  /** Its place in the order of arrival. */
  readonly sequence: number;
  readonly request: Request | undefined;
  readonly piece: Piece | undefined;
  readonly writer: boolean;
  offset: number;
  length: number;

  /** Operations it conflicts with and must wait for, and those that wait for it. */
  blockers = 0;
  waiters: Operation[] = [];
  /** Index in the schedule's list of requests; -1 if it is not there. */
  activeIndex = -1;

  /** A part of it is or was with the driver. */
  issued = false;
  /** A part of it was with some driver, this one or one before: it may have had its effect. */
  everIssued = false;
  /** It has been answered or given up; what still refers to it passes it over. */
  over = false;
  /** It is in the queue of what can be issued. */
  queued = false;
  /** Written and completed; now waiting for the flush that makes it durable. */
  flushing = false;
  /** Executed and in the shadow; its answer waits for the home. */
  keeping = false;
  /** Lost in flight: an incarnation that is given up but not reaped may still touch its memory. */
  exposed = false;
  /** It was in flight or waiting when the incarnation before died, and is part of the recovery. */
  reissued = false;
  /** Zeroes are written, because the driver can't or won't zero. */
  writesZeroes = false;
  /** The device's generation when its first part was issued. */
  generation = 0;
  /** Bytes issued in parts. */
  position = 0;
  /** Parts with the driver. */
  outstanding = 0;
  errno: Errno = 0;
  /** How often a read found other data than was written. */
  lies = 0;
  /** The charges against a request. Those against a replay are its piece's, which outlives it. */
  #charges: Charges | undefined;

  private constructor(
    kind: RequestKind,
    sequence: number,
    offset: number,
    length: number,
    request?: Request,
    piece?: Piece,
  ) {
    this.kind = kind;
    this.sequence = sequence;
    this.offset = offset;
    this.length = length;
    this.request = request;
    this.piece = piece;
    this.writer = isWriter(kind);
  }

  static forRequest(request: Request, sequence: number): Operation {
    return new Operation(request.kind, sequence, request.offset, request.length, request);
  }

  static forReplay(piece: Piece): Operation {
    return new Operation(piece.kind, 0, piece.offset, piece.length, undefined, piece);
  }

  /** A flush that no client asked for. */
  static ownFlush(): Operation {
    return new Operation("flush", 0, 0, 0);
  }

  static forCheck(offset: number, length: number): Operation {
    return new Operation("read", 0, offset, length);
  }

  get charges(): Charges | undefined {
    return this.piece === undefined ? this.#charges : this.piece.charges;
  }

  set charges(charges: Charges | undefined) {
    if (this.piece === undefined) this.#charges = charges;
    else this.piece.charges = charges;
  }

  /** The data of a write, the room for a read. */
  get payload(): Payload | undefined {
    return this.piece === undefined ? this.request?.payload : this.piece.payload;
  }

  /** Nothing of it is left to issue: all parts are out, or one has failed. */
  get allIssued(): boolean {
    return this.over || this.errno !== 0 || (this.issued && this.position === this.length);
  }

  /** Its first part is about to be issued. What the driver isn't needed for is done by this. */
  begin(generation: number, geometry: Geometry): void {
    this.issued = true;
    this.everIssued = true;
    this.generation = generation;
    const { piece, request, kind } = this;
    if (piece !== undefined) {
      // What was in flight when the replay was scheduled may have cut the piece since.
      this.offset = piece.offset;
      this.length = piece.length;
      if (piece.gone || (kind === "trim" && !geometry.trim)) this.position = this.length;
    } else if (kind === "cache" || (kind === "trim" && !geometry.trim)) {
      this.position = this.length;
    } else if (kind === "extents" && request !== undefined && !geometry.extents) {
      // Data everywhere is always a safe answer.
      request.extents = [{ length: request.length, hole: false, zero: false }];
      this.position = this.length;
    }
  }

  /** Back to waiting: nothing of it counts as executed. */
  reset(): void {
    this.issued = false;
    this.queued = false;
    this.flushing = false;
    this.writesZeroes = false;
    this.generation = 0;
    this.position = 0;
    this.outstanding = 0;
    this.errno = 0;
  }

  /** Whether they share a sector and one of them changes it: then they must not be in flight at once (P3). */
  conflictsWith(other: Operation): boolean {
    return (this.writer || other.writer) && overlaps(this.offset, this.length, other.offset, other.length);
  }

  waitFor(other: Operation): void {
    other.waiters.push(this);
    this.blockers++;
  }
}
