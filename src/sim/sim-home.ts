import type { SeededRandom } from "../block/random.ts";
import type { RecordCase } from "../home/log/cases.ts";
import { DiskLog, type LogFile } from "../home/log/disk-log.ts";
import { ID_BYTES, type LogLimits } from "../home/log/format.ts";
import { examine } from "../home/log/recovery.ts";
import { type LogRun, takeUp } from "../home/log/take-up.ts";
import { SimDisk } from "../home/log/testing.ts";
import { Cells } from "../home/shm/cells.ts";
import { createShmHome, ledgerBytes, takeUpShmHome } from "../home/shm/shm-home.ts";
import type { Home, Remains } from "../shadow/home.ts";
import type { Log } from "../shadow/ports.ts";
import type { VirtualClock } from "./clock.ts";
import type { Life } from "./life.ts";
import { PoisonedMemory } from "./memory.ts";
import type { Profile } from "./profile.ts";

/** What a front begins with. */
export interface Dwelling {
  readonly writes: PoisonedMemory;
  /** `undefined`: the front's own memory. */
  readonly home: Home | undefined;
  readonly remains: Remains | undefined;
  /** The power failed, and the record at its end is torn. */
  readonly endsTorn?: boolean;
  /** There are records in its log which don't count, since the front before has said so elsewhere. */
  readonly passesOver?: boolean;
}

/** Where the shadow of a world lives: what of it outlives a front, or a power cut. */
export interface SimHome {
  /** Takes it up for a front of this `life`. `ready` is called when all has been read, perhaps at once. */
  open(life: Life, ready: (dwelling: Dwelling) => void): void;
  /** The front that has it open ends in order. `done`: it may end now. */
  close(done: () => void): void;
  /** The front that has it open dies, and so do its requests of the disk. */
  frontDied(): void;
  powerFails(): void;
}

/** Nothing outlives the front, and so nothing may end it. */
export class MemoryHome implements SimHome {
  readonly #writeBytes: number;

  constructor(writeBytes: number) {
    this.#writeBytes = writeBytes;
  }

