import { strict as assert } from "node:assert";
import { Fifo } from "../../block/fifo.ts";
import type { Memory } from "../../block/memory.ts";
import { isWriter, type Request } from "../../block/request.ts";
import type { Home, HomeObserver, KnownStore } from "../../shadow/home.ts";
import type { Piece } from "../../shadow/piece-map.ts";
import type { Clock, Log, Timer } from "../../shadow/ports.ts";
import { Appender } from "./appender.ts";
import { areaBytes, byteOf, HEADER_BYTES, idText, type LogLimits, ORIGIN } from "./format.ts";
import { encodeHeader, fitsHeader, type LogHeader } from "./header.ts";
import { piecesOf, type Records } from "./records.ts";
import type { LogReader } from "./recovery.ts";
import { Room } from "./room.ts";
import type { LogRun, TakenUp } from "./take-up.ts";

/** The file or device of a log. Positions and lengths are bytes, whole sectors. */
export interface LogFile extends LogReader {
  /** The buffers are borrowed until `done`, which is called once, from the event loop. */
  write(position: number, buffers: readonly Uint8Array[], done: (error?: Error) => void): void;
  /** Makes durable what was written by writes that were done before this call. */
  sync(done: (error?: Error) => void): void;
}

export interface DiskLogPorts {
  /** For people. */
  readonly path: string;
  readonly file: LogFile;
  /** Where the payloads of pieces are: they are kept there until they are written. */
  readonly memory: Pick<Memory, "release">;
  readonly clock: Clock;
  readonly log: Log;
  readonly pid: number;
  /** Of a log that is new: 16 bytes that no other has, and its size. */
  readonly newId: Uint8Array;
  readonly newBytes: number;
  /**
   * For the next front, since its disk may not let the log say so: what doesn't count any more, the store having all of it, and perhaps
   * newer. Undefined: it is in use from now on, and has itself what is to be known.
   */
  readonly mark?: ((spent: LogRun | undefined) => void) | undefined;
}

/** What is synced is attested so much later, if no record has done so. */
const ATTEST_AFTER_MS = 100;
/** Pieces written anew at once, in bytes: what clients write shouldn't wait for more. */
const CARRY_BYTES = 4 << 20;

interface Waiter {
  readonly sequence: number;
  readonly done: (failed: boolean) => void;
}

/**
 * The home on a disk: a log of what was acknowledged. At most one write and one sync are in flight; what comes meanwhile goes out
 * with the next one.
 *
 *   put ─▶ pending ─▶ a write ─▶ written ─▶ a sync that began after that ─▶ durable
 *                                  │ kept                                    │ sync
 *
 * Invariants:
 * - A header is written only when the one before is durable, and the other slot is taken. One of the two is always whole.
 * - No record is written before a header with this front's run, and what is known of the store, is durable.
 * - The tail in a header is behind a record only if that, and what has replaced it, is durable.
 * - What is before the tail is used again only when the header that says so is durable.
 * - Each record, and the header at last, says what was durable when it was made: so damage to that is found.
 * - Room: see {@link Room}.
 * - After a failure nothing is written but, at most, one header that says that the log is empty, once the store has everything.
 */
export class DiskLog implements Home {
  readonly durable = true;
  readonly immediate = false;
  readonly #ports: DiskLogPorts;
  readonly #id: Uint8Array;
  readonly #area: number;
  readonly #run: number;
  readonly #records: Records;
  readonly #room: Room;
  readonly #appender: Appender;
  #observer: HomeObserver | undefined;
  #store: KnownStore | undefined;

  #writing = false;
  #syncing = false;
  /** Sequences of the last record that is written, and that is durable. */
  #written: number;
  #synced = 0;
  /** The last record that a record or header says of that it is durable. */
  #attested = 0;
  readonly #keepers = new Fifo<Waiter>();
  readonly #syncers = new Fifo<Waiter>();

