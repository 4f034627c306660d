import { Device } from "../shadow/device.ts";
import type { Log } from "../shadow/ports.ts";
import { type StopOutcome, Supervisor } from "../supervisor/supervisor.ts";
import { Aftermath } from "./aftermath.ts";
import { Clientele } from "./clientele.ts";
import { VirtualClock } from "./clock.ts";
import type { Counts } from "./counts.ts";
import { Course, LIVENESS_MS } from "./course.ts";
import { type DriverKind, fallbackKind, firstKind, newcomerKind } from "./driver-kind.ts";
import { History } from "./history.ts";
import { PoisonedMemory } from "./memory.ts";
import { Operator } from "./operator.ts";
import { drawProfile, type Profile } from "./profile.ts";
import { SeededRandom } from "./random.ts";
import type { Draft } from "./sim-client.ts";
import { SimIncarnations } from "./sim-incarnations.ts";
import { Store } from "./store.ts";
import { Trace } from "./trace.ts";
import { type PromiseName, Violation, WorldsEnd } from "./violation.ts";
import { isPoisonAlone, Witnesses } from "./witnesses.ts";

/** From its start on, until the device is live. Virtual milliseconds, as everywhere here. */
const START_MS = 1000;
/** Of the trace, in an outcome. */
const LINES = 60;

export interface WorldOptions {
  readonly seed: number;
  /** Drawn from the seed if left out. */
  readonly profile?: Profile;
  /** One client that does exactly this, instead of those of the profile. */
  readonly script?: readonly Draft[];
  /** The steps of the drivers at which they die, counted from 1; by chance if left out. */
  readonly crashAt?: readonly number[];
  /** With a newcomer in the profile: how long after the clients it comes, in virtual milliseconds; by chance if left out. */
  readonly upgradeAfterMs?: number;
  readonly recording?: boolean;
}

export interface Outcome {
  readonly seed: number;
  /** Eight hexadecimal digits over every event: the same seed gives the same. */
  readonly hash: string;
  readonly violation: { readonly promise: PromiseName; readonly message: string; readonly sector?: number } | undefined;
  /** With `recording`: the last events about the sector concerned, or of all. */
  readonly lines: readonly string[];
  readonly requests: number;
  readonly crashes: number;
  readonly counts: Counts;
  /** A FUA request overlapped what no flush had covered, and the driver crashed after that. */
  readonly fuaOverlapAndCrash: boolean;
  /** Points at which the driver could have died. */
  readonly steps: number;
  readonly virtualMs: number;
}

/** Lives one world from start to end, with the real device, supervisor and sessions in it. */
export function runWorld(options: WorldOptions): Outcome {
  const world = new World(options);
  try {
    world.live();
    return world.outcome(undefined);
  } catch (thrown) {
    return world.outcome(thrown instanceof WorldsEnd ? undefined : thrown);
  }
}

