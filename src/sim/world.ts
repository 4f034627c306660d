import assert from "node:assert/strict";
import { SeededRandom } from "../block/random.ts";
import type { Log } from "../shadow/ports.ts";
import type { StopOutcome } from "../supervisor/supervisor.ts";
import { Aftermath } from "./aftermath.ts";
import { Clientele } from "./clientele.ts";
import { VirtualClock } from "./clock.ts";
import type { Counts } from "./counts.ts";
import { Course, LIVENESS_MS } from "./course.ts";
import { drawProfile } from "./draw-profile.ts";
import { type DriverKind, fallbackKind, firstKind, GROWN_SECTORS, newcomerKind } from "./driver-kind.ts";
import { Fates, type FaultList } from "./fates.ts";
import { History } from "./history.ts";
import { Life } from "./life.ts";
import { Liveness } from "./liveness.ts";
import type { Mark } from "./marks.ts";
import { Operator } from "./operator.ts";
import type { Profile } from "./profile.ts";
import type { ClientScript } from "./program.ts";
import { type Death, Reaper } from "./reaper.ts";
import type { Draft } from "./sim-client.ts";
import { SimFront } from "./sim-front.ts";
import { DiskHome, type DiskHomePorts, type Dwelling, MemoryHome, ShmHome, type SimHome } from "./sim-home.ts";
import { SimIncarnations } from "./sim-incarnations.ts";
import { Store } from "./store.ts";
import { Trace } from "./trace.ts";
import { type PromiseName, Violation, WorldsEnd } from "./violation.ts";
import { WatchedHome } from "./watched-home.ts";
import { isPoisonAlone, Witnesses } from "./witnesses.ts";

/** From its start on, until the device is live. Virtual milliseconds, as everywhere here. */
const START_MS = 1000;
/** After a power cut, at least: by then it is later by the clock than any epoch that nobody remembers. */
const BOOT_MS = 10;
/** An error of the log's disk that is over lasts less than this. */
const BROKEN_MS = 300;
/** Of the trace, in an outcome. */
const LINES = 60;

export interface WorldOptions {
  readonly seed: number;
  /** Drawn from the seed if left out. */
  readonly profile?: Profile;
  /** One client that does exactly this, instead of those of the profile. */
  readonly script?: readonly Draft[];
  /** What clients do, and which of the faults come true, instead of what chance would have: see {@link Outcome.played}. */
  readonly clients?: readonly ClientScript[];
  readonly faults?: FaultList;
  /** The steps of the drivers at which they die, counted from 1; by chance if left out. */
  readonly crashAt?: readonly number[];
  /** What dies at which steps of the fronts, counted from 1 over all of them. */
  readonly kills?: readonly Kill[];
  /** With a newcomer in the profile: how long after the clients it comes, in virtual milliseconds; by chance if left out. */
  readonly upgradeAfterMs?: number;
  readonly recording?: boolean;
}

export interface Kill {
  readonly at: number;
  readonly what: Death;
}

