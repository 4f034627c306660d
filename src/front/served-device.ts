import { setTimeout as delay } from "node:timers/promises";
import { SkinkError } from "../block/errors.ts";
import { newFaultCounts } from "../block/fault.ts";
import type { Geometry } from "../block/geometry.ts";
import { storedName } from "../service/names.ts";
import type { ServiceManager } from "../service/service-manager.ts";
import { newCounters } from "../shadow/counters.ts";
import { Device } from "../shadow/device.ts";
import type { BlockDevice, IncarnationEvents, Link, Log } from "../shadow/ports.ts";
import type { DeviceEvent } from "../supervisor/event.ts";
import { DEFAULT_POLICY } from "../supervisor/policy.ts";
import { type StopOutcome, Supervisor } from "../supervisor/supervisor.ts";
import type { UpgradeOutcome } from "../supervisor/upgrade.ts";
import { firstEpoch, realClock, realRandom } from "./clock.ts";
import { checkContradictions } from "./contradictions.ts";
import type { UpgradeResult } from "./control-protocol.ts";
import type { DeviceConfig } from "./device-config.ts";
import { DriverRuns } from "./driver-runs.ts";
import type { FrontEvent } from "./events.ts";
import { HealthCheck } from "./health-check.ts";
import { describeHome } from "./home-spec.ts";
import { type DeviceMemory, type OpenHome, openMemory } from "./homes.ts";
import { Hook } from "./hook.ts";
import type { DeviceSpec } from "./spec.ts";
import type { DeviceStatus } from "./status.ts";
import { StoreClaim } from "./store-claim.ts";

/** The shadow is not whole; to go on would be to forget what was acknowledged. */
const DAMAGES = ["log-damaged", "ledger-damaged"];

/** What drivers keep is stored as, for the next front: see {@link DriverContext.keep}. */
const KEPT = "kept";

/** How long a driver may take to be loaded ahead of its start. */
const LOAD_TIMEOUT_MS = 10_000;

/** What a device asks of those who serve its clients when memory is short: see {@link NbdServer}. */
export interface Clients {
  unpinAll(): void;
  cutOffIdleWriters(device: BlockDevice): number;
}

/** What a device consists of once its home is open. */
interface Parts {
  readonly device: Device;
  readonly supervisor: Supervisor;
  readonly runs: DriverRuns;
  readonly claim: StoreClaim;
}

/** What a served device is given. */
export interface DeviceContext {
  readonly log: Log;
  /** Keeps what is to outlive this front. */
  readonly service: ServiceManager;
  readonly clients: Clients;
  /** Where clients find it. */
  uri(): string;
  /** Takes what happens to it. */
  tell(event: DeviceEvent): FrontEvent;
}

/** One device of a front: the core with real time, memory and incarnations around it. */
export class ServedDevice {
  readonly name: string;
  readonly #config: DeviceConfig;
  readonly #context: DeviceContext;
  readonly #hook: Hook | undefined;
  readonly #health: HealthCheck | undefined;
  readonly #started = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<StopOutcome>();
  /** Aborted by a stop: what has not begun need not. */
  readonly #ending = new AbortController();
  #memory: DeviceMemory | undefined;
  #runs: DriverRuns | undefined;
  #opening: Promise<Parts> | undefined;
  #parts: Parts | undefined;
  /** What stands before the device, where it is recorded. */
  #towardsClients: BlockDevice | undefined;
  #damage: SkinkError | undefined;
  /** Who waits for the end of a planned restart. */
  #restarting: PromiseWithResolvers<void> | undefined;
  /** The newest incarnation before that. */
  #restartedEpoch = 0;
  /** Why the newest incarnation that could not open could not. */
  #openFailure: { readonly epoch: number; readonly message: string } | undefined;
  /** How the newest incarnation that has ended did. */
  #end: string | undefined;