  /** The newest one, in whatever state. */
  #header: LogHeader;
  #headerState: "in flight" | "unsynced" | "durable" = "unsynced";
  /** A durable header has the run and the store. */
  #mayWrite = false;
  #attesting = false;
  #attestTimer: Timer | undefined;
  #turn: Timer | undefined;
  /** The last record whose pieces are carried, while that goes on. */
  #carryUntil: number | undefined;
  #failure: string | undefined;
  /** What is to be done about what must not be taken up any more. */
  #emptying: "not yet" | "due" | "tried" = "not yet";
  #closed: ((isEmpty: boolean) => void) | undefined;

  /** Nothing is written before the event loop turns. */
  constructor(ports: DiskLogPorts, taken: TakenUp, limits: LogLimits) {
    this.#ports = ports;
    const { header, records } = taken;
    const size = header?.size ?? ports.newBytes;
    this.#id = header?.id ?? ports.newId;
    this.#area = areaBytes(size);
    this.#run = taken.run;
    this.#store = header?.store;
    this.#records = records;
    this.#written = records.last;
    const beforeAll = { sequence: 0, run: 0, tail: ORIGIN, pid: 0, synced: 0, store: undefined };
    this.#header = header ?? { id: this.#id, size, ...beforeAll };
    this.#room = new Room(records, size, limits, this.#header.tail);
    const { memory } = ports;
    this.#appender = new Appender({
      id: this.#id,
      area: this.#area,
      run: this.#run,
      records,
      room: this.#room,
      memory,
    });
    this.#soon();
  }

  get fullness(): number {
    return this.#room.fullness;
  }

  observe(observer: HomeObserver): void {
    this.#observer = observer;
    if (this.#failure !== undefined) this.#ports.clock.after(0, () => observer.failed(this.#failure as string));
  }

  restored(piece: Piece): void {
    this.#records.restored(piece);
  }

  admit(request: Request): boolean {
    if (!isWriter(request.kind)) return true;
    if (this.#room.admit(request.length, request.kind === "write")) return true;
    this.#soon();
    return false;
  }

  leave(request: Request): void {
    if (isWriter(request.kind)) this.#room.leave(request.length, request.kind === "write");
  }

  put(piece: Piece): void {
    assert(this.#closed === undefined, "something is put into a log that is closing");
    if (this.#failure !== undefined) return;
    this.#append(piece);
    this.#soon();
  }

  cut(piece: Piece, rest: Piece | undefined): void {
    if (this.#failure === undefined) this.#records.shrink(this.#records.of(piece), piece, rest);
  }

  drop(piece: Piece): void {
    if (this.#failure !== undefined) return;
    // What has replaced it, if anything, is no newer than the newest record.
    this.#records.remove(this.#records.of(piece), piece, this.#records.last);
  }

  released(): void {
    this.#soon();
  }

  kept(done: (failed: boolean) => void): void {
    this.#wait(this.#keepers, this.#written, done);
  }

  sync(done: (failed: boolean) => void): void {
    this.#wait(this.#syncers, this.#synced, done);
  }

  remember(store: KnownStore): void {
    if (!fitsHeader(store))
      this.#ports.log.warn(`the identity of the store doesn't fit into the log ${this.#ports.path}`);
    this.#store = store;
    this.#soon();
  }

  spent(): void {
    assert(this.#failure !== undefined, "a log is spent that could go on");
    this.#ports.mark?.({ id: idText(this.#id), run: this.#run });
    this.#emptying = "due";
    this.#soon();
  }

  /**
   * Ends well: all is durable, and the header says where the tail is. Calls back once; after a failure, when what is spent has been
   * emptied, or can't be. `isEmpty`: it is durable that there is nothing in it for a front to take up.
   */
  close(done: (isEmpty: boolean) => void): void {
    this.#closed = done;
    // Its disk may be well again.
    if (this.#emptying === "tried") this.#emptying = "due";
    this.#soon();
  }

  #append(piece: Piece): void {
    assert(this.#store !== undefined, "something is put into a log before the store is known");
    this.#appender.append(piece, this.#synced);
  }

  #wait(waiters: Fifo<Waiter>, reached: number, done: (failed: boolean) => void): void {
    const sequence = this.#records.last;
    if (this.#failure !== undefined) this.#ports.clock.after(0, () => done(true));
    else if (sequence <= reached && waiters.length === 0) this.#ports.clock.after(0, () => done(false));
    else {
      waiters.push({ sequence, done });
      this.#soon();
    }
  }

  /** What one turn of the event loop asks for goes out together. */
  #soon(): void {
    this.#turn ??= this.#ports.clock.after(0, () => {
      this.#turn = undefined;
      this.#go();
    });
  }

  /** Starts what can be started. */
  #go(): void {
    if (this.#failure !== undefined) return this.#end();
    this.#records.advance(this.#synced);
    if (!this.#writing) {
      if (this.#headerDue() && this.#headerState === "durable") this.#writeHeader();
      else if (this.#mayWrite) this.#writeRecords();
    }
    if (!this.#syncing && this.#syncDue()) this.#startSync();
    if (this.#closed !== undefined && !this.#writing && !this.#syncing) this.#end();
  }

  #headerDue(): boolean {
    const { run, store, tail, synced } = this.#header;
    if (run !== this.#run) return this.#synced === this.#written;
    if (store !== this.#store) return true;
    const freed = this.#records.tail.position - tail.position;
    if (this.#closed !== undefined) return freed > 0 || (synced < this.#synced && this.#appender.pending === 0);
    return freed >= this.#room.headerStep || (this.#attesting && synced < this.#synced);
  }

  #syncDue(): boolean {
    const isClosing = this.#closed !== undefined;
    if (this.#headerState === "unsynced" && (this.#headerDue() || !this.#mayWrite || isClosing || this.#room.isShort))
      return true;
    const first = this.#syncers.peek();
    if (first !== undefined && first.sequence <= this.#written) return true;
    if (this.#synced === this.#written) return false;
    const tailWaitsFor = this.#room.isShort ? this.#records.tailWaitsFor : undefined;
    return isClosing || (tailWaitsFor !== undefined && tailWaitsFor > this.#synced);
  }

  /**
   * What is in it is older than the store, or soon will be. What is written now can be relied on if the sync after it succeeds, whatever
   * became of other parts of the file.
   */
  #empty(): void {
    this.#emptying = "tried";
    // Of two headers the one that isn't known to be durable makes room, so that one is whole.
    const sequence = this.#header.sequence + (this.#headerState === "durable" ? 1 : 2);
    const { head: tail } = this.#records;
    const header = { ...this.#header, sequence, run: this.#run, tail, synced: this.#synced, pid: this.#ports.pid };
    this.#writing = true;
    this.#ports.file.write(slotOf(sequence), [encodeHeader(header)], (error) => {
      this.#writing = false;
      if (error !== undefined) return this.#end();
      this.#syncing = true;
      this.#ports.file.sync((error) => {
        this.#syncing = false;
        if (error === undefined) this.#room.freed(tail);
        this.#end();
      });
    });
  }

  get #isEmpty(): boolean {
    return this.#room.tail.position === this.#records.head.position;
  }

  #writeHeader(): void {
    const { tail } = this.#records;
    const sequence = this.#header.sequence + 1;
    // The first header of all has none beside it. It says so little that it is of one sector, and can't be torn.
    const store = sequence === 1 ? undefined : this.#store;
    const changes = { sequence, run: this.#run, tail, synced: this.#synced, store, pid: this.#ports.pid };
    this.#header = { ...this.#header, ...changes };
    this.#headerState = "in flight";
    this.#attesting = false;
    this.#write(slotOf(sequence), [encodeHeader(this.#header)], (failed) => {
      if (failed) return;
      this.#headerState = "unsynced";
      this.#attested = Math.max(this.#attested, this.#header.synced);
    });
  }

  #writeRecords(): void {
    this.#carryOn();
    const batch = this.#appender.take();
    if (batch === undefined) return;
    this.#write(byteOf(batch.position, this.#area), batch.buffers, (failed) => {
      if (this.#appender.letGo(batch)) this.#observer?.room();
      if (failed) return;
      this.#written = batch.last.sequence;
      this.#attested = Math.max(this.#attested, batch.last.synced);
      answer(this.#keepers, this.#written);
    });
  }

  #write(position: number, buffers: readonly Uint8Array[], done: (failed: boolean) => void): void {
    this.#writing = true;
    this.#ports.file.write(position, buffers, (error) => {
      this.#writing = false;
      done(error !== undefined || this.#failure !== undefined);
      if (this.#failure !== undefined) return this.#end();
      if (error !== undefined) return this.#fail(`a write failed: ${error.message}`);
      this.#go();
    });
  }

  #startSync(): void {
    const written = this.#written;
    const header = this.#headerState === "unsynced" ? this.#header : undefined;
    this.#syncing = true;
    this.#ports.file.sync((error) => {
      this.#syncing = false;
      if (this.#failure !== undefined) return this.#end();
      // What the page cache holds after that is no longer known to be on the disk, and a second try would say that it is.
      if (error !== undefined) return this.#fail(`a sync failed: ${error.message}`);
      this.#synced = written;
      if (header !== undefined) this.#headerDurable(header);
      answer(this.#syncers, written);
      this.#attestSoon();
      this.#go();
    });
  }

  #headerDurable(header: LogHeader): void {
    this.#headerState = "durable";
    const mayWrite = header.run === this.#run && header.store !== undefined;
    if (mayWrite && !this.#mayWrite) this.#ports.mark?.(undefined);
    this.#mayWrite = mayWrite;
    if (this.#room.freed(header.tail)) this.#observer?.room();
  }

  #attestSoon(): void {
    if (this.#attested >= this.#synced || this.#closed !== undefined) return;
    this.#attestTimer ??= this.#ports.clock.after(ATTEST_AFTER_MS, () => {
      this.#attestTimer = undefined;
      this.#attesting = this.#attested < this.#synced;
      if (this.#attesting) this.#soon();
    });
  }

  /** Writes pieces anew that pin the tail, a part at a time. */
  #carryOn(): void {
    if (this.#carryUntil === undefined) {
      // Before the shadow has taken what was recovered, nobody knows what lives.
      if ((this.#records.firstLive?.awaited ?? 0) > 0) return;
      if (!this.#room.wantsCarrying()) return;
      this.#carryUntil = this.#records.last;
    }
    for (let bytes = 0; bytes < CARRY_BYTES; ) {
      const record = this.#records.firstLive;
      if (record === undefined || record.sequence > this.#carryUntil) {
        this.#carryUntil = undefined;
        return;
      }
      for (const piece of [...piecesOf(record)]) {
        bytes += piece.length;
        this.#append(piece);
        this.#records.remove(record, piece, piece.note);
      }
    }
  }

  #fail(reason: string): void {
    this.#failure = `the log ${this.#ports.path} can't be written any more: ${reason}`;
    this.#attestTimer?.cancel();
    this.#appender.giveUp();
    this.#observer?.failed(this.#failure);
    for (const waiters of [this.#keepers, this.#syncers]) {
      for (let waiter = waiters.shift(); waiter !== undefined; waiter = waiters.shift()) waiter.done(true);
    }
    this.#end();
  }

  /** Tells who closes it, once nothing is in flight, and what is spent has been seen to. */
  #end(): void {
    if (this.#writing || this.#syncing) return;
    if (this.#emptying === "due" && !this.#isEmpty) return this.#empty();
    if (this.#closed === undefined) return;
    const isClean = this.#headerState === "durable" && !this.#headerDue() && this.#appender.pending === 0;
    if (this.#failure === undefined && !isClean) return;
    const done = this.#closed;
    this.#closed = () => {};
    this.#attestTimer?.cancel();
    this.#turn?.cancel();
    done(this.#isEmpty);
  }
}

/** Where the header of this sequence is. */
function slotOf(sequence: number): number {
  return (sequence % 2) * HEADER_BYTES;
}

function answer(waiters: Fifo<Waiter>, reached: number): void {
  for (let first = waiters.peek(); first !== undefined && first.sequence <= reached; first = waiters.peek()) {
    waiters.shift();
    first.done(false);
  }
}
