import { SeededRandom } from "../../block/random.ts";
import type { Request } from "../../block/request.ts";
import type { Log } from "../../shadow/ports.ts";
import { VirtualClock } from "../clock.ts";
import { identify, stamp, ZEROES } from "../content.ts";
import { Course } from "../course.ts";
import { type DriverKind, firstKind } from "../driver-kind.ts";
import { frontProfile } from "../kill-points.ts";
import { Life } from "../life.ts";
import { onDisk, type Profile } from "../profile.ts";
import { SimFront } from "../sim-front.ts";
import { DiskHome, MemoryHome, ShmHome, type SimHome } from "../sim-home.ts";
import { type PromiseName, Violation } from "../violation.ts";
import type { Choices } from "./choices.ts";
import { type Allowed, contradiction, Ledger } from "./ledger.ts";
import { SECTORS, type Step } from "./scripts.ts";
import { SmallDrivers } from "./small-driver.ts";
import { SmallStore } from "./small-store.ts";

export type HomeKind = "memory" | "shm" | "disk";
/** Who dies. With the front its driver does, and with the power all of it. */
export type Death = "driver" | "front" | "power";

export interface Play {
  readonly script: readonly Step[];
  readonly home: HomeKind;
  readonly death: Death;
  /** Whether the driver has FUA, trim and zero. */
  readonly able: boolean;
  /** Each step when the one before was answered, or all at once. */
  readonly pace: "one by one" | "at once";
}

const SILENT: Log = { info() {}, warn() {}, error() {} };
const LIMIT_MS = 60_000;
const ALL: Step = { kind: "flush", first: 0, count: SECTORS, fua: false };
const FLUSH: Step = { kind: "flush", first: 0, count: 0, fua: false };

/**
 * The real device, supervisor and homes, one small disk, and at most one death, at a point and with a rest of the caches that `choices` say.
 * Throws a Violation where a promise is broken: P1 and P3 after the death of a driver or a front, P9 after a power cut; P2 by a flush
 * and a power cut at the end.
 */
export function play(plan: Play, choices: Choices): void {
  new SmallWorld(plan, choices).live();
}

class SmallWorld {
  readonly #plan: Play;
  readonly #choices: Choices;
  readonly #clock = new VirtualClock();
  readonly #course = new Course(this.#clock, () => this.#front?.supervisor.state ?? "no front");
  readonly #store = new SmallStore();
  readonly #ledger = new Ledger();
  readonly #profile: Profile;
  readonly #kind: DriverKind;
  readonly #drivers: SmallDrivers;
  #home: SimHome;
  #front: SimFront | undefined;
  #nextId = 1;
  #life: Life | undefined;
  /** Of the newest incarnation. */
  #epoch = 0;
  /** One death, from the start of the script to its end. */
  #isMortal = false;
  #died: Death | undefined;
  /** In the midst of the one death: what is left of a log's disk matters. */
  #isDying = false;
  /** Whether a death here would leave anything else than one at the last point. */
  #hasChanged = true;