  open(_life: Life, ready: (dwelling: Dwelling) => void): void {
    ready({ writes: new PoisonedMemory(0, this.#writeBytes), home: undefined, remains: undefined });
  }

  close(done: () => void): void {
    done();
  }

  frontDied(): void {}

  powerFails(): void {}
}

/** The real ledger, and the memory of writes that it goes with. A front may die at each store that counts. */
export class ShmHome implements SimHome {
  readonly #pieces: number;
  readonly #ledger: ArrayBuffer;
  readonly #writes: PoisonedMemory;
  #isNew = true;

  constructor(writeBytes: number, pieces: number) {
    this.#pieces = pieces;
    this.#ledger = new ArrayBuffer(ledgerBytes(pieces));
    this.#writes = new PoisonedMemory(0, writeBytes);
  }

  open(life: Life, ready: (dwelling: Dwelling) => void): void {
    const writes = this.#writes;
    const cells = new MortalCells(this.#ledger, life);
    if (this.#isNew) {
      this.#isNew = false;
      return ready({ writes, home: createShmHome(cells, writes, this.#pieces), remains: undefined });
    }
    ready({ writes, ...takeUpShmHome(cells, writes, this.#pieces) });
  }

  close(done: () => void): void {
    done();
  }

  frontDied(): void {}

  powerFails(): never {
    throw new Error("shared memory does not survive a power cut");
  }
}

export interface DiskHomePorts {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly log: Log;
}

/** How a log ends where a power cut has left a part of a record. */
const TORN: ReadonlySet<string | undefined> = new Set<RecordCase>(["torn-header", "torn-data"]);

/** The real log, on a disk whose cache a power cut empties. The memory of writes dies with the front. */
export class DiskHome implements SimHome {
  readonly #ports: DiskHomePorts;
  readonly #writeBytes: number;
  readonly #limits: LogLimits;
  readonly #disk: SimDisk;
  #log: DiskLog | undefined;
  #powerFailed = false;
  /** All that the lock of the store has said, the newest last. */
  readonly #marks: (LogRun | undefined)[] = [];
  /** What it says. */
  #spentLog: LogRun | undefined;
  /** A sync has failed, perhaps, since this front came. */
  #syncsFail = false;

  constructor(ports: DiskHomePorts, { home, limits, writeBytes }: Profile) {
    const { logBytes, requestBytes } = home;
    this.#ports = ports;
    this.#writeBytes = writeBytes;
    this.#limits = { pieces: limits.pieces, requestBytes };
    this.#disk = new SimDisk(logBytes, { ...ports, maxMs: home.logMs });
  }

  open(life: Life, ready: (dwelling: Dwelling) => void): void {
    const { random, log } = this.#ports;
    const writes = new PoisonedMemory(0, this.#writeBytes);
    const file = mortalFile(this.#disk, life);
    const found = examine(file);
    const taken = takeUp("log", file, writes, file.size, this.#spentLog === undefined ? [] : [this.#spentLog]);
    const [oldest] = found.records;
    const passesOver = oldest !== undefined && oldest.place.run <= (this.#spentLog?.run ?? 0);
    const endsTorn = this.#powerFailed && TORN.has(found.endsWith);
    this.#powerFailed = false;
    const newId = Uint8Array.from({ length: ID_BYTES }, () => random.below(256));
    const mark = (spent: LogRun | undefined): void => {
      this.#spentLog = spent;
      this.#marks.push(spent);
    };
    const ports = {
      path: "log",
      file,
      memory: writes,
      clock: life.clock,
      log,
      pid: 1,
      newId,
      newBytes: file.size,
      mark,
    };
    const { remains } = taken;
    this.#log = new DiskLog(ports, taken, this.#limits);
    ready({ writes, home: this.#log, remains, endsTorn, passesOver });
  }

  close(done: () => void): void {
    this.#log?.close(done);
  }

  /** Its disk breaks down: nothing is written to it any more, or nothing gets durable. */
  breakDown(how: "write" | "sync"): void {
    this.#disk.failing = how;
    this.#syncsFail ||= how === "sync";
  }

  /** It has another disk, with all that was on it. */
  mend(): void {
    this.#disk.failing = undefined;
  }

  /** What is spent need not be there any more: the kernel lets go of what it could not write. */
  frontDied(): void {
    if (this.#spentLog !== undefined && this.#syncsFail) this.#disk.powerCut();
    else this.#disk.kill();
    this.#syncsFail = this.#disk.failing === "sync";
  }

  powerFails(): void {
    this.#disk.powerCut();
    this.#powerFailed = true;
    // Nobody has made it durable: it is gone, or says what it said at some time.
    const { random } = this.#ports;
    const mayTell = this.#marks.some((mark) => mark !== undefined);
    this.#spentLog = mayTell && random.below(2) === 0 ? this.#marks[random.below(this.#marks.length)] : undefined;
  }
}

/** The front may die before each call of the kernel. */
function mortalFile(disk: SimDisk, life: Life): LogFile {
  return {
    size: disk.size,
    // As it is: the reader looks at one piece after another.
    read: (position, length) => disk.bytes.subarray(position, position + length),
    write: (position, buffers, done) => {
      life.point(true);
      disk.write(position, buffers, (error) => life.enter(() => done(error)));
    },
    sync: (done) => {
      life.point(true);
      disk.sync((error) => life.enter(() => done(error)));
    },
  };
}

/** The front may die before each store that makes others count. */
export class MortalCells extends Cells {
  readonly #life: Life;

  constructor(memory: ArrayBuffer, life: Life) {
    super(memory);
    this.#life = life;
  }

  override commit(at: number, value: number): void {
    this.#life.point(true);
    super.commit(at, value);
  }
}