  /** Opens and starts nothing yet. Throws `bad-device`. */
  constructor(config: DeviceConfig, context: DeviceContext) {
    checkContradictions(config.name, config);
    this.name = config.name;
    this.#config = config;
    this.#context = context;
    // Whoever starts it waits for this; nobody has to, though, who has stopped it meanwhile.
    this.#started.promise.catch(() => {});
    const { log } = context;
    this.#hook = config.hook === undefined ? undefined : new Hook(config.hook, log);
    this.#health =
      config.health === undefined
        ? undefined
        : new HealthCheck(config.health, { log, sick: (epoch, reason) => this.#parts?.supervisor.sick(epoch, reason) });
  }

  /** What clients are served; there once it has started. */
  get device(): BlockDevice {
    return this.#towardsClients ?? this.#need("serve").device;
  }

  /** Resolves when the recording has the text. Rejects with `not-recorded`, or with why it can't have it. */
  async mark(text: string): Promise<void> {
    const { tap } = this.#config;
    if (tap !== undefined && this.#towardsClients !== undefined) return await tap.mark(text);
    const wanted = "a device that skink record serves was wanted";
    throw new SkinkError("not-recorded", `Cannot mark ${this.name}: it is not being recorded, ${wanted}`);
  }

  /** Makes its memory, or takes up what a front before this one has left of it: what can be done while that one still serves. */
  prepare(): void {
    const { name, link, limits, home } = this.#config;
    const { service, log } = this.#context;
    this.#memory ??= openMemory({ name, link, limits, home, service, log });
  }

  /**
   * After `prepare`: has a process load the driver, which is opened by `start`. Resolves when it has, or has not in time. Rejects with
   * `start-failed`.
   */
  async loadDriver(): Promise<void> {
    const late = delay<undefined>(LOAD_TIMEOUT_MS, undefined, { ref: false });
    const { memory } = this.#memory as DeviceMemory;
    this.#runs ??= this.#makeRuns(memory);
    const failure = await Promise.race([this.#runs.load(this.#config.spec), late]);
    if (failure !== undefined) throw new SkinkError("start-failed", this.#startMessage(failure));
  }

  /**
   * Resolves when the first incarnation is live. Rejects with `start-failed`, `store-served`, `not-fenced`, `bad-folder` or `stopped`,
   * and nothing is left running.
   */
  async start(): Promise<void> {
    try {
      this.#opening = this.#open();
      await this.#opening;
      await this.#started.promise;
    } catch (error) {
      if (isDamage(error)) this.#damage = error;
      throw error;
    }
  }

  get state(): DeviceStatus["state"] {
    return this.#parts?.supervisor.state ?? (this.#damage === undefined ? "starting" : "failed");
  }

  get upgrading(): boolean {
    return this.#parts?.supervisor.upgrading ?? false;
  }

  /** Why nothing can be served of it: its shadow is not whole. */
  get damage(): SkinkError | undefined {
    return this.#damage;
  }

  /** Whether what it has acknowledged is found by another front, whatever becomes of this one. */
  get outlivesFront(): boolean {
    const { kind } = this.#config.home ?? { kind: "memory" };
    return kind !== "memory";
  }

  /** Resolves when the driver is closed, or had to be given up. `handsOver`: another front goes on with it. */
  async stop({ handsOver = false }: { readonly handsOver?: boolean } = {}): Promise<StopOutcome> {
    this.#ending.abort();
    // Who starts it is told why it could not be opened.
    const parts = await this.#opening?.catch(() => undefined);
    if (parts === undefined) {
      await this.#runs?.end(true);
      return { clean: true, reason: undefined };
    }
    parts.supervisor.stop({ handsOver });
    const outcome = await this.#stopped.promise;
    await Promise.all([this.#health?.stop(), this.#hook?.stop(), parts.runs.end(outcome.clean)]);
    return outcome;
  }

  /** Kills the driver where it stands; its end is not waited for. */
  abandon(): void {
    const { runs, supervisor } = this.#parts ?? {};
    if (supervisor !== undefined) runs?.kill(supervisor.epoch);
    this.#hook?.abandon();
    this.#health?.stop();
  }

  /**
   * After a stop: gives back the memory, to which no client and no living incarnation may refer any more, and the home. `leaves`: what
   * is stored stays, for another front, and the memory is there until the process exits. Resolves with the outcome, which is not clean
   * either where the home still has what no front may take up.
   */
  async close(outcome: StopOutcome, leaves: boolean): Promise<StopOutcome> {
    const { clean } = outcome;
    const left = await this.#memory?.close(clean && !leaves && this.#parts !== undefined);
    if (this.#parts === undefined) return outcome;
    if (!leaves) this.#context.service.forget(storedName(KEPT, this.name));
    const isClean = clean && left === undefined;
    this.#parts.claim.release(isClean);
    return isClean || !clean ? outcome : { clean: false, reason: left };
  }

  kill(): void {
    if (this.#need("kill").supervisor.kill()) return;
    throw this.#wrongTime("kill", "a driver that runs");
  }

  /**
   * Resolves when the device is live again. Rejects with `wrong-state`, `restart-failed` or `stopped`. If the new
   * incarnation ends before it is live, it is said once, and tried again like after any fault.
   */
  async restart(): Promise<void> {
    const { supervisor } = this.#need("restart");
    const { epoch } = supervisor;
    if (!supervisor.restart()) throw this.#wrongTime("restart", "live, degraded, held or failed");
    this.#restartedEpoch = epoch;
    this.#restarting = Promise.withResolvers();
    await this.#restarting.promise;
  }

  /**
   * Hands the device over to another driver for the same store. Resolves when that has proved itself or was taken back, or,
   * without `wait`, when it serves. Rejects with `wrong-state` or `upgrade-refused`.
   */
  async upgrade(spec: DeviceSpec, wait: boolean): Promise<UpgradeResult> {
    const { supervisor, claim } = this.#need("upgrade");
    const giveBack = await claim.add(spec);
    return await new Promise((resolve, reject) => {
      const taken = supervisor.upgrade(spec, {
        serving: (epoch, stallMs) => {
          if (!wait) resolve({ outcome: "on probation", epoch, stallMs });
        },
        ended: (outcome: UpgradeOutcome) => {
          if (outcome.outcome !== "refused") return resolve(outcome);
          giveBack();
          reject(new SkinkError("upgrade-refused", `Cannot upgrade ${this.name}: ${outcome.reason}`));
        },
      });
      if (taken) return;
      giveBack();
      reject(
        supervisor.upgrading
          ? new SkinkError("wrong-state", `Cannot upgrade ${this.name}: another upgrade of it is going on`)
          : this.#wrongTime("upgrade", "live or degraded"),
      );
    });
  }

  status(uri: string): DeviceStatus {
    const home = describeHome(this.#config.home);
    if (this.#parts === undefined) {
      const reason = this.#damage === undefined ? {} : { reason: this.#damage.message };
      const driver = { kind: this.#config.spec.kind, pid: null };
      return { ...UNOPENED, name: this.name, uri, home, state: this.state, ...reason, driver };
    }
    const { device, supervisor, runs } = this.#parts;
    const { state, reason, epoch, restarts, recoveries, faults, driver } = supervisor;
    return {
      name: this.name,
      uri,
      size: device.opened ? device.geometry.size : 0,
      state,
      ...(reason === undefined ? {} : { reason }),
      epoch,
      driver: { kind: driver.kind, pid: runs.pid(epoch) ?? null },
      restarts,
      shadow: device.shadow,
      home,
      recoveries,
      counters: { ...device.counters, faults },
    };
  }

  async #open(): Promise<Parts> {
    this.prepare();
    const memory = this.#memory as DeviceMemory;
    // Nothing of an earlier front may still write when this one looks at what that one has left.
    const claim = await this.#claimStores();
    try {
      const { leftBehind: record, spentLogs: spent } = claim;
      const home = await memory.open({ record, spent, mark: (spent) => claim.markLog(spent) });
      claim.takesUp(home.oldest);
      if (home.remains?.store !== undefined) claim.shadowKept();
      this.#tellTakeUp(home);
      if (this.#ending.signal.aborted) throw this.#stoppedMeanwhile();
      const parts = this.#assemble(memory, home, claim);
      this.#parts = parts;
      parts.supervisor.start();
      return parts;
    } catch (error) {
      // What is damaged stays this store's: its lock says so to who comes next.
      if (isDamage(error)) claim.release(false);
      else claim.abandon();
      throw error;
    }
  }

  async #claimStores(): Promise<StoreClaim> {
    const { name, policy } = this.#config;
    const { reapTimeoutMs } = { ...DEFAULT_POLICY, ...policy };
    const { signal } = this.#ending;
    const say = (line: string): void => this.#context.log.warn(`${name}: ${line}`);
    try {
      return await StoreClaim.take({ config: this.#config, reapTimeoutMs, say, signal });
    } catch (error) {
      throw signal.aborted ? this.#stoppedMeanwhile() : error;
    }
  }

  #assemble({ memory }: DeviceMemory, { home, remains, lastEpoch }: OpenHome, claim: StoreClaim): Parts {
    const { log, clients } = this.#context;
    const { name, spec, fallback, policy, limits, retains = true, verify } = this.#config;
    this.#runs ??= this.#makeRuns(memory);
    const runs = this.#runs;
    let live = false;
    // Why it could not start is said once, by whoever started it.
    const coreLog: Log = { ...log, warn: (message) => live && log.warn(message) };
    const ports = {
      name,
      clock: realClock,
      random: realRandom,
      log: coreLog,
      writes: memory.writes,
      reads: memory.reads,
      shortOfReads: () => clients.unpinAll(),
      cutOffIdleWriters: () => clients.cutOffIdleWriters(this.device),
    };
    const device = new Device(ports, limits, { retains, verify, home, remains });
    const observer = {
      live: () => {
        live = true;
        this.#towardsClients ??= this.#config.tap?.clients(device);
        claim.shadowKept();
        this.#started.resolve();
        this.#restarting?.resolve();
      },
      failed: (reason: string) => {
        this.#started.reject(new SkinkError("start-failed", this.#startMessage(reason)));
        this.#restarting?.reject(new SkinkError("restart-failed", `Cannot restart ${name}: ${reason}`));
      },
      startFailed: (reason: string) => this.#started.reject(new SkinkError("start-failed", this.#startMessage(reason))),
      stopped: (outcome: StopOutcome) => {
        this.#started.reject(this.#stoppedMeanwhile());
        this.#restarting?.reject(new SkinkError("stopped", `Cannot restart ${name}: it was stopped meanwhile`));
        this.#stopped.resolve(outcome);
      },
      event: (event: DeviceEvent) => {
        const told = this.#context.tell(event);
        this.#hook?.tell(told);
        this.#check(event, runs);
      },
    };
    const drivers = { first: spec, fallback };
    const supervisor = new Supervisor(
      { device, incarnations: runs, drivers, clock: realClock, random: realRandom, log: coreLog, observer },
      policy,
      firstEpoch(Math.max(claim.lastEpoch, lastEpoch)),
    );
    return { device, supervisor, runs, claim };
  }

  #tellTakeUp({ remains, lastEpoch }: OpenHome): void {
    const count = remains?.pieces.length ?? 0;
    if (count === 0) return;
    const what = `${count} acknowledged pieces that an earlier front has left, up to epoch ${lastEpoch}`;
    this.#context.log.info(`${this.name}: takes up ${what}`);
  }

  /** Nothing that they tell comes before the parts are there. */
  #makeRuns(memory: DeviceMemory["memory"]): DriverRuns {
    const { name } = this.#config;
    const { log, service } = this.#context;
    const output = (line: string): void => log.info(`${name}: driver: ${line}`);
    const kept = storedName(KEPT, name);
    const shelf = { take: () => service.takeAll(kept), put: (fd: number) => void service.store(kept, fd) };
    const events = this.#eventsFor(() => this.#need("run"));
    return new DriverRuns(this.#config, memory, shelf, () => this.#parts?.claim, events, output);
  }

  /** The health check is of the incarnation that is live, while it is. */
  #check({ type, epoch }: DeviceEvent, runs: DriverRuns): void {
    const { uri } = this.#context;
    if (type === "live") this.#health?.start({ device: this.name, epoch, uri, pid: runs.pid(epoch) });
    else if (type === "fault") this.#health?.stop();
  }

  /** The supervisor needs the incarnations, and they need it. */
  #eventsFor(parts: () => Parts): IncarnationEvents {
    const readOnly = this.#config.readOnly ?? false;
    const supervisor = (): Supervisor => parts().supervisor;
    const events: IncarnationEvents = {
      opened: (epoch, info, link) => {
        const refusal = parts().claim.identify(supervisor().driver as DeviceSpec, info.identity);
        if (refusal !== undefined) return events.openFailed(epoch, refusal);
        const geometry = { ...info.geometry, readOnly: info.geometry.readOnly || readOnly };
        supervisor().opened(epoch, { ...info, geometry }, this.#tapped(link, geometry));
      },
      openFailed: (epoch, message) => {
        this.#openFailure = { epoch, message };
        supervisor().openFailed(epoch, message);
      },
      completed: (epoch, tag, errno, count) => {
        this.#config.tap?.completed(epoch, tag, errno, count);
        supervisor().completed(epoch, tag, errno, count);
      },
      fault: (epoch, kind, what) => supervisor().fault(epoch, kind, what),
      settled: (epoch) => supervisor().settled(epoch),
      exited: (epoch, kind, how) => {
        this.#end = how;
        supervisor().exited(epoch, kind, how);
        if (epoch > this.#restartedEpoch) this.#restarting?.reject(this.#restartFailure(epoch, how));
      },
    };
    return events;
  }

  #tapped(link: Link, geometry: Geometry): Link {
    const writes = this.#memory?.memory.writes;
    return writes === undefined ? link : (this.#config.tap?.opened(link, geometry, writes.memory) ?? link);
  }

  #restartFailure(epoch: number, how: string): SkinkError {
    const why = this.#openFailure?.epoch === epoch ? this.#openFailure.message : how;
    const what = `the new driver ended before it was live (${why}); it is tried again until one is`;
    return new SkinkError("restart-failed", `Cannot restart ${this.name}: ${what}`);
  }

  #stoppedMeanwhile(): SkinkError {
    return new SkinkError("stopped", this.#startMessage("it was stopped meanwhile"));
  }

  #startMessage(reason: string): string {
    if (reason.startsWith("Cannot ")) return reason;
    // Of a driver that was killed because it was late, the last words may tell why.
    const end = this.#end === undefined || reason.includes(this.#end) ? "" : ` (${this.#end})`;
    return `Cannot start ${this.name}: ${reason}${end}`;
  }

  #wrongTime(act: string, wanted: string): SkinkError {
    return new SkinkError("wrong-state", `Cannot ${act} ${this.name}: it is ${this.state}, ${wanted} was wanted`);
  }

  #need(act: string): Parts {
    if (this.#parts === undefined) throw this.#wrongTime(act, "a device that is open");
    return this.#parts;
  }
}

function isDamage(error: unknown): error is SkinkError {
  return error instanceof SkinkError && DAMAGES.includes(error.code);
}

/** What is said of a device before its home is open. */
const UNOPENED = {
  size: 0,
  state: "starting",
  epoch: 0,
  restarts: 0,
  shadow: { pieces: 0, bytes: 0, limitBytes: 0 },
  recoveries: [],
  counters: { ...newCounters(), faults: newFaultCounts() },
} as const;