export interface Outcome {
  readonly seed: number;
  /** Eight hexadecimal digits over every event: the same seed gives the same. */
  readonly hash: string;
  readonly violation: { readonly promise: PromiseName; readonly message: string; readonly sector?: number } | undefined;
  /** With `recording`: the last events about the sector concerned, or of all. */
  readonly lines: readonly string[];
  /** What has come of chance: the same seed and profile with this makes the same world again. */
  readonly played: { readonly clients: readonly ClientScript[]; readonly faults: FaultList };
  readonly requests: number;
  readonly crashes: number;
  readonly counts: Counts;
  readonly marks: readonly Mark[];
  /** A FUA request overlapped what no flush had covered, and the driver crashed after that. */
  readonly fuaOverlapAndCrash: boolean;
  /** Points at which the driver could have died. */
  readonly steps: number;
  /** … and the fronts. */
  readonly frontSteps: number;
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
  readonly #fates: Fates;
  readonly #clock = new VirtualClock();
  readonly #trace: Trace;
  readonly #store: Store;
  readonly #history: History;
  readonly #home: SimHome;
  readonly #first: DriverKind;
  readonly #fallback: DriverKind | undefined;
  readonly #newcomer: DriverKind | undefined;
  readonly #incarnations: SimIncarnations;
  readonly #operator: Operator;
  readonly #witnesses: Witnesses;
  readonly #clientele: Clientele;
  readonly #course: Course;
  readonly #reaper: Reaper;
  readonly #liveness: Liveness;
  readonly #aftermath: Aftermath;
  readonly #counts = { frontDeaths: 0, doubleDeaths: 0, powerCuts: 0, handovers: 0, takeUps: 0 };
  readonly #log: Log = {
    info: (message) => this.#trace.add("log", 0, 0, 0, 0, message),
    warn: (message) => this.#trace.add("log", 0, 0, 0, 1, message),
    error: (message) => {
      this.#witnesses.excuses.errorLogged();
      this.#trace.add("log", 0, 0, 0, 2, message);
    },
  };
  #life: Life;
  /** The one that lives, once it has taken up what there was. */
  #front: SimFront | undefined;
  /** The next front would start now, if the last one's driver were gone. */
  #frontWaits = false;
  /** The front that lives is to end for another one. */
  #handsOver = false;
  /** The last front ended, and everything was durable in the store. */
  #leavesNothing = false;
  /** What the lock of the store says. */
  #lockedEpoch = 0;
  #steps = 0;
  #frontSteps = 0;
  #crashes = 0;
  #faults = true;
  #homeIsBroken = false;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#fates = new Fates(options.faults);
    // A world whose profile is given draws everything else as the one that draws it.
    const drawing = this.#random.fork();
    this.#profile = options.profile ?? drawProfile(drawing);
    const { sectors, sickness, home } = this.#profile;
    const { newcomer, fallback, policy } = sickness;
    this.#trace = new Trace(this.#clock, options.recording ?? false);
    this.#store = new Store(sectors + GROWN_SECTORS, this.#random.fork());
    this.#history = new History(this.#store, () => this.#sheltered);
    this.#home = makeHome(this.#profile, { clock: this.#clock, random: this.#random.fork(), log: this.#log });
    this.#life = new Life(this.#clock);
    this.#witnesses = new Witnesses({
      profile: this.#profile,
      clock: this.#clock,
      random: this.#random.fork(),
      fates: this.#fates,
      history: this.#history,
      front: () => this.#front,
      faults: () => this.#faults,
      driver: () => this.#incarnations.newest,
    });
    const { lies, court, watchdog, excuses, marks } = this.#witnesses;
    this.#history.garbled = lies !== undefined;
    this.#first = firstKind(this.#profile);
    this.#fallback = fallback === undefined ? undefined : fallbackKind(this.#profile);
    const liarsMs = (policy.probationMs ?? 0) / 2;
    this.#newcomer =
      newcomer === undefined ? undefined : newcomerKind(this.#profile, newcomer, () => this.#operator.leftOf(liarsMs));
    this.#incarnations = new SimIncarnations({
      clock: this.#clock,
      trace: this.#trace,
      store: this.#store,
      fates: this.#fates,
      lies,
      kinds: [this.#first, this.#fallback, this.#newcomer].filter((kind) => kind !== undefined),
      fork: () => this.#random.fork(),
      front: () => this.#need(),
      crashHere: () => this.#crashHere(),
      faults: () => this.#faults,
      refuses: () => excuses.refuses(),
      started: (epoch, { keepsNothing }) => {
        this.#lockedEpoch = epoch;
        this.#history.fooled = keepsNothing;
      },
      reaped: () => this.#startFront(),
      dies: (driver) => {
        marks.dies(driver);
        if (!driver.closed) this.#crashes++;
        this.#history.crashed();
      },
      hangs: (driver, hang) => watchdog.hangs(driver, hang),
      poisoned: (deed) => court.kills(deed),
      took: (ms) => watchdog.took(ms),
      submitted: (submission) => marks.submits(submission),
      completes: (driver, submission, errno) => marks.completes(driver, submission, errno),
    });
    this.#operator = new Operator({
      clock: this.#clock,
      random: this.#random.fork(),
      fates: this.#fates,
      enter: (work) => {
        const front = this.#front;
        front?.life.enter(() => work(front.supervisor));
      },
      faults: () => this.#faults,
      upgrades: () => marks.upgrades(),
    });
    this.#clientele = new Clientele({
      profile: this.#profile,
      clock: this.#clock,
      random: this.#random.fork(),
      trace: this.#trace,
      history: this.#history,
      witness: this.#witnesses,
      faults: () => this.#faults,
      checkError: (entry, errno) => excuses.check(entry, errno),
    });
    this.#course = new Course(this.#clock, () => this.#situation);
    const take = (death: Death): void => this.#take(death);
    this.#reaper = new Reaper({
      clock: this.#clock,
      random: this.#random.fork(),
      fates: this.#fates,
      profile: home,
      faults: () => this.#faults,
      take,
    });
    this.#liveness = new Liveness({
      clock: this.#clock,
      longestWait: () => this.#clientele.longestWait,
      isWell: () => this.#isWell,
      isBrisk: isBrisk(this.#profile),
    });
    this.#aftermath = new Aftermath({
      profile: this.#profile,
      course: this.#course,
      random: this.#random,
      history: this.#history,
      newcomer: this.#newcomer,
      incarnations: this.#incarnations,
      operator: this.#operator,
      witnesses: this.#witnesses,
      clientele: this.#clientele,
      front: () => this.#front,
      mendHome: () => this.#mendHome(),
      take,
    });
  }

  live(): void {
    this.#raise();
    this.#course.need(() => this.#front?.serves === true, START_MS, "the device is not live");
    this.#liveness.begin();
    const { script, clients } = this.#options;
    if (script === undefined) this.#clientele.start(clients);
    else this.#clientele.run(script);
    this.#planInterventions();
    this.#reaper.came();
    const finished = (): boolean => this.#clientele.finished;
    const inTime = this.#course.until(finished, this.#profile.faultMs);
    // Poison is found and everything else goes on, without anybody's help.
    if (!inTime && isPoisonAlone(this.#profile))
      this.#course.need(finished, 0, "one that kills holds up all the others");
    this.#faults = false;
    this.#trace.add("faults off", 0, 0, 0, 0);
    this.#liveness.calm();
    this.#witnesses.marks.calm();
    this.#course.need(finished, LIVENESS_MS, "requests are unanswered");
    this.#aftermath.live();
    this.#witnesses.marks.sample();
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
      played: { clients: this.#clientele.played, faults: this.#fates.list },
      requests: this.#clientele.requests,
      crashes: this.#crashes,
      counts: {
        ...this.#witnesses.counts,
        ...this.#counts,
        upgrades: this.#operator.upgrades.upgraded,
        rollbacks: this.#operator.upgrades["rolled back"],
      },
      marks: [...this.#witnesses.marks.seen],
      fuaOverlapAndCrash: this.#history.crashesAfterFuaOverlap > 0,
      steps: this.#steps,
      frontSteps: this.#frontSteps,
      virtualMs: this.#clock.now(),
    };
  }

  #crashHere(): boolean {
    this.#steps++;
    const { crashAt } = this.#options;
    if (crashAt !== undefined) return crashAt.includes(this.#steps);
    const chance = this.#incarnations.newest?.kind.profile.crash ?? 0;
    return this.#faults && this.#fates.strikes("crash", this.#random, chance);
  }

  // ── Fronts ────────────────────────────────────────────────────────────────────────────────────────────────────

  #need(): SimFront {
    assert(this.#front !== undefined, "there is no front");
    return this.#front;
  }

  /** A front starts: takes up what the one before has left, and opens a driver. */
  #raise(): void {
    const { home } = this.#profile;
    const mayDie = home.kind !== "memory";
    const life = new Life(this.#clock, mayDie ? (atHome) => this.#diesHere(life, atHome) : undefined);
    this.#life = life;
    this.#trace.add("front starts", 0, 0, 0, 0);
    life.enter(() => {
      this.#home.open(life, (dwelling) => this.#moveIn(life, dwelling));
    });
  }

  #moveIn(life: Life, dwelling: Dwelling): void {
    const pieces = dwelling.remains?.pieces.length ?? 0;
    if (pieces > 0) this.#counts.takeUps++;
    if (pieces > 0 && this.#leavesNothing) throw new Violation("P6", `${pieces} pieces are left of a clean end`);
    this.#leavesNothing = false;
    this.#trace.add("front takes up", 0, 0, 0, pieces);
    const { marks } = this.#witnesses;
    marks.takesUp(pieces);
    if (dwelling.endsTorn) marks.tornRecord();
    if (dwelling.passesOver) marks.passesOver();
    const home = dwelling.home === undefined ? undefined : new WatchedHome(dwelling.home, marks);
    const front: SimFront = new SimFront(
      {
        life,
        profile: this.#profile,
        random: this.#random,
        log: this.#log,
        incarnations: this.#incarnations,
        first: this.#first,
        fallback: this.#fallback,
        lockedEpoch: this.#lockedEpoch,
        serves: () => {
          this.#trace.add("front serves", front.supervisor.epoch, 0, 0, 0);
          this.#clientele.served(front);
        },
        startFailed: (reason) => {
          // The very first driver opens, if nobody kills it; those of later fronts have reasons not to, as those of a restart.
          if (front.supervisor.epoch === 1 && this.#crashes === 0)
            throw new Violation("liveness", `the first start failed: ${reason}`);
          this.#take("front");
        },
        stopped: (outcome) => {
          if (this.#handsOver) this.#handedOver(outcome, life);
        },
        event: (event) => {
          this.#trace.add("event", event.epoch, 0, 0, 0, `${event.type}: ${event.reason}`);
          this.#liveness.disturbed();
          this.#operator.event(event);
          this.#witnesses.event(event);
        },
      },
      { ...dwelling, home },
    );
    this.#front = front;
    front.start();
  }

  /** Asked at each step of a front. */
  #diesHere(life: Life, atHome: boolean): boolean {
    if (!this.#faults) return !life.alive;
    this.#frontSteps++;
    const { kills } = this.#options;
    if (kills === undefined) {
      const death = this.#reaper.strikes(atHome);
      if (death !== undefined) this.#take(death);
    } else {
      for (const { at, what } of kills) if (at === this.#frontSteps) this.#take(what);
    }
    return !life.alive;
  }

  #take(death: Death): void {
    if (death === "driver" || death === "both") this.#incarnations.crash();
    if (death === "driver" || !this.#life.alive) return;
    if (death === "handover") return this.#handOver();
    this.#counts.frontDeaths++;
    if (this.#front?.serves !== true) this.#counts.doubleDeaths++;
    this.#end(death);
  }

  /** It drains, flushes as far as it can, and ends; the next one goes on with what is left. */
  #handOver(): void {
    if (this.#front?.serves !== true) return;
    this.#handsOver = true;
    this.#operator.stop(true);
  }

  #handedOver({ clean }: StopOutcome, life: Life): void {
    this.#home.close(() => {
      if (!life.alive) return;
      this.#counts.handovers++;
      this.#leavesNothing = clean;
      this.#end("handover");
    });
  }

  #end(death: Exclude<Death, "driver">): void {
    this.#trace.add(death === "power" ? "power fails" : "front dies", 0, 0, 0, 0, death);
    this.#handsOver = false;
    this.#witnesses.marks.frontEnds(death);
    this.#life.end();
    this.#front = undefined;
    this.#home.frontDied();
    if (death === "power") this.#powerFails();
    else this.#history.frontDied();
    this.#operator.frontDied();
    this.#witnesses.frontDied();
    this.#clientele.frontDied(death === "handover");
    this.#incarnations.orphaned();
    const bootMs = death === "power" ? BOOT_MS : 0;
    this.#clock.after(bootMs + this.#random.below(this.#profile.home.startMs), () => {
      this.#frontWaits = true;
      this.#startFront();
    });
  }

  #powerFails(): void {
    this.#counts.powerCuts++;
    this.#lockedEpoch = 0;
    this.#incarnations.powerFails();
    this.#store.powerFails();
    this.#home.powerFails();
    this.#history.powerFailed();
  }

  /** Not before the fence: the driver of the last front is gone. */
  #startFront(): void {
    if (!this.#frontWaits || !this.#incarnations.idle) return;
    this.#frontWaits = false;
    this.#raise();
    this.#reaper.came();
  }

  /** Sectors that survive a power cut whatever the store makes of it: what a durable home has of them. */
  get #sheltered(): (sector: number) => boolean {
    if (this.#profile.home.kind !== "disk") return () => false;
    if (this.#front === undefined) return () => true;
    const { blockSize } = this.#profile;
    const sheltered = new Set<number>();
    for (const { offset, length } of this.#front.device.shadowPieces()) {
      for (let at = offset; at < offset + length; at += blockSize) sheltered.add(at / blockSize);
    }
    return (sector) => sheltered.has(sector);
  }

  #breakHome(): void {
    const home = this.#home;
    if (!this.#faults || !(home instanceof DiskHome) || !this.#fates.comes("failure of the log")) return;
    this.#homeIsBroken = true;
    this.#trace.add("home breaks", 0, 0, 0, 0);
    this.#witnesses.marks.breaks();
    home.breakDown(this.#random.pick(["write", "sync"]));
    // It may be over before the front has written all to the store, or never.
    if (this.#random.chance(0.5)) this.#clock.after(this.#random.below(BROKEN_MS), () => home.mend());
  }

  #mendHome(): boolean {
    if (!(this.#home instanceof DiskHome) || !this.#homeIsBroken) return false;
    this.#homeIsBroken = false;
    this.#home.mend();
    return true;
  }

  get #isWell(): boolean {
    const state = this.#front?.supervisor.state;
    return (state === "live" || state === "degraded") && this.#incarnations.newest?.condition === "well";
  }

  get #situation(): string {
    const waiting = `waiting: ${this.#clientele.waitsFor}`;
    if (this.#front === undefined) return `no front; ${waiting}`;
    const { state, reason } = this.#front.supervisor;
    return `state ${state}${reason === undefined ? "" : `: ${reason}`}; ${waiting}`;
  }

  /** What an operator does meanwhile. */
  #planInterventions(): void {
    const { operator, newcomer, poison } = this.#profile.sickness;
    // Whoever lives then dies, so that what was written before, and isn't durable, has to be written again.
    if (poison !== undefined && poison.from > 0) {
      this.#clock.after(poison.from - this.#clock.now(), () => this.#incarnations.crash());
    }
    const { logFailsAtMs } = this.#profile.home;
    if (logFailsAtMs !== undefined) this.#clock.after(logFailsAtMs, () => this.#breakHome());
    if (operator) this.#operator.plan();
    if (newcomer !== undefined && this.#newcomer !== undefined) {
      const { upgradeAfterMs } = this.#options;
      if (upgradeAfterMs === undefined) this.#operator.planUpgrades(this.#newcomer, newcomer.times);
      else this.#operator.planUpgradeAfter(upgradeAfterMs, this.#newcomer);
    }
  }
}

function makeHome(profile: Profile, ports: DiskHomePorts): SimHome {
  const { home, limits, writeBytes } = profile;
  switch (home.kind) {
    case "memory":
      return new MemoryHome(writeBytes);
    case "shm":
      return new ShmHome(writeBytes, limits.pieces);
    case "disk":
      return new DiskHome(ports, profile);
  }
}

/** See {@link LivenessPorts.isBrisk}. */
function isBrisk({ driver, sickness, home }: Profile): boolean {
  const { refuse, refuseFua, flushFails, badSectors } = driver;
  const { poison, hang, strain } = sickness;
  const refuses = refuse + refuseFua + flushFails + badSectors > 0 || home.logFailsAtMs !== undefined;
  return !refuses && poison === undefined && hang + strain === 0;
}

function asViolation(thrown: unknown): Violation {
  if (thrown instanceof Violation) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  return new Violation("core", error.stack ?? error.message);
}