class World {
  readonly #options: WorldOptions;
  readonly #profile: Profile;
  readonly #random: SeededRandom;
  readonly #clock = new VirtualClock();
  readonly #trace: Trace;
  readonly #store: Store;
  readonly #history: History;
  readonly #writes: PoisonedMemory;
  readonly #reads: PoisonedMemory;
  readonly #newcomer: DriverKind | undefined;
  readonly #incarnations: SimIncarnations;
  readonly #device: Device;
  readonly #supervisor: Supervisor;
  readonly #operator: Operator;
  readonly #witnesses: Witnesses;
  readonly #clientele: Clientele;
  readonly #course: Course;
  readonly #aftermath: Aftermath;
  #steps = 0;
  #crashes = 0;
  #faults = true;
  #ready = false;
  /** What the device keeps for itself of the memory for reads. */
  #readsOfItsOwn = 0;
  #stopped: StopOutcome | undefined;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#profile = options.profile ?? drawProfile(this.#random.fork());
    const { sectors, sickness, limits, writeBytes, readBytes } = this.#profile;
    const { newcomer, fallback, policy } = sickness;
    this.#trace = new Trace(this.#clock, options.recording ?? false);
    this.#store = new Store(sectors, this.#random.fork());
    this.#history = new History(this.#store);
    this.#writes = new PoisonedMemory(0, writeBytes);
    this.#reads = new PoisonedMemory(1, readBytes);
    this.#witnesses = new Witnesses({
      profile: this.#profile,
      clock: this.#clock,
      random: this.#random.fork(),
      history: this.#history,
      trouble: () => this.#device.trouble,
      lastChance: () => this.#device.inFlight?.lastChance ?? false,
      faults: () => this.#faults,
      driver: () => this.#incarnations.newest,
    });
    const { lies, court, watchdog, excuses } = this.#witnesses;
    this.#history.garbled = lies !== undefined;
    const first = firstKind(this.#profile);
    const other = fallback === undefined ? undefined : fallbackKind(this.#profile);
    const liarsMs = (policy.probationMs ?? 0) / 2;
    this.#newcomer =
      newcomer === undefined ? undefined : newcomerKind(this.#profile, newcomer, () => this.#operator.leftOf(liarsMs));
    this.#incarnations = new SimIncarnations({
      clock: this.#clock,
      trace: this.#trace,
      store: this.#store,
      writes: this.#writes,
      reads: this.#reads,
      lies,
      kinds: [first, other, this.#newcomer].filter((kind) => kind !== undefined),
      fork: () => this.#random.fork(),
      events: () => this.#supervisor,
      crashHere: () => this.#crashHere(),
      faults: () => this.#faults,
      refuses: () => excuses.refuses(),
      started: ({ keepsNothing }) => {
        this.#history.fooled = keepsNothing;
      },
      dies: () => {
        this.#crashes++;
        this.#history.crashed();
      },
      hangs: (driver, hang) => watchdog.hangs(driver, hang),
      poisoned: (deed) => court.kills(deed),
      took: (ms) => watchdog.took(ms),
    });
    const log: Log = {
      info: (message) => this.#trace.add("log", 0, 0, 0, 0, message),
      warn: (message) => this.#trace.add("log", 0, 0, 0, 1, message),
      error: (message) => {
        excuses.errorLogged();
        this.#trace.add("log", 0, 0, 0, 2, message);
      },
    };
    this.#device = new Device(
      {
        name: "disk",
        clock: this.#clock,
        random: this.#random.fork(),
        log,
        writes: this.#writes,
        reads: this.#reads,
        shortOfReads: () => {},
        cutOffIdleWriters: () => 0,
      },
      limits,
      { verify: sickness.verifies ? "digests" : undefined },
    );
    this.#supervisor = new Supervisor(
      {
        device: this.#device,
        incarnations: this.#incarnations,
        drivers: { first, fallback: other },
        clock: this.#clock,
        random: this.#random.fork(),
        log,
        observer: {
          event: (event) => {
            this.#trace.add("event", event.epoch, 0, 0, 0, `${event.type}: ${event.reason}`);
            this.#operator.event(event);
            this.#witnesses.event(event);
          },
          live: () => {
            this.#ready = true;
          },
          failed: () => {},
          startFailed: (reason) => {
            throw new Violation("liveness", `the first start failed: ${reason}`);
          },
          stopped: (outcome) => {
            this.#stopped = outcome;
          },
        },
      },
      policy,
    );
    this.#operator = new Operator({
      clock: this.#clock,
      random: this.#random.fork(),
      supervisor: this.#supervisor,
      faults: () => this.#faults,
    });
    this.#clientele = new Clientele({
      profile: this.#profile,
      clock: this.#clock,
      random: this.#random.fork(),
      trace: this.#trace,
      history: this.#history,
      device: this.#device,
      witness: this.#witnesses,
      faults: () => this.#faults,
      checkError: (entry, errno) => excuses.check(entry, errno),
    });
    this.#course = new Course(this.#clock, () => this.#situation);
    this.#aftermath = new Aftermath({
      profile: this.#profile,
      course: this.#course,
      random: this.#random,
      history: this.#history,
      writes: this.#writes,
      reads: this.#reads,
      newcomer: this.#newcomer,
      incarnations: this.#incarnations,
      device: this.#device,
      supervisor: this.#supervisor,
      operator: this.#operator,
      witnesses: this.#witnesses,
      clientele: this.#clientele,
      readsOfItsOwn: () => this.#readsOfItsOwn,
      stopped: () => this.#stopped,
    });
  }

  live(): void {
    this.#supervisor.start();
    this.#course.need(() => this.#ready, START_MS, "the device is not live");
    this.#readsOfItsOwn = this.#reads.usedBytes;
    const { script } = this.#options;
    if (script === undefined) this.#clientele.start();
    else this.#clientele.run(script);
    this.#planInterventions();
    const finished = (): boolean => this.#clientele.finished;
    const inTime = this.#course.until(finished, this.#profile.faultMs);
    // Poison is found and everything else goes on, without anybody's help.
    if (!inTime && isPoisonAlone(this.#profile))
      this.#course.need(finished, 0, "one that kills holds up all the others");
    this.#faults = false;
    this.#trace.add("faults off", 0, 0, 0, 0);
    this.#course.need(finished, LIVENESS_MS, "requests are unanswered");
    this.#aftermath.live();
  }

  outcome(thrown: unknown): Outcome {
    const violation = thrown === undefined ? undefined : asViolation(thrown);
    return {
      seed: this.#options.seed,
      hash: this.#trace.hash,
      violation:
        violation === undefined
          ? undefined
          : {
              promise: violation.promise,
              message: violation.message,
              ...(violation.sector === undefined ? {} : { sector: violation.sector }),
            },
      lines: violation === undefined ? [] : this.#trace.last(LINES, violation.sector),
      requests: this.#clientele.requests,
      crashes: this.#crashes,
      counts: {
        ...this.#witnesses.counts,
        upgrades: this.#operator.upgrades.upgraded,
        rollbacks: this.#operator.upgrades["rolled back"],
      },
      fuaOverlapAndCrash: this.#history.crashesAfterFuaOverlap > 0,
      steps: this.#steps,
      virtualMs: this.#clock.now(),
    };
  }

  #crashHere(): boolean {
    this.#steps++;
    const { crashAt } = this.#options;
    if (crashAt !== undefined) return crashAt.includes(this.#steps);
    const chance = this.#incarnations.newest?.kind.profile.crash ?? 0;
    return this.#faults && this.#random.chance(chance);
  }

  get #situation(): string {
    const { state, reason } = this.#supervisor;
    return `state ${state}${reason === undefined ? "" : `: ${reason}`}; waiting: ${this.#clientele.waitsFor}`;
  }

  /** What an operator does meanwhile. */
  #planInterventions(): void {
    const { operator, newcomer, poison } = this.#profile.sickness;
    // Whoever lives then dies, so that what was written before, and isn't durable, has to be written again.
    if (poison !== undefined && poison.from > 0) {
      this.#clock.after(poison.from - this.#clock.now(), () => this.#incarnations.crash());
    }
    if (operator) this.#operator.plan();
    if (newcomer !== undefined && this.#newcomer !== undefined) {
      const { upgradeAfterMs } = this.#options;
      if (upgradeAfterMs === undefined) this.#operator.planUpgrades(this.#newcomer, newcomer.times);
      else this.#operator.planUpgradeAfter(upgradeAfterMs, this.#newcomer);
    }
  }
}

function asViolation(thrown: unknown): Violation {
  if (thrown instanceof Violation) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  return new Violation("core", error.stack ?? error.message);
}
