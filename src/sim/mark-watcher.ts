import { overlaps } from "../block/geometry.ts";
import { MAX_SLOT_BYTES, slotBytes } from "../block/memory.ts";
import { isWriter, type RequestKind } from "../block/request.ts";
import type { Piece } from "../shadow/piece-map.ts";
import { SUBMIT_FUA } from "../shadow/ports.ts";
import type { LieCure } from "../shadow/verifier.ts";
import type { DeviceEvent } from "../supervisor/event.ts";
import { identify } from "./content.ts";
import type { Entry } from "./history.ts";
import type { Mark } from "./marks.ts";
import type { Death } from "./reaper.ts";
import type { Submission } from "./sim-disk.ts";
import type { SimDriver } from "./sim-driver.ts";
import type { SimFront } from "./sim-front.ts";

const LIES: Record<LieCure, Mark> = {
  "read again": "lie cured by another read",
  restart: "lie cured by a restart",
  repair: "lie repaired",
  error: "lie answered with an error",
};
const HANGS: ReadonlySet<string> = new Set(["endless-loop", "stopped", "deadlock", "stuck-request"]);

/**
 * Sees the rare things of a world (see marks.ts), in what goes in and out of the core and in what the core shows to everybody. It
 * draws nothing and changes nothing, so that a world goes the same way whatever is watched.
 */
export class MarkWatcher {
  readonly seen = new Set<Mark>();
  readonly #blockSize: number;
  /** What the device is large at first. */
  readonly #bytes: number;
  readonly #front: () => SimFront | undefined;
  /** What the device has, and has not answered. */
  readonly #inHand = new Set<Entry>();
  /** Writes by their ids. */
  readonly #writes = new Map<number, Entry>();
  /** Ids of acknowledged writes that a driver refused. */
  readonly #refused = new Set<number>();
  /** Drivers in a row that died before they had executed anything. */
  #fruitless = 0;
  #held: string | undefined;
  #readOnly = false;
  /** When the last incarnation was lost, the shadow held pieces that a newcomer had flushed. */
  #believed = false;
  #convictHeld = false;
  /** What the front has taken up may still be nowhere else. */
  #takenUp = false;
  /** Since the last reply, something was put into the home. */
  #putting = false;
  /** Pieces that were put, and are not kept yet. */
  #unkept = 0;

  constructor(blockSize: number, sectors: number, front: () => SimFront | undefined) {
    this.#blockSize = blockSize;
    this.#bytes = sectors * blockSize;
    this.#front = front;
  }

  // ── Clients ─────────────────────────────────────────────────────────────────────────────────────────────────────

  asked(entry: Entry): void {
    this.#inHand.add(entry);
    if (entry.kind === "write") this.#writes.set(entry.id, entry);
  }

