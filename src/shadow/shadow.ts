import type { Errno } from "../block/errors.ts";
import { appendExtent } from "../block/extents.ts";
import { MAX_SLOT_BYTES, type Payload, restOfSlot, slotBytes } from "../block/memory.ts";
import type { Extent } from "../block/request.ts";
import type { Home, RemainingPiece } from "./home.ts";
import type { Operation } from "./operation.ts";
import { type Piece, PieceMap } from "./piece-map.ts";

export interface ShadowPorts {
  /** Drops one reference to the memory of a write. */
  release(payload: Payload): void;
  /** A piece is about to leave because the store holds it durably. */
  released(piece: Piece): void;
  /** Is told of every change. */
  readonly home: Home;
}

/**
 * The shadow: every write, zero and trim that has been acknowledged and is not known to be durable.
 *
 * A piece is *executed* if its generation is the shadow's. `invalidate` starts a new generation, so that everything
 * issued before, the pieces and also what is still in flight, counts as unexecuted without being visited.
 */
export class Shadow {
  readonly #ports: ShadowPorts;
  /** Off: nothing is kept, as elsewhere; there to show the difference. */
  readonly #retains: boolean;
  readonly #pieces = new PieceMap();
  readonly #gone = (piece: Piece): void => this.#drop(piece);
  readonly #shrunk = (piece: Piece, rest: Piece | undefined): void => this.#ports.home.cut(piece, rest);
  #generation = 1;
  #tick = 0;
  #refused = 0;
  /** Flushes are not believed yet: what they cover is kept. */
  #inEscrow = false;

  constructor(ports: ShadowPorts, retains: boolean) {
    this.#ports = ports;
    this.#retains = retains;
  }

  get size(): number {
    return this.#pieces.size;
  }

  /** Pieces that the driver refuses to take. */
  get refused(): number {
    return this.#refused;
  }

  get generation(): number {
    return this.#generation;
  }

  get pieces(): Iterable<Piece> {
    return this.#pieces;
  }

  overlapping(offset: number, length: number): Piece[] {
    return this.#pieces.overlapping(offset, length);
  }

  /** Nothing issued before this counts as executed any more. */
  invalidate(): void {
    this.#generation++;
  }

  isExecuted(piece: Piece): boolean {
    return piece.generation === this.#generation;
  }

  /** A point in the order of completions, for `release`. */
  mark(): number {
    return ++this.#tick;
  }

  /**
   * The writer is about to be acknowledged: its range is cut out of the older pieces and, unless it is durable, becomes
   * a piece for each slot of its payload, with a reference to that. Returns the pieces that came into being unexecuted.
   */
  acknowledge(writer: Operation, durable: boolean): Piece[] {
    if (!this.#retains) return [];
    const { home } = this.#ports;
    const pieces = durable && !this.#inEscrow ? [] : this.#piecesOf(writer, durable);
    // First the new: a front that dies in between leaves both behind, and the newer one counts.
    for (const piece of pieces) home.put(piece);
    const remainders = this.#pieces.cut(writer.offset, writer.length, this.#gone, this.#shrunk);
    const unexecuted: Piece[] = [];
    for (const remainder of remainders) {
      if (remainder.refused !== 0) this.#refused++;
      else if (!this.isExecuted(remainder)) unexecuted.push(remainder);
    }
    for (const piece of pieces) {
      this.#pieces.insert(piece);
      if (!this.isExecuted(piece)) unexecuted.push(piece);
    }
    return unexecuted;
  }

  /** What a front before this one has left behind: pieces that no incarnation of this one has executed. */
  restore(remaining: readonly RemainingPiece[]): void {
    for (const remainder of remaining) {
      const piece = newPiece(remainder);
      this.#pieces.insert(piece);
      this.#ports.home.restored?.(piece);
    }
  }

  /** The replay of `piece` completed well; it had been issued in `generation`. */
  executed(piece: Piece, generation: number): void {
    piece.generation = generation;
    piece.completedAt = ++this.#tick;
    piece.contested = false;
    piece.charges = undefined;
  }

  /** The store doesn't have what was executed: it counts as unexecuted. */
  distrust(piece: Piece): void {
    piece.generation = 0;
    piece.covered = false;
  }

  /** A writer was refused: its sectors hold the old or the new value, each, until they are written again. */
  contest(offset: number, length: number): void {
    for (const piece of this.overlapping(offset, length)) piece.contested = true;
  }

  /** The driver refused the replay: the piece stays, and its content is here alone. */
  refuse(piece: Piece, errno: Errno): void {
    piece.refused = errno;
    this.#refused++;
  }

  /** The piece is not offered to the driver any more, until `offerAll`. */
  withhold(piece: Piece, errno: Exclude<Errno, 0>): void {
    piece.withheld = true;
    piece.charges = undefined;
    if (piece.refused === 0) this.refuse(piece, errno);
  }

  /** The piece leaves, and with it the obligation. */
  giveUp(piece: Piece): void {
    this.#pieces.cut(piece.offset, piece.length, this.#gone, this.#shrunk);
  }

  /** What was withheld is offered again: to another driver, or because the operator wants it. */
  offerAll(): void {
    for (const piece of this.#pieces) {
      if (piece.withheld) this.retry(piece);
      piece.withheld = false;
    }
  }

  /** A refused piece is to be tried again. */
  retry(piece: Piece): void {
    piece.refused = 0;
    this.#refused--;
  }

  /** The incarnation is lost, and with it what it did and what it refused. */
  lose(): void {
    this.invalidate();
    for (const piece of this.#pieces) {
      if (piece.refused !== 0 && !piece.withheld) this.retry(piece);
      piece.replay = undefined;
      piece.covered = false;
    }
  }

  /**
   * From now on what flushes make durable is kept all the same, FUA writes too: the driver is on probation, and its word does not
   * count until `believe`.
   */
  doubt(): void {
    this.#inEscrow = true;
  }

  /** Its flushes count, and those since `doubt`, too. */
  believe(): void {
    if (!this.#inEscrow) return;
    this.#inEscrow = false;
    // One that is being written again leaves with the next flush: until then the driver reads its memory.
    this.#pieces.release((piece) => piece.covered && this.isExecuted(piece) && this.#leave(piece));
  }

  get doubts(): boolean {
    return this.#inEscrow;
  }

  /** A flush succeeded: what had been executed before `mark`, when it was submitted, is durable and leaves. */
  release(mark: number): void {
    this.#pieces.release((piece) => {
      if (!this.isExecuted(piece) || piece.completedAt > mark) return false;
      piece.covered = true;
      return !this.#inEscrow && this.#leave(piece);
    });
  }