  constructor(plan: Play, choices: Choices) {
    this.#plan = plan;
    this.#choices = choices;
    this.#profile = profileOf(plan);
    this.#kind = kindOf(this.#profile);
    this.#home = this.#newHome();
    this.#drivers = new SmallDrivers({
      clock: this.#clock,
      store: this.#store,
      kind: this.#kind,
      front: () => this.#need(),
      choose: (of) => choices.choose(of),
      // At the end it is the worst: nothing was written back.
      left: (of) => (this.#isDying ? choices.choose(of) : 0),
      point: () => {
        this.#hasChanged = true;
        this.#point();
      },
    });
  }

  live(): void {
    const { script, pace, death } = this.#plan;
    this.#raise();
    // A log that is new writes much at its first flush, which has nothing to do with the script.
    this.#flush();
    this.#isMortal = true;
    if (pace === "at once") {
      const answered = this.#turn(() => script.map((step) => this.#ask(step)));
      this.#wait(() => answered?.every((one) => one()) ?? false);
    } else {
      for (const step of script) {
        const answered = this.#turn(() => this.#ask(step));
        this.#wait(() => answered?.() ?? false);
        if (this.#front === undefined) break;
      }
    }
    // What a power cut would leave after the last answer, too.
    if (death !== "driver" && this.#front !== undefined) this.#point();
    this.#isMortal = false;
    if (this.#front === undefined) this.#raise();
    const died = this.#died === "power" ? "P9" : "P1";
    const found = this.#readAll();
    this.#check(died, `after the death of the ${death}`, found, (sector) =>
      died === "P9" ? this.#ledger.durable(sector) : this.#ledger.kept(sector),
    );
    this.#sync(found);
  }

  /** A flush, and a power cut: what was read stays. */
  #sync(found: readonly number[]): void {
    const unspecified = new Set<number>();
    for (let sector = 0; sector < SECTORS; sector++) {
      if (this.#ledger.kept(sector) === "anything") unspecified.add(sector);
    }
    this.#flush();
    this.#end("power");
    this.#raise();
    this.#check("P2", "after a flush and a power cut", this.#readAll(), (sector) =>
      unspecified.has(sector) ? "anything" : new Set([found[sector] as number]),
    );
  }

  #flush(): void {
    const flushed = this.#turn(() => this.#ask(FLUSH));
    this.#wait(() => flushed?.() ?? false);
  }

  #check(promise: PromiseName, when: string, found: readonly number[], allowed: (sector: number) => Allowed): void {
    const wrong = contradiction(found, allowed);
    if (wrong !== undefined) throw new Violation(promise, `${when}: ${wrong}`);
  }

  /** Until it is so, or the front is dead. */
  #wait(done: () => boolean): void {
    this.#course.need(() => done() || this.#front === undefined, LIMIT_MS, "requests are unanswered");
  }

  /** A turn of the front that lives. `undefined`: it has died of it. */
  #turn<Result>(work: () => Result): Result | undefined {
    let result: Result | undefined;
    this.#front?.life.enter(() => {
      result = work();
    });
    return result;
  }

  /** Asks the device. Returns whether it has answered. */
  #ask(step: Step): () => boolean {
    this.#hasChanged = true;
    const id = step.kind === "write" ? this.#nextId++ : ZEROES;
    const answer = this.#ledger.arrives(step, id);
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

  #readAll(): readonly number[] {
    let found: number[] | undefined;
    this.#turn(() =>
      this.#submit("read", ALL, ({ payload }) => {
        if (payload === undefined) return;
        found = Array.from({ length: SECTORS }, (_, sector) => identify(this.#sectorOf(payload, sector), sector));
        this.#need().device.reads.release(payload);
      }),
    );
    this.#course.need(() => found !== undefined, LIMIT_MS, "the reading is not over");
    return found as readonly number[];
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

  // ── Lives and deaths ──────────────────────────────────────────────────────────────────────────────────────────

  #raise(): void {
    const life = new Life(this.#clock, (atHome) => {
      if (this.#plan.death !== "driver") this.#point();
      this.#hasChanged ||= atHome;
      return !life.alive;
    });
    this.#life = life;
    life.enter(() =>
      this.#home.open(life, (dwelling) => {
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
          dwelling,
        );
        this.#front = front;
        front.start();
      }),
    );
    this.#course.need(() => !life.alive || this.#front?.serves === true, LIMIT_MS, "the front does not serve");
    if (!life.alive) this.#raise();
  }

  #need(): SimFront {
    if (this.#front === undefined) throw new Error("Cannot go on: there is no front");
    return this.#front;
  }

  /** Something may die here. */
  #point(): void {
    // What a log's disk does goes on without a point of its own.
    const matters = this.#hasChanged || this.#plan.home === "disk";
    if (!this.#isMortal || !matters) return;
    this.#hasChanged = false;
    if (this.#choices.choose(2) === 0) return;
    this.#isMortal = false;
    this.#isDying = true;
    this.#died = this.#plan.death;
    if (this.#died === "driver") this.#drivers.die();
    else this.#end(this.#died);
    this.#isDying = false;
  }

  #end(death: "front" | "power"): void {
    this.#life?.end();
    this.#front = undefined;
    this.#drivers.vanish();
    this.#home.frontDied();
    if (death === "power" && this.#plan.home === "disk") this.#home.powerFails();
    // Memory of whatever kind is gone.
    else if (death === "power") this.#home = this.#newHome();
  }

  #newHome(): SimHome {
    const { limits, writeBytes } = this.#profile;
    switch (this.#plan.home) {
      case "memory":
        return new MemoryHome(writeBytes);
      case "shm":
        return new ShmHome(writeBytes, limits.pieces);
      case "disk":
        return new DiskHome(
          { clock: this.#clock, random: new Dice(this.#choices, () => this.#isDying), log: SILENT },
          this.#profile,
        );
    }
  }
}

/** A disk's chances: what is left of its cache is chosen, in each way that there is; everything else takes its first course. */
class Dice extends SeededRandom {
  readonly #choices: Choices;
  readonly #matters: () => boolean;

  constructor(choices: Choices, matters: () => boolean) {
    super(0);
    this.#choices = choices;
    this.#matters = matters;
  }

  override below(bound: number): number {
    return this.#matters() ? this.#choices.choose(bound) : 0;
  }
}

/** Its name fits into a sector of a log: torn records are the other simulator's affair, and each sector doubles the plays here. */
function kindOf(profile: Profile): DriverKind {
  const kind = firstKind(profile);
  return { ...kind, info: { ...kind.info, identity: "store" } };
}

function profileOf({ home, able }: Play): Profile {
  const profile = frontProfile(able, home);
  const small = { ...profile, sectors: SECTORS };
  const requestBytes = SECTORS * profile.blockSize;
  // Room for all of a script: who waits for room is the other simulator's affair.
  return home === "disk" ? onDisk({ ...small, home: { ...profile.home, requestBytes, logMs: 0 } }, 4) : small;
}
