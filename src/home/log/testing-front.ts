import { strict as assert } from "node:assert";
import { type Payload, slotBytes } from "../../block/memory.ts";
import type { Request } from "../../block/request.ts";
import type { KnownStore, RemainingPiece } from "../../shadow/home.ts";
import { type Piece, PieceMap } from "../../shadow/piece-map.ts";
import type { Clock } from "../../shadow/ports.ts";
import { newPiece } from "../../shadow/shadow.ts";
import { GEOMETRY, HeapMemory, newRequest, SECTOR, SILENT_LOG } from "../../shadow/testing.ts";
import { DiskLog, type LogFile } from "./disk-log.ts";
import type { LogLimits } from "./format.ts";
import { type LogRun, takeUp } from "./take-up.ts";

/** So long that a header is of several sectors, and may be torn. */
const IDENTITY = "store".repeat(200);
export const STORE: KnownStore = { geometry: GEOMETRY, epoch: 7, kind: "test", identity: IDENTITY };
export const LOG_ID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
const POISON = 0xdb;

/** Memory that is poisoned when it is given back: nobody may look at it any more. */
export class TellingMemory extends HeapMemory {
  override release(payload: Payload): void {
    if (payload.references === 1) for (const slot of payload.slots) slot.bytes.fill(POISON);
    super.release(payload);
  }
}

/** A front, as the log sees it: a map of pieces, and what a client writes. */
export class TestFront {
  readonly memory = new TellingMemory(64 << 20);
  readonly pieces = new PieceMap();
  readonly remains: readonly RemainingPiece[];
  readonly store: KnownStore | undefined;
  /** Sequence of the last record that was there. */
  readonly found: number;
  readonly log: DiskLog;
  /** How often the log said that there is room. */
  rooms = 0;
  failure: string | undefined;

  /** The last thing that the next front is to be told of the log. */
  mark: LogRun | "in use" | undefined;

  /** `spent`: what doesn't count of the log. */
  constructor(file: LogFile, clock: Clock, limits: LogLimits, spent?: LogRun) {
    const taken = takeUp("test.log", file, this.memory, file.size, spent === undefined ? [] : [spent]);
    this.found = taken.records.last;
    this.remains = taken.remains.pieces;
    this.store = taken.remains.store;
    const { memory } = this;
    const ports = {
      path: "test.log",
      file,
      memory,
      clock,
      log: SILENT_LOG,
      pid: 42,
      newId: LOG_ID,
      newBytes: file.size,
      mark: (spent: LogRun | undefined) => {
        this.mark = spent ?? "in use";
      },
    };
    this.log = new DiskLog(ports, taken, limits);
    for (const remainder of this.remains) {
      const piece = newPiece(remainder);
      this.pieces.insert(piece);
      this.log.restored(piece);
    }
    this.log.observe({
      room: () => this.rooms++,
      failed: (reason) => {
        assert(this.failure === undefined, "a failure is told twice");
        this.failure = reason;
      },
    });
  }

  /** The first driver has opened. */
  opened(): this {
    this.log.remember(STORE);
    return this;
  }

  /** Writes sectors, all that `admit` asks of a front included; `undefined`: it was turned away. `fill` makes the content of a sector. */
  write(
    kind: Piece["kind"],
    sector: number,
    sectors: number,
    fill: (bytes: Uint8Array, sector: number) => void,
  ): Piece | undefined {
    const request = this.request(kind, sector, sectors);
    if (!this.log.admit(request)) return undefined;
    const payload = kind === "write" ? this.memory.allocate(sectors * SECTOR) : undefined;
    if (payload !== undefined) {
      for (let i = 0; i < sectors; i++) fill(slotBytes(payload, i * SECTOR, SECTOR), sector + i);
    }
    const piece = newPiece({
      offset: sector * SECTOR,
      length: sectors * SECTOR,
      kind,
      mayTrim: false,
      payload,
      start: 0,
      note: 0,
    });
    this.log.put(piece);
    this.pieces.cut(
      piece.offset,
      piece.length,
      (gone) => this.#drop(gone),
      (shrunk, rest) => this.log.cut(shrunk, rest),
    );
    this.pieces.insert(piece);
    this.log.leave(request);
    return piece;
  }

  request(kind: Piece["kind"], sector: number, sectors: number): Request {
    return newRequest(kind, sector, sectors, {}, () => {});
  }

  /** The driver's flush lets pieces go. */
  release(lets: (piece: Piece) => boolean): void {
    this.pieces.release((piece) => {
      if (!lets(piece)) return false;
      this.#drop(piece);
      return true;
    });
    this.log.released();
  }

  #drop(piece: Piece): void {
    if (piece.payload !== undefined) this.memory.release(piece.payload);
    this.log.drop(piece);
  }
}
