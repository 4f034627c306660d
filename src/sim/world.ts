import { ERRNO } from "../block/errors.ts";
import type { Geometry } from "../block/geometry.ts";
import { Session } from "../nbd/server/session.ts";
import { Device } from "../shadow/device.ts";
import type { Incarnations, Log } from "../shadow/ports.ts";
import { type StopOutcome, Supervisor } from "../supervisor/supervisor.ts";
import { VirtualClock } from "./clock.ts";
import { describe, type Entry, History } from "./history.ts";
import { PoisonedMemory } from "./memory.ts";
import { drawProfile, type Profile } from "./profile.ts";
import { RandomProgram, Script } from "./program.ts";
import { SeededRandom } from "./random.ts";
import { type ClientLine, type Draft, type Program, SimClient } from "./sim-client.ts";
import { SimConnection } from "./sim-connection.ts";
import { SimDriver } from "./sim-driver.ts";
import { Store } from "./store.ts";
import { Trace } from "./trace.ts";
import { type PromiseName, Violation } from "./violation.ts";
import { WatchedDevice } from "./watched-device.ts";

/** How long what is outstanding may take once the faults are off. Virtual milliseconds, as everywhere here. */
const LIVENESS_MS = 120_000;
const START_MS = 1000;
/** After the last reply: until all that is on its way has come. */
const SETTLE_MS = 1000;
/** More than any world needs: where time stands still, this ends it. */
const MAX_EVENTS = 400_000;

/** Of the trace, in an outcome. */
const LINES = 60;
const SCRIPT_DEPTH = 8;
const READ_SECTORS = 16;

export interface WorldOptions {
  readonly seed: number;
  /** Drawn from the seed if left out. */
  readonly profile?: Profile;
  /** One client that does exactly this, instead of those of the profile. */
  readonly script?: readonly Draft[];
  /** The steps of the driver at which it dies, counted from 1; by chance if left out. */
  readonly crashAt?: readonly number[];
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
    return world.outcome(thrown);
  }
}

