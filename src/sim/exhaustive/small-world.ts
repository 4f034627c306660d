import { SeededRandom } from "../../block/random.ts";
import type { Request } from "../../block/request.ts";
import { VirtualClock } from "../clock.ts";
import { identify, stamp, ZEROES } from "../content.ts";
import { Course } from "../course.ts";
import type { DriverKind } from "../driver-kind.ts";
import { Life } from "../life.ts";
import type { Profile } from "../profile.ts";
import { SimFront } from "../sim-front.ts";
import { Violation } from "../violation.ts";
import { Ledger } from "./ledger.ts";
import { SECTORS, type Step } from "./scripts.ts";
import { type Build, kindOf, profileOf, type Setting } from "./setting.ts";
import { type Fate, SmallDrivers } from "./small-driver.ts";
import { SILENT, type SmallHome } from "./small-home.ts";
import type { Rests, SmallStore } from "./small-store.ts";

const LIMIT_MS = 60_000;
const ALL: Step = { kind: "flush", first: 0, count: SECTORS, fua: false };
const FLUSH: Step = { kind: "flush", first: 0, count: 0, fua: false };

export interface SmallWorldPorts {
  readonly build: Build;
  readonly home: SmallHome;
  readonly store: SmallStore<number>;
  /** Of the newest incarnation that was there before. */
  readonly epoch: number;
  /** Which of its submissions a driver does next. */
  choose(of: number): number;
  /** Of the driver, at each submission. */
  fate(): Fate;
  /** See {@link SmallDriverPorts.died}. */
  died(rests: Rests<number>): void;
  /** What a driver reads there before it is live, and so not for a client. */
  read(sector: number): number;
  /** The front or the power may go here. `changed`: that would leave anything else than at the last point, perhaps. */
  point(changed: boolean): void;
}