  answers(entry: Entry, errno: number): void {
    this.#inHand.delete(entry);
    this.#putting = false;
    const trouble = this.#front()?.device.trouble;
    if (trouble === undefined) {
      if (this.#convictHeld) this.#see("convict overwritten");
      this.#convictHeld = false;
    } else if (errno === 0 && entry.kind === "read") {
      if (this.#pieces.some((piece) => piece.refused !== 0 && this.#touches(piece, entry)))
        this.#see("read of a refused piece");
    } else if (trouble.startsWith("no acknowledged write could be released")) this.#see("device stalled");
  }

  waits(writer: boolean): void {
    this.#see(writer ? "writer waited for room" : "reader waited for room");
  }

  abandons(kind: RequestKind): void {
    if (kind === "write") this.#see("half a write abandoned");
  }

  /** The faults are over. */
  calm(): void {
    if (this.#state === "recovering" && this.#inHand.size > 0) this.#see("calm in a recovery");
  }

  // ── Drivers ─────────────────────────────────────────────────────────────────────────────────────────────────────

  submits({ operation, first, count, address }: Submission): void {
    if (operation === "write" && address < MAX_SLOT_BYTES) this.#see("zeroes written");
    const waits = (kind: string): Entry[] => [...this.#inHand].filter((entry) => entry.kind === kind);
    if (operation === "flush" && waits("flush").length > 1) this.#see("flush shared");
    if (operation === "trim" && !waits("trim").some((entry) => overlaps(entry.first, entry.count, first, count)))
      this.#see("trim replayed");
  }

  /** Before the front hears of it. */
  completes(driver: SimDriver, submission: Submission, errno: number): void {
    const isFlush = submission.operation === "flush";
    if (errno === 0) {
      if (isFlush) this.#takenUp = false;
      if (this.#refused.size > 0 && this.#refused.delete(this.#idOf(submission))) this.#see("refused piece taken");
      return;
    }
    const others = driver.outstanding;
    if (isFlush && others.some(isFua)) this.#see("flush failed beside a FUA write");
    if (isFua(submission) && others.some(({ operation }) => operation === "flush"))
      this.#see("FUA write failed beside a flush");
    if (isFlush && ![...this.#inHand].some(({ kind, fua }) => kind === "flush" || fua)) this.#see("own flush failed");
    if (submission.operation === "write" && this.#replays.some((piece) => this.#touches(piece, submission))) {
      this.#see("replay refused");
      this.#refused.add(this.#idOf(submission));
    }
  }

  dies(driver: SimDriver): void {
    const front = this.#front();
    if (front === undefined) return;
    const { outstanding, ending } = driver;
    const replays = this.#replays;
    if (replays.length > 0) this.#see("death in a replay");
    if (replays.some((piece) => this.#isPartial(piece))) this.#see("death in a partial replay");
    this.#fruitless = front.device.shadow.pieces > 0 && !front.device.fruitful ? this.#fruitless + 1 : 0;
    if (this.#fruitless > 1) this.#see("death before any replay");
    const waited = [...this.#inHand].some(({ kind }) => kind === "flush");
    if (waited && outstanding.some(({ operation }) => operation === "flush"))
      this.#see("death with a waited-for flush");
    if (outstanding.some((one) => isFua(one) && this.#pieces.some((piece) => this.#touches(piece, one))))
      this.#see("death with a FUA over a piece");
    if (outstanding.some(({ applied, count }) => applied > 0 && applied < count)) this.#see("death in a torn write");
    if (outstanding.length >= driver.depth) this.#see("death with a full queue");
    if (ending && outstanding.length > 0 && this.#state !== "stopping") this.#see("death while closing");
    if (driver.kind.kind === "newcomer" && front.supervisor.upgrading) this.#see("death of a newcomer");
  }

  // ── Decisions ───────────────────────────────────────────────────────────────────────────────────────────────────

  event(event: DeviceEvent): void {
    const pieces = this.#pieces;
    switch (event.type) {
      case "live":
        if (this.#held !== undefined) this.#see("held, then recovered");
        this.#held = undefined;
        if (this.#readOnly && this.#front()?.device.trouble === undefined) {
          this.#see("read-only, then well");
          this.#readOnly = false;
        }
        return;
      case "held":
        this.#held = event.reason;
        return;
      case "reaped":
        if (this.#held?.includes("not reaped") === true) this.#see("reaped late");
        return;
      case "read-only":
        this.#readOnly = true;
        return;
      case "fault":
        this.#believed = pieces.some(({ covered }) => covered);
        if (HANGS.has(event.fault) && this.#replays.length > 0) this.#see("hang in a replay");
        return;
      case "convicted":
        if (event.operation === "flush") this.#see("flush convicted");
        if (event.acknowledged) this.#see("piece convicted");
        this.#convictHeld ||= event.acknowledged;
        return;
      case "fallback":
        if (pieces.length > 0) this.#see("fallback with pieces");
        return;
      case "rollback":
        if (pieces.length > 0) this.#see("rollback with pieces");
        if (this.#believed) this.#see("rollback of believed flushes");
        return;
      case "lie":
        return this.#see(LIES[event.cure]);
    }
  }

  /** An upgrade was asked for in this state. */
  upgrades(): void {
    if (this.#state === "recovering") this.#see("upgrade in a recovery");
  }

  // ── Fronts and homes ────────────────────────────────────────────────────────────────────────────────────────────

  takesUp(pieces: number): void {
    if (pieces > 0 && this.#takenUp) this.#see("pieces taken up twice");
    this.#takenUp = pieces > 0;
    this.#putting = false;
  }

  puts(): void {
    this.#putting = true;
    this.#unkept++;
  }

  kept(): void {
    this.#unkept = 0;
  }

  /** The front died in the middle of a change of its home's. */
  diedAtHome(): void {
    if (this.#putting) this.#see("front died between put and drop");
  }

  breaks(): void {
    if (this.#pieces.length > 0) this.#see("log broken with pieces");
  }

  passesOver(): void {
    this.#see("spent log passed over");
  }

  tornRecord(): void {
    this.#see("power cut with a torn record");
  }

  /** Before anything of it is gone. */
  frontEnds(death: Death): void {
    this.sample();
    const front = this.#front();
    const state = this.#state;
    if (death === "handover") {
      if (this.#pieces.length > 0) this.#see("handover with pieces");
    } else {
      if (state === "recovering") this.#see("front died recovering");
      if (state === "recovering" && death === "power") this.#see("power cut in a recovery");
      if (state === "stopping") this.#see("front died stopping");
      if (front?.supervisor.upgrading === true) this.#see("front died in an upgrade");
      if (this.#unkept > 0) this.#see("front died before it was kept");
    }
    this.#inHand.clear();
    this.#unkept = 0;
    this.#held = undefined;
    this.#readOnly = false;
    this.#convictHeld = false;
    this.#fruitless = 0;
  }

  /** What the device counts: before it is gone. */
  sample(): void {
    const device = this.#front()?.device;
    if (device?.opened === true && device.geometry.size > this.#bytes) this.#see("store grown");
    if ((this.#front()?.device.counters.lateCompletions ?? 0) > 0) this.#see("late completion");
  }

  #see(mark: Mark): void {
    this.seen.add(mark);
  }

  get #state(): string | undefined {
    return this.#front()?.supervisor.state;
  }

  get #pieces(): Readonly<Piece>[] {
    return [...(this.#front()?.device.shadowPieces() ?? [])];
  }

  /** Pieces of whose replay a part is with the driver. */
  get #replays(): Readonly<Piece>[] {
    return this.#pieces.filter(({ replay }) => replay !== undefined && replay.outstanding > 0);
  }

  #touches({ offset, length }: Readonly<Piece>, { first, count }: { first: number; count: number }): boolean {
    return overlaps(offset, length, first * this.#blockSize, count * this.#blockSize);
  }

  /** Less than what the client wrote at once: the rest has been overwritten since, or is durable. */
  #isPartial({ payload, start, offset, length }: Readonly<Piece>): boolean {
    if (payload === undefined || length >= MAX_SLOT_BYTES) return false;
    const id = identify(slotBytes(payload, start, this.#blockSize), offset / this.#blockSize);
    const count = this.#writes.get(id)?.count ?? 0;
    return count * this.#blockSize > length;
  }

  /** Of the write that the submission's data is of. */
  #idOf({ address, first }: Submission): number {
    const bytes = this.#front()?.writes.at(address, this.#blockSize);
    return bytes === undefined ? 0 : identify(bytes, first);
  }
}

function isFua({ operation, flags }: Submission): boolean {
  return isWriter(operation) && (flags & SUBMIT_FUA) !== 0;
}
