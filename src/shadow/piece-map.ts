import type { Errno } from "../block/errors.ts";
import type { Payload } from "../block/memory.ts";
import type { Operation } from "./operation.ts";
import type { Charges } from "./trial.ts";

/** A range of sectors with the newest acknowledged content, held until it is durable. */
export interface Piece {
  offset: number;
  length: number;
  readonly kind: "write" | "zero" | "trim";
  /** A zero that may leave a hole. */
  readonly mayTrim: boolean;
  /** A write's data begins at byte `start` of `payload`, of which the piece holds one reference. */
  readonly payload: Payload | undefined;
  start: number;
  /** It is executed if this is the device's current generation, and unexecuted if it is an older one. */
  generation: number;
  /** When its completion was seen: a tick of the device's own counter of events. */
  completedAt: number;
  /** The driver refused its replay with this error, or it isn't offered to the driver any more; 0 otherwise. */
  refused: Errno;
  /** It is not offered to the driver again: its replay kills, or nothing may be written any more. */
  withheld: boolean;
  /** A flush covered it that is not believed yet. */
  covered: boolean;
  /** The incarnations that died of its replay, or so it seems. */
  charges: Charges | undefined;
  /** A refused write may have changed some of its sectors in the store, since it was executed. */
  contested: boolean;
  /** Its replay, from being scheduled until it is done. */
  replay: Operation | undefined;
  /** Cut away or released: in no map any more. */
  gone: boolean;
  /** The home's own note, of where it keeps the piece. */
  note: number;
}

/** A chunk is split in two when it has grown to this many pieces. */
const CHUNK_PIECES = 128;

/**
 * The interval map: pieces in order of their offsets, none overlapping another. A sorted list in
 * chunks, so that an insertion moves at most a chunk:
 *
 *   chunks ─▶ [ p p p p ] [ p p ] [ p p p ]      each chunk sorted, none empty
 */
export class PieceMap {
  #chunks: Piece[][] = [];
  #size = 0;
  // Where #seek ended: a field, so that looking up allocates nothing.
  #chunk = 0;
  #index = 0;

  get size(): number {
    return this.#size;
  }

  *[Symbol.iterator](): Generator<Piece> {
    for (const chunk of this.#chunks) yield* chunk;
  }

  /** The pieces that share a byte with the range, in order. */
  overlapping(offset: number, length: number): Piece[] {
    const found: Piece[] = [];
    if (this.#size === 0) return found;
    this.#seek(offset);
    const end = offset + length;
    for (let c = this.#chunk, i = this.#index; c < this.#chunks.length; c++, i = 0) {
      const chunk = this.#chunks[c] as Piece[];
      for (; i < chunk.length; i++) {
        const piece = chunk[i] as Piece;
        if (piece.offset >= end) return found;
        found.push(piece);
      }
    }
    return found;
  }

  /** Whether a piece shares a byte with the range. */
  touches(offset: number, length: number): boolean {
    if (this.#size === 0) return false;
    this.#seek(offset);
    const piece = this.#chunks[this.#chunk]?.[this.#index];
    return piece !== undefined && piece.offset < offset + length;
  }

  /** Adds a piece to a range that is free. */
  insert(piece: Piece): void {
    this.#size++;
    if (this.#chunks.length === 0) {
      this.#chunks.push([piece]);
      return;
    }
    this.#seek(piece.offset);
    // Past the end of a chunk is a good place too, but past the end of all is the end of the last one.
    const c = Math.min(this.#chunk, this.#chunks.length - 1);
    const chunk = this.#chunks[c] as Piece[];
    chunk.splice(c === this.#chunk ? this.#index : chunk.length, 0, piece);
    if (chunk.length >= CHUNK_PIECES) this.#chunks.splice(c + 1, 0, chunk.splice(CHUNK_PIECES / 2));
  }

  /**
   * Cuts a range out of every piece. What lies inside goes to `cut`, which may release it; what is left
   * of a piece on the right of the range, where something is left on the left too, is a new piece.
   * `shrunk` is told of each piece that has lost a part, with that new one. Returns the new pieces; they share
   * the payload and count as references to it.
   */
  cut(
    offset: number,
    length: number,
    cut: (piece: Piece) => void,
    shrunk: (piece: Piece, rest: Piece | undefined) => void,
  ): Piece[] {
    const remainders: Piece[] = [];
    const end = offset + length;
    for (const piece of this.overlapping(offset, length)) {
      const pieceEnd = piece.offset + piece.length;
      if (piece.offset >= offset && pieceEnd <= end) {
        this.#remove(piece);
        piece.gone = true;
        cut(piece);
      } else if (piece.offset < offset) {
        piece.length = offset - piece.offset;
        const rest = pieceEnd > end ? restOf(piece, end, pieceEnd) : undefined;
        if (rest !== undefined) remainders.push(rest);
        shrunk(piece, rest);
      } else {
        const skipped = end - piece.offset;
        piece.offset = end;
        piece.start += skipped;
        piece.length -= skipped;
        shrunk(piece, undefined);
      }
    }
    for (const remainder of remainders) this.insert(remainder);
    return remainders;
  }

  /** Takes out every piece that `released` says so of. */
  release(released: (piece: Piece) => boolean): void {
    for (let c = 0; c < this.#chunks.length; c++) {
      const chunk = this.#chunks[c] as Piece[];
      let kept = 0;
      for (const piece of chunk) {
        piece.gone = released(piece);
        if (!piece.gone) chunk[kept++] = piece;
      }
      this.#size -= chunk.length - kept;
      chunk.length = kept;
    }
    this.#chunks = this.#chunks.filter((chunk) => chunk.length > 0);
  }

  #remove(piece: Piece): void {
    this.#seek(piece.offset);
    const chunk = this.#chunks[this.#chunk] as Piece[];
    chunk.splice(this.#index, 1);
    if (chunk.length === 0) this.#chunks.splice(this.#chunk, 1);
    this.#size--;
  }

  /** Finds the first piece that ends after `offset`; past the last one if there is none. */
  #seek(offset: number): void {
    const chunks = this.#chunks;
    let low = 0;
    let high = chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const last = (chunks[middle] as Piece[]).at(-1) as Piece;
      if (last.offset + last.length > offset) high = middle;
      else low = middle + 1;
    }
    this.#chunk = low;
    this.#index = 0;
    const chunk = chunks[low];
    if (chunk === undefined) return;
    low = 0;
    high = chunk.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const piece = chunk[middle] as Piece;
      if (piece.offset + piece.length > offset) high = middle;
      else low = middle + 1;
    }
    this.#index = low;
  }
}

/** What was left of `piece`, before it shrunk, from `from` to `until`: a piece of its own, with a reference of its own. */
function restOf(piece: Piece, from: number, until: number): Piece {
  if (piece.payload !== undefined) piece.payload.references++;
  const start = piece.start + (from - piece.offset);
  return { ...piece, offset: from, length: until - from, start, replay: undefined };
}