/** The real device, supervisor and home, a driver that comes again, and one small disk. */
export class SmallWorld {
  readonly ledger = new Ledger();
  readonly #ports: SmallWorldPorts;
  readonly #clock = new VirtualClock();
  readonly #course = new Course(this.#clock, () => this.#front?.supervisor.state ?? "no front");
  readonly #profile: Profile;
  readonly #kind: DriverKind;
  readonly #drivers: SmallDrivers;
  #home: SmallHome;
  #front: SimFront | undefined;
  #life: Life | undefined;
  #nextId = 1;
  #epoch: number;
  #hasChanged = true;
  /** One in which a front has come up. */
  constructor(ports: SmallWorldPorts) {
    this.#ports = ports;
    this.#home = ports.home;
    this.#epoch = ports.epoch;
    this.#profile = profileOf(ports.build);
    this.#kind = kindOf(this.#profile);
    this.#drivers = new SmallDrivers({
      ...ports,
      clock: this.#clock,
      kind: this.#kind,
      front: () => this.#need(),
      read: (sector) => (this.#need().supervisor.state === "live" ? ports.store.read(sector) : ports.read(sector)),
      point: () => {
        this.#hasChanged = true;
        this.#point();
      },
    });
    this.#raise();
  }

  get home(): SmallHome {
    return this.#home;
  }

  /** Of the newest incarnation. */
  get epoch(): number {
    return this.#epoch;
  }

  /** All of the script, and its answers. */
  perform(script: readonly Step[], pace: Setting["pace"]): void {
    const batches = pace === "at once" ? [script] : script.map((step) => [step]);
    for (const batch of batches) {
      const answered = this.#turn(() => batch.map((step) => this.#ask(step)));
      this.#wait(() => answered.every((one) => one()));
    }
  }

  flush(): void {
    this.perform([FLUSH], "at once");
  }

  /** With all that it has not flushed. */
  driverDies(): void {
    this.#drivers.kill(this.#epoch);
  }

  /** Everything goes, with all that was not durable, and comes again. */
  powerCut(): void {
    this.#life?.end();
    this.#front = undefined;
    this.#drivers.vanish();
    this.#ports.store.loseCache();
    this.#home = this.#home.left("power").worst.home();
    this.#raise();
  }

  /** Of each sector, what it holds: an id of content.ts. */
  readAll(): readonly number[] {
    let found: number[] | undefined;
    this.#turn(() =>
      this.#submit("read", ALL, ({ payload }) => {
        if (payload === undefined) return;
        found = Array.from({ length: SECTORS }, (_, sector) => identify(this.#sectorOf(payload, sector), sector));
        this.#need().device.reads.release(payload);
      }),
    );
    this.#wait(() => found !== undefined);
    return found as unknown as readonly number[];
  }

  #wait(done: () => boolean): void {
    this.#course.need(done, LIMIT_MS, "requests are unanswered");
  }

  /** A turn of the front. */
  #turn<Result>(work: () => Result): Result {
    let result: Result | undefined;
    this.#need().life.enter(() => {
      result = work();
    });
    return result as Result;
  }

  /** Asks the device. Returns whether it has answered. */
  #ask(step: Step): () => boolean {
    this.#hasChanged = true;
    const id = step.kind === "write" ? this.#nextId++ : ZEROES;
    const answer = this.ledger.arrives(step, id);
    let answered = false;
    this.#submit(
      step.kind,
      step,
      () => {
        answered = true;
        this.#hasChanged = true;
        answer();
      },
      id,
    );
    return () => answered;
  }

  #submit(kind: Request["kind"], { first, count, fua }: Step, reply: (request: Request) => void, id = ZEROES): void {
    const { blockSize } = this.#profile;
    const { device } = this.#need();
    const request: Request = {
      kind,
      offset: first * blockSize,
      length: count * blockSize,
      fua,
      mayTrim: false,
      fast: false,
      payload: undefined,
      extents: undefined,
      requester: {
        reply: (answered, errno) => {
          if (errno !== 0) throw new Violation("P7", `a ${kind} is answered with error ${errno}`);
          reply(answered);
        },
      },
    };
    if (device.admit(request) !== "admitted") throw new Violation("P6", `a ${kind} is not admitted`);
    if (kind === "write" && request.payload !== undefined) {
      for (let i = 0; i < count; i++) stamp(this.#sectorOf(request.payload, i), first + i, id);
    }
    device.submit(request);
    device.kick();
  }

  #sectorOf(payload: NonNullable<Request["payload"]>, index: number): Uint8Array {
    const { blockSize } = this.#profile;
    return (payload.slots[0] as (typeof payload.slots)[0]).bytes.subarray(index * blockSize, (index + 1) * blockSize);
  }

  #raise(): void {
    const life: Life = new Life(this.#clock, (atHome) => {
      this.#point();
      this.#hasChanged ||= atHome;
      return !life.alive;
    });
    this.#life = life;
    life.enter(() => {
      const front: SimFront = new SimFront(
        {
          life,
          profile: this.#profile,
          random: new SeededRandom(1),
          log: SILENT,
          incarnations: this.#drivers,
          first: this.#kind,
          fallback: undefined,
          lockedEpoch: this.#epoch,
          serves: () => {},
          startFailed: (reason) => {
            throw new Violation("liveness", `a front does not start: ${reason}`);
          },
          stopped: () => {},
          event: ({ epoch }) => {
            this.#epoch = Math.max(this.#epoch, epoch);
          },
        },
        this.#home.open(this.#clock, life),
      );
      this.#front = front;
      front.start();
    });
    this.#course.need(() => this.#front?.serves === true, LIMIT_MS, "the front does not serve");
  }

  #point(): void {
    const changed = this.#hasChanged;
    this.#hasChanged = false;
    this.#ports.point(changed);
  }

  #need(): SimFront {
    if (this.#front === undefined) throw new Error("Cannot go on: there is no front");
    return this.#front;
  }
}
