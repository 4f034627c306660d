import type { Geometry } from "../block/geometry.ts";
import type { Request } from "../block/request.ts";
import type { Piece } from "./piece-map.ts";

/**
 * Where the shadow lives, beyond the front's own memory: what is put here is found again by the front that comes after this one.
 * It mirrors the map of pieces, change by change, in the order in which they happen:
 *
 *   put ──▶ (cut)* ──▶ dropped
 *
 * A write's piece lies in one slot of its payload. Nothing here calls back from inside a call, unless it says so.
 */
export interface Home {
  /** What has been synced survives a power cut: flushes and FUA writes are answered by `sync`, and not by the driver's flush. */
  readonly durable: boolean;
  /** What is put is kept as soon as `put` returns: nobody has to wait for `kept`. */
  readonly immediate: boolean;
  /** How much of its room is taken, from 0 to 1. */
  readonly fullness: number;
  /** Who is told what becomes of it. Set once, before anything is put. */
  observe(observer: HomeObserver): void;
  /** The shadow has made `piece` of a remaining one: it is told of that from now on. */
  restored?(piece: Piece): void;
  /**
   * Reserves the room that the acknowledgement of a writer may take, `request.payload` not yet being there. False: there is none
   * now; see {@link HomeObserver.room}. What is reserved is given back by `leave`, once, whether anything was put meanwhile or not.
   */
  admit(request: Request): boolean;
  leave(request: Request): void;
  /** A new piece, newer than all that were put before, in whose range they don't count any more. They are cut after this. Sets `piece.note`. */
  put(piece: Piece): void;
  /** A part of `piece` was cut away: it has shrunk to what it is now; `rest` is what is left behind a hole, with the same `note` until now. */
  cut(piece: Piece, rest: Piece | undefined): void;
  /** The piece is gone: superseded, durable in the store, or given up. Its memory may be used again after this. */
  drop(piece: Piece): void;
  /** Several pieces have been dropped, since the store holds them durably: a good moment to make room. */
  released(): void;
  /** Calls back when all that was put before is kept, should this process die at once. `failed`: it isn't, and never will be. */
  kept(done: (failed: boolean) => void): void;
  /** With `durable`: calls back when all that was put before survives a power cut, too. */
  sync(done: (failed: boolean) => void): void;
  /** What a front has to know of the store before it opens it. The newest one counts; kept without being waited for. */
  remember(store: KnownStore): void;
  /**
   * After {@link HomeObserver.failed}, once: the store holds all that was acknowledged, and may soon hold newer. What is left here must
   * never be taken up.
   */
  spent?(): void;
}

export interface HomeObserver {
  /** There is room for those that `admit` turned away. */
  room(): void;
  /** It can't keep anything any more: from now on every `kept` and `sync` fails. `reason`: one line, for the operator. */
  failed(reason: string): void;
}

/** What was known of a store, and of the driver that served it. */
export interface KnownStore {
  /** As clients were told. */
  readonly geometry: Geometry;
  /** Of the newest incarnation that has served it. */
  readonly epoch: number;
  /** What drivers of this kind say of themselves: see {@link DriverInfo}. */
  readonly kind: string;
  readonly identity?: string | undefined;
}

/** What the front before has left in a home. */
export interface Remains {
  /** `undefined`: no incarnation has ever served it, and there are no pieces. */
  readonly store: KnownStore | undefined;
  /** None overlaps another. Their payloads are in the device's memory of writes, one reference for each piece, and they have their notes. */
  readonly pieces: readonly RemainingPiece[];
}

export type RemainingPiece = Pick<Piece, "offset" | "length" | "kind" | "mayTrim" | "payload" | "start" | "note">;

/** The shadow lives in the front's memory alone, and dies with it. */
export const IN_MEMORY: Home = {
  durable: false,
  immediate: true,
  fullness: 0,
  observe() {},
  admit: () => true,
  leave() {},
  put() {},
  cut() {},
  drop() {},
  released() {},
  kept: (done) => done(false),
  sync: (done) => done(false),
  remember() {},
};
