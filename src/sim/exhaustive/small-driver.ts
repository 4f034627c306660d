import { isWriter } from "../../block/request.ts";
import type { Incarnations, Link, Operation } from "../../shadow/ports.ts";
import { SUBMIT_FUA } from "../../shadow/ports.ts";
import type { VirtualClock } from "../clock.ts";
import { identify, stamp, ZEROES } from "../content.ts";
import type { DriverKind } from "../driver-kind.ts";
import type { PoisonedMemory } from "../memory.ts";
import type { SimIncarnationEvents } from "../sim-driver.ts";
import type { FlushMark, Rests, SmallStore } from "./small-store.ts";

/**
 * What becomes of a driver at a submission. `unseen`: it dies before it reports it, whether it has done it or not. `seen`: it dies
 * right after.
 */
export type Fate = "lives" | "unseen" | "seen";

export interface SmallDriverPorts {
  readonly clock: VirtualClock;
  readonly store: SmallStore<number>;
  readonly kind: DriverKind;
  /** Of the front that lives. */
  front(): { readonly events: SimIncarnationEvents; readonly writes: PoisonedMemory; readonly reads: PoisonedMemory };
  choose(of: number): number;
  /** Asked at each submission. */
  fate(): Fate;
  /** Its fate has come true: it has left any of these. */
  died(rests: Rests<number>): void;
  /** What it reads in a sector. */
  read(sector: number): number;
  /** The store has changed, or will at once. */
  point(): void;
}

interface Submission {
  readonly tag: number;
  readonly operation: Operation;
  readonly flags: number;
  readonly first: number;
  readonly count: number;
  readonly address: number;
  readonly mark: FlushMark | undefined;
}

const OPEN_MS = 1;
const STEP_MS = 1;
const DEATH_SEEN_MS = 1;

/** Incarnations of a driver that does one submission after another, in any order, over one store. */
export class SmallDrivers implements Incarnations {
  readonly #ports: SmallDriverPorts;
  #living: SmallDriver | undefined;

  constructor(ports: SmallDriverPorts) {
    this.#ports = ports;
  }

  start(epoch: number): void {
    this.#living = new SmallDriver(epoch, this.#ports);
  }

  close(epoch: number): void {
    this.kill(epoch);
  }

  kill(epoch: number): void {
    if (this.#living?.epoch === epoch) this.#living.kill();
  }

  /** Its front dies, or the machine: nobody hears of anything. */
  vanish(): void {
    this.#living?.vanish();
  }

  prepare(): void {}
  unprepare(): void {}
  ping(): void {}
  beat(): undefined {}
  vitals(): undefined {}
  usage(): undefined {}
}

class SmallDriver implements Link {
  readonly epoch: number;
  readonly depth = 8;
  readonly maxEffect = Number.MAX_SAFE_INTEGER;
  readonly patience = 1;
  readonly #ports: SmallDriverPorts;
  readonly #front: ReturnType<SmallDriverPorts["front"]>;
  #alive = true;
  readonly #waiting: Submission[] = [];

  constructor(epoch: number, ports: SmallDriverPorts) {
    this.epoch = epoch;
    this.#ports = ports;
    this.#front = ports.front();
    this.#after(OPEN_MS, () => this.#front.events.opened(epoch, ports.kind.info, this));
  }

  submit(tag: number, operation: Operation, flags: number, offset: number, length: number, address: number): void {
    const { blockSize } = this.#ports.kind.info.geometry;
    const mark = operation === "flush" ? this.#ports.store.markFlush() : undefined;
    this.#waiting.push({ tag, operation, flags, first: offset / blockSize, count: length / blockSize, address, mark });
  }

  kick(): void {
    this.#after(STEP_MS, () => this.#work());
  }

  /** Nothing that was in a cache is left. */
  kill(): void {
    if (!this.#alive) return;
    this.vanish();
    this.#ports.store.loseCache();
    this.#exit();
  }

  vanish(): void {
    this.#alive = false;
  }

  #work(): void {
    const { store, choose, fate, died, point } = this.#ports;
    if (this.#waiting.length === 0) return;
    const [submission] = this.#waiting.splice(choose(this.#waiting.length), 1) as [Submission];
    const end = fate();
    const before = store.rests();
    point();
    this.#execute(submission);
    point();
    if (isWriter(submission.operation as "write"))
      for (let i = 0; i < submission.count; i++) store.complete(submission.first + i);
    point();
    if (end === "lives") {
      this.#report(submission);
      return this.#after(STEP_MS, () => this.#work());
    }
    this.vanish();
    // Before it, in the midst of it, or after it: for the front that is the same.
    const after = store.rests();
    died(end === "seen" ? after : after.map((versions, at) => [...new Set([...(before[at] ?? []), ...versions])]));
    this.#exit(end === "seen" ? submission : undefined);
  }

  /** The front hears of it, and of what was reported before. */
  #exit(seen?: Submission): void {
    this.#ports.clock.after(DEATH_SEEN_MS, () => {
      if (seen !== undefined) this.#report(seen);
      this.#front.events.exited(this.epoch, "signal", "killed");
    });
  }

  #execute({ operation, flags, first, count, address, mark }: Submission): void {
    const { store, kind, read } = this.#ports;
    const { blockSize } = kind.info.geometry;
    if (operation === "flush") store.flush(mark as FlushMark);
    for (let i = 0; i < count; i++) {
      const sector = first + i;
      const at = address + i * blockSize;
      if (operation === "read") {
        stamp(this.#front.reads.at(at, blockSize), sector, read(sector));
        continue;
      }
      const id = operation === "write" ? identify(this.#front.writes.at(at, blockSize), sector) : ZEROES;
      if ((flags & SUBMIT_FUA) !== 0) store.writeDurably(sector, id);
      else store.write(sector, id);
    }
  }

  #report({ tag, operation, count }: Submission): void {
    const { events } = this.#front;
    const { blockSize } = this.#ports.kind.info.geometry;
    const moves = operation === "read" || operation === "write";
    events.completed(this.epoch, tag, 0, moves ? count * blockSize : 0);
    events.settled(this.epoch);
  }

  #after(ms: number, act: () => void): void {
    this.#ports.clock.after(ms, () => {
      if (this.#alive) act();
    });
  }
}