class World implements Incarnations {
  readonly #options: WorldOptions;
  readonly #profile: Profile;
  readonly #random: SeededRandom;
  readonly #clock = new VirtualClock();
  readonly #trace: Trace;
  readonly #store: Store;
  readonly #history: History;
  readonly #writes: PoisonedMemory;
  readonly #reads: PoisonedMemory;
  readonly #device: Device;
  readonly #supervisor: Supervisor;
  readonly #geometry: Geometry;
  readonly #log: Log;
  #driver: SimDriver | undefined;
  #lastEpoch = 0;
  #clients: SimClient[] = [];
  #connections = 0;
  #ids = 0;
  #events = 0;
  #steps = 0;
  #crashes = 0;
  #faults = true;
  #ready = false;
  /** What the device keeps for itself of the memory for reads. */
  #readsOfItsOwn = 0;
  #stopped: StopOutcome | undefined;
  /** Something happened for which a request may fail. */
  #errorsExcused = false;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#profile = options.profile ?? drawProfile(this.#random.fork());
    const { sectors, blockSize, driver, limits, writeBytes, readBytes } = this.#profile;
    this.#trace = new Trace(this.#clock, options.recording ?? false);
    this.#store = new Store(sectors, this.#random.fork());
    this.#history = new History(this.#store);
    this.#writes = new PoisonedMemory(0, writeBytes);
    this.#reads = new PoisonedMemory(1, readBytes);
    const { fua, trim, zero, extents } = driver;
    this.#geometry = { size: sectors * blockSize, blockSize, readOnly: false, fua, trim, zero, extents };
    this.#log = {
      info: (message) => this.#trace.add("log", 0, 0, 0, 0, message),
      warn: (message) => this.#trace.add("log", 0, 0, 0, 1, message),
      error: (message) => {
        // The device says on this level why it will refuse requests.
        this.#errorsExcused = true;
        this.#trace.add("log", 0, 0, 0, 2, message);
      },
    };
    this.#device = new Device(
      {
        name: "disk",
        clock: this.#clock,
        random: this.#random.fork(),
        log: this.#log,
        writes: this.#writes,
        reads: this.#reads,
        shortOfReads: () => {},
        cutOffIdleWriters: () => 0,
      },
      limits,
    );
    this.#supervisor = new Supervisor({
      device: this.#device,
      incarnations: this,
      clock: this.#clock,
      log: this.#log,
      observer: {
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
    });
  }

  live(): void {
    this.#supervisor.start();
    this.#runUntil(() => this.#ready, START_MS, "the device is not live");
    this.#readsOfItsOwn = this.#reads.usedBytes;
    this.#startClients();
    this.#planInterventions();
    this.#run(() => this.#clients.every((client) => client.finished), this.#profile.faultMs);
    this.#faults = false;
    this.#trace.add("faults off", 0, 0, 0, 0);
    this.#runUntil(() => this.#clients.every((client) => client.finished), LIVENESS_MS, "requests are unanswered");
    const serves = (): boolean => this.#supervisor.state === "live" || this.#supervisor.state === "degraded";
    this.#runUntil(serves, LIVENESS_MS, "the device does not recover");
    this.#readAll("after the faults");
    this.#driver?.crash();
    this.#readAll("after a last crash");
    this.#runScript([{ kind: "flush", first: 0, count: 0 }], "the last flush");
    this.#checkRest();
    this.#runScript([{ kind: "write", first: 0, count: 2, fua: true }], "a last FUA write");
    this.#checkRest();
    this.#stop();
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
      requests: this.#ids,
      crashes: this.#crashes,
      fuaOverlapAndCrash: this.#history.crashesAfterFuaOverlap > 0,
      steps: this.#steps,
      virtualMs: this.#clock.now(),
    };
  }

  // ── Incarnations ────────────────────────────────────────────────────────────────────────────────────────────────

  start(epoch: number): void {
    if (this.#driver !== undefined) {
      throw new Violation("P4", `epoch ${epoch} starts while epoch ${this.#driver.epoch} is not reaped`);
    }
    if (epoch <= this.#lastEpoch) throw new Violation("P4", `epoch ${epoch} follows epoch ${this.#lastEpoch}`);
    this.#lastEpoch = epoch;
    this.#driver = new SimDriver(epoch, {
      clock: this.#clock,
      random: this.#random.fork(),
      trace: this.#trace,
      store: this.#store,
      writes: this.#writes,
      reads: this.#reads,
      events: this.#supervisor,
      info: { geometry: this.#geometry, identity: "store", discards: false },
      profile: this.#profile.driver,
      crashHere: () => this.#crashHere(),
      faults: () => this.#faults,
      refuses: () => {
        this.#errorsExcused = true;
      },
      exited: () => {
        this.#driver = undefined;
      },
      dies: () => {
        this.#crashes++;
        this.#history.crashed();
      },
    });
  }

  close(epoch: number): void {
    if (this.#driver?.epoch === epoch) this.#driver.close();
  }

  kill(epoch: number): void {
    if (this.#driver?.epoch === epoch) this.#driver.kill();
  }

  #crashHere(): boolean {
    this.#steps++;
    const { crashAt } = this.#options;
    if (crashAt !== undefined) return crashAt.includes(this.#steps);
    return this.#faults && this.#random.chance(this.#profile.driver.crash);
  }

  // ── Clients ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #startClients(): void {
    const { script } = this.#options;
    if (script !== undefined) {
      this.#addClient(() => new Script(script, SCRIPT_DEPTH));
      return;
    }
    for (const profile of this.#profile.clients) {
      this.#addClient(
        (client) =>
          new RandomProgram(profile, {
            random: this.#random.fork(),
            extents: this.#profile.driver.extents,
            faults: () => this.#faults,
            outstanding: () => client().waitsFor,
          }),
      );
    }
  }

  #addClient(makeProgram: (client: () => SimClient) => Program): SimClient {
    const program = makeProgram(() => client);
    const client: SimClient = new SimClient(
      {
        clock: this.#clock,
        trace: this.#trace,
        history: this.#history,
        blockSize: this.#profile.blockSize,
        connect: (line, fragments) => this.#connect(line, fragments),
        nextId: () => ++this.#ids,
        checkError: (entry, errno) => this.#checkError(entry, errno),
      },
      program,
    );
    this.#clients.push(client);
    client.start();
    return client;
  }

  #connect(line: ClientLine, fragments: boolean): SimConnection {
    const ports = { clock: this.#clock, random: this.#random.fork() };
    const connection = new SimConnection(++this.#connections, ports, fragments);
    const device = new WatchedDevice(this.#device, line, this.#history, this.#trace);
    const offered = { name: "disk", description: "", device };
    const exports = { list: () => [offered], find: () => offered };
    const limits = { inFlightRequests: this.#profile.inFlightRequests };
    connection.open(() => new Session({ transport: connection, exports, clock: this.#clock, limits }), line);
    return connection;
  }

  /** Requests fail for a reason, or not at all. */
  #checkError(entry: Entry, errno: number): void {
    if (entry.kind === "zero" && entry.fast && errno === ERRNO.ENOTSUP) return;
    if (this.#errorsExcused) return;
    throw new Violation("errors", `${describe(entry)} failed with ${errno} for no reason`, entry.first);
  }

  /** What an operator does meanwhile. */
  #planInterventions(): void {
    if (this.#options.script !== undefined || !this.#random.chance(0.3)) return;
    for (let i = this.#random.between(1, 3); i > 0; i--) {
      const planned = this.#random.chance(0.6);
      this.#clock.after(this.#random.between(1, 1000), () => {
        if (!this.#faults) return;
        if (planned) this.#supervisor.restart();
        else this.#supervisor.kill();
      });
    }
  }

  // ── The end ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #readAll(when: string): void {
    const { sectors } = this.#profile;
    const drafts: Draft[] = [];
    for (let first = 0; first < sectors; first += READ_SECTORS) {
      drafts.push({ kind: "read", first, count: Math.min(READ_SECTORS, sectors - first) });
    }
    this.#runScript(drafts, `the reading ${when}`);
  }

  /** Without faults: whatever fails now has no excuse. */
  #runScript(drafts: readonly Draft[], what: string): void {
    this.#errorsExcused = false;
    const client = this.#addClient(() => new Script(drafts, SCRIPT_DEPTH));
    this.#runUntil(() => client.finished, LIVENESS_MS, `${what} is not over`);
  }

  /** Everything has been answered and flushed: nothing is held any more, and the medium has it all. */
  #checkRest(): void {
    this.#run(() => false, SETTLE_MS);
    const { pieces } = this.#device.shadow;
    if (pieces > 0) throw new Violation("P6", `${pieces} pieces are held although everything is durable`);
    if (this.#device.unanswered > 0) throw new Violation("P7", `${this.#device.unanswered} requests are unanswered`);
    if (this.#writes.usedBytes > 0) throw new Violation("P6", `${this.#writes.usedBytes} bytes of writes have leaked`);
    const leaked = this.#reads.usedBytes - this.#readsOfItsOwn;
    if (leaked > 0) throw new Violation("P6", `${leaked} bytes of reads have leaked`);
    this.#history.checkEnd();
  }

  #stop(): void {
    this.#supervisor.stop();
    this.#runUntil(() => this.#stopped !== undefined, LIVENESS_MS, "the device does not stop");
    if (this.#stopped?.clean !== true)
      throw new Violation("liveness", `the stop is not clean: ${this.#stopped?.reason}`);
  }

  /** Runs until `done`, for `ms` at most. */
  #run(done: () => boolean, ms: number): boolean {
    const limit = this.#clock.now() + ms;
    while (!done()) {
      if (!this.#clock.step(limit)) return done();
      if (++this.#events > MAX_EVENTS) throw new Violation("liveness", `${MAX_EVENTS} events and no end`);
    }
    return true;
  }

  #runUntil(done: () => boolean, ms: number, otherwise: string): void {
    if (this.#run(done, ms)) return;
    const waiting = this.#clients.flatMap((client) => client.waitsFor.map(describe));
    const state = `state ${this.#supervisor.state}${this.#supervisor.reason === undefined ? "" : `: ${this.#supervisor.reason}`}`;
    throw new Violation("liveness", `${otherwise} after ${ms} ms (${state}; waiting: ${waiting.join(", ") || "none"})`);
  }
}

function asViolation(thrown: unknown): Violation {
  if (thrown instanceof Violation) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  return new Violation("core", error.stack ?? error.message);
}