  /**
   * Puts the pieces over what the driver read: the newest acknowledged content, whatever the driver makes of it. (It may
   * have refused a piece, or thrown it away when a flush failed, which it tells only later.) True if they cover the
   * whole range.
   */
  overlay(offset: number, length: number, into: Payload): boolean {
    let covered = 0;
    for (const piece of this.overlapping(offset, length)) {
      if (piece.kind === "trim") continue;
      const from = Math.max(offset, piece.offset);
      const until = Math.min(offset + length, piece.offset + piece.length);
      covered += until - from;
      copyPiece(piece, from, until, into, from - offset);
    }
    return covered === length;
  }

  /** The same for extents: what the shadow holds as written is data. */
  overlayExtents(offset: number, length: number, extents: readonly Extent[]): readonly Extent[] {
    const written = this.overlapping(offset, length).filter((piece) => piece.kind === "write");
    if (written.length === 0) return extents;
    const merged: Extent[] = [];
    let at = offset;
    for (const extent of extents) {
      const end = at + extent.length;
      for (const piece of written) {
        const from = Math.max(at, piece.offset);
        const until = Math.min(end, piece.offset + piece.length);
        if (from >= until) continue;
        appendExtent(merged, from - at, extent.hole, extent.zero);
        appendExtent(merged, until - from, false, false);
        at = until;
      }
      appendExtent(merged, end - at, extent.hole, extent.zero);
      at = end;
    }
    return merged;
  }

  #piecesOf(writer: Operation, durable: boolean): Piece[] {
    const { offset, length, payload } = writer;
    const kind = writer.kind as Piece["kind"];
    const mayTrim = writer.request?.mayTrim ?? false;
    const completedAt = ++this.#tick;
    const step = payload === undefined ? length : MAX_SLOT_BYTES;
    const pieces: Piece[] = [];
    for (let start = 0; start < length; start += step) {
      const range = { offset: offset + start, length: Math.min(step, length - start) };
      const piece = newPiece({ ...range, kind, mayTrim, payload, start: payload === undefined ? 0 : start, note: 0 });
      piece.generation = writer.generation;
      piece.completedAt = completedAt;
      piece.covered = durable;
      if (payload !== undefined) payload.references++;
      pieces.push(piece);
    }
    return pieces;
  }

  #leave(piece: Piece): true {
    this.#ports.released(piece);
    this.#drop(piece);
    return true;
  }

  #drop(piece: Piece): void {
    if (piece.refused !== 0) this.#refused--;
    this.#ports.home.drop(piece);
    if (piece.payload !== undefined) this.#ports.release(piece.payload);
  }
}

/** A piece that no incarnation has executed. */
export function newPiece({ offset, length, kind, mayTrim, payload, start, note }: RemainingPiece): Piece {
  return {
    offset,
    length,
    kind,
    mayTrim,
    payload,
    start,
    generation: 0,
    completedAt: 0,
    refused: 0,
    withheld: false,
    covered: false,
    charges: undefined,
    contested: false,
    replay: undefined,
    gone: false,
    note,
  };
}

/** Copies the device's bytes from `from` to `until` out of a piece, to byte `at` of a payload. */
function copyPiece(piece: Piece, from: number, until: number, into: Payload, at: number): void {
  let source = piece.start + (from - piece.offset);
  let target = at;
  for (let left = until - from; left > 0; ) {
    const run = Math.min(left, restOfSlot(source), restOfSlot(target));
    const bytes = slotBytes(into, target, run);
    if (piece.payload === undefined) bytes.fill(0);
    else bytes.set(slotBytes(piece.payload, source, run));
    source += run;
    target += run;
    left -= run;
  }
}
