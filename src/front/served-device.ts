import { SkinkError } from "../block/errors.ts";
import type { ArenaLimits } from "../link/shared-arenas.ts";
import { Device } from "../shadow/device.ts";
import type { DeviceLimits } from "../shadow/limits.ts";
import type { BlockDevice, IncarnationEvents, Log } from "../shadow/ports.ts";
import type { DeviceEvent } from "../supervisor/event.ts";
import type { Policy } from "../supervisor/policy.ts";
import { type StopOutcome, Supervisor } from "../supervisor/supervisor.ts";
import type { UpgradeOutcome } from "../supervisor/upgrade.ts";
import { firstEpoch, realClock, realRandom } from "./clock.ts";
import { checkContradictions } from "./contradictions.ts";
import type { UpgradeResult } from "./control-protocol.ts";
import { DriverRuns } from "./driver-runs.ts";
import type { FrontEvent } from "./events.ts";
import { HealthCheck, type HealthConfig } from "./health-check.ts";
import { Hook, type HookConfig } from "./hook.ts";
import type { DeviceSpec } from "./spec.ts";
import type { DeviceStatus } from "./status.ts";

/** Room for payloads: those written, in flight and retained, and those being read. */
const DEFAULT_MEMORY: ArenaLimits = { writeBytes: 256 << 20, readBytes: 128 << 20 };

/** Where a driver runs: in a process of its own, or in the front's, where nothing protects the front from it. */
export type LinkKind = "process" | "inline";

/** A device as it is wanted. What is left out has its default. */
export interface DeviceConfig {
  readonly name: string;
  readonly spec: DeviceSpec;
  readonly link?: LinkKind;
  /** What serves where restarts of the driver don't help: for the same store. */
  readonly fallback?: DeviceSpec;
  /** Whether a spare driver host stands ready to open the store. */
  readonly standby?: boolean;
  /** Whether what is read is compared with what was written. */
  readonly verify?: "digests";
  /** A command that is run for each decision. */
  readonly hook?: HookConfig;
  readonly health?: HealthConfig;
  /** Clients may not write, even though the driver could. */
  readonly readOnly?: boolean;
  readonly limits?: Partial<DeviceLimits & ArenaLimits>;
  readonly policy?: Partial<Policy>;
  /** False switches the shadow off: what a lost incarnation had not made durable is gone. To show what that means. */
  readonly retains?: boolean;
}

/** What a device asks of those who serve its clients when memory is short: see {@link NbdServer}. */
export interface Clients {
  unpinAll(): void;
  cutOffIdleWriters(device: BlockDevice): number;
}

/** One device of a front: the core with real time, memory and incarnations around it. */
export class ServedDevice {
  readonly name: string;
  readonly device: Device;
  readonly #config: DeviceConfig;
  readonly #uri: () => string;
  readonly #supervisor: Supervisor;
  readonly #runs: DriverRuns;
  readonly #hook: Hook | undefined;
  readonly #health: HealthCheck | undefined;
  readonly #stopped: Promise<StopOutcome>;
  readonly #started: Promise<void>;
  /** Who waits for the end of a planned restart. */
  #restarting: PromiseWithResolvers<void> | undefined;
  /** The newest incarnation before that. */
  #restartedEpoch = 0;
  /** Why the newest incarnation that could not open could not. */
  #openFailure: { readonly epoch: number; readonly message: string } | undefined;
  /** How the newest incarnation that has ended did. */
  #end: string | undefined;

  /** Starts nothing yet. `uri`: where clients find it. `tell`: takes what happens to it. Throws `bad-device`. */
  constructor(
    config: DeviceConfig,
    log: Log,
    clients: Clients,
    uri: () => string,
    tell: (event: DeviceEvent) => FrontEvent,
  ) {
    checkContradictions(config.name, config);
    this.name = config.name;
    this.#config = config;
    this.#uri = uri;
    const started = Promise.withResolvers<void>();
    const stopped = Promise.withResolvers<StopOutcome>();
    this.#started = started.promise;
    this.#stopped = stopped.promise;
    // Whoever starts it waits for this; nobody has to, though, who has stopped it meanwhile.
    this.#started.catch(() => {});

    const events = this.#eventsFor(() => this.#supervisor);
    const output = (line: string): void => log.info(`${config.name}: driver: ${line}`);
    const limits = { ...DEFAULT_MEMORY, ...config.limits };
    this.#runs = new DriverRuns(config, limits, events, output);
    this.#hook = config.hook === undefined ? undefined : new Hook(config.hook, log);
    this.#health =
      config.health === undefined
        ? undefined
        : new HealthCheck(config.health, { log, sick: (epoch, reason) => this.#supervisor.sick(epoch, reason) });
    let live = false;
    // Why it could not start is said once, by whoever started it.
    const coreLog: Log = { ...log, warn: (message) => live && log.warn(message) };
    const { writes, reads } = this.#runs.memory;
    const ports = {
      name: config.name,
      clock: realClock,
      random: realRandom,
      log: coreLog,
      writes,
      reads,
      shortOfReads: () => clients.unpinAll(),
      cutOffIdleWriters: () => clients.cutOffIdleWriters(this.device),
    };
    this.device = new Device(ports, limits, { retains: config.retains ?? true, verify: config.verify });
    const observer = {
      live: () => {
        live = true;
        started.resolve();
        this.#restarting?.resolve();
      },
      failed: (reason: string) => {
        this.#restarting?.reject(new SkinkError("restart-failed", `Cannot restart ${config.name}: ${reason}`));
      },
      startFailed: (reason: string) => started.reject(new SkinkError("start-failed", this.#startMessage(reason))),
      stopped: (outcome: StopOutcome) => {
        started.reject(new SkinkError("stopped", this.#startMessage("it was stopped meanwhile")));
        this.#restarting?.reject(new SkinkError("stopped", `Cannot restart ${config.name}: it was stopped meanwhile`));
        stopped.resolve(outcome);
      },
      event: (event: DeviceEvent) => {
        const told = tell(event);
        this.#hook?.tell(told);
        this.#check(event);
      },
    };
    const { device } = this;
    const drivers = { first: config.spec, fallback: config.fallback };
    this.#supervisor = new Supervisor(
      { device, incarnations: this.#runs, drivers, clock: realClock, random: realRandom, log: coreLog, observer },
      config.policy,
      firstEpoch(),
    );
  }

  /** Resolves when the first incarnation is live. Rejects with `start-failed` or `stopped`, and nothing is left running. */
  start(): Promise<void> {
    this.#supervisor.start();
    return this.#started;
  }

  /** Resolves when the driver is closed, or had to be given up. */
  async stop(): Promise<StopOutcome> {
    this.#supervisor.stop();
    const outcome = await this.#stopped;
    await Promise.all([this.#health?.stop(), this.#hook?.stop(), this.#runs.end(outcome.clean)]);
    return outcome;
  }

  /** Kills the driver where it stands; its end is not waited for. */
  abandon(): void {
    this.#runs.kill(this.#supervisor.epoch);
    this.#hook?.abandon();
    this.#health?.stop();
  }

  /** Gives back the memory. Only once nothing refers to a payload any more: no client, no living incarnation. */
  dispose(): void {
    this.#runs.freeMemory();
  }

  kill(): void {
    if (this.#supervisor.kill()) return;
    throw this.#wrongTime("kill", "a driver that runs");
  }

  /**
   * Resolves when the device is live again. Rejects with `wrong-state`, `restart-failed` or `stopped`. If the new
   * incarnation ends before it is live, it is said once, and tried again like after any fault.
   */
  async restart(): Promise<void> {
    const { epoch } = this.#supervisor;
    if (!this.#supervisor.restart()) throw this.#wrongTime("restart", "live, degraded, held or failed");
    this.#restartedEpoch = epoch;
    this.#restarting = Promise.withResolvers();
    await this.#restarting.promise;
  }

  /**
   * Hands the device over to another driver for the same store. Resolves when that has proved itself or was taken back, or,
   * without `wait`, when it serves. Rejects with `wrong-state` or `upgrade-refused`.
   */
  upgrade(spec: DeviceSpec, wait: boolean): Promise<UpgradeResult> {
    return new Promise((resolve, reject) => {
      const taken = this.#supervisor.upgrade(spec, {
        serving: (epoch, stallMs) => {
          if (!wait) resolve({ outcome: "on probation", epoch, stallMs });
        },
        ended: (outcome: UpgradeOutcome) => {
          if (outcome.outcome !== "refused") return resolve(outcome);
          reject(new SkinkError("upgrade-refused", `Cannot upgrade ${this.name}: ${outcome.reason}`));
        },
      });
      if (taken) return;
      reject(
        this.#supervisor.upgrading
          ? new SkinkError("wrong-state", `Cannot upgrade ${this.name}: another upgrade of it is going on`)
          : this.#wrongTime("upgrade", "live or degraded"),
      );
    });
  }

  status(uri: string): DeviceStatus {
    const { device } = this;
    const { state, reason, epoch, restarts, recoveries, faults, driver } = this.#supervisor;
    return {
      name: this.name,
      uri,
      size: device.opened ? device.geometry.size : 0,
      state,
      ...(reason === undefined ? {} : { reason }),
      epoch,
      driver: { kind: driver.kind, pid: this.#runs.pid(epoch) ?? null },
      restarts,
      shadow: device.shadow,
      recoveries,
      counters: { ...device.counters, faults },
    };
  }

  /** The health check is of the incarnation that is live, while it is. */
  #check({ type, epoch }: DeviceEvent): void {
    if (type === "live") this.#health?.start({ device: this.name, epoch, uri: this.#uri, pid: this.#runs.pid(epoch) });
    else if (type === "fault") this.#health?.stop();
  }

  /** The supervisor needs the incarnations, and they need it. */
  #eventsFor(supervisor: () => Supervisor): IncarnationEvents {
    const readOnly = this.#config.readOnly ?? false;
    return {
      opened: (epoch, info, link) => {
        const geometry = { ...info.geometry, readOnly: info.geometry.readOnly || readOnly };
        supervisor().opened(epoch, { ...info, geometry }, link);
      },
      openFailed: (epoch, message) => {
        this.#openFailure = { epoch, message };
        supervisor().openFailed(epoch, message);
      },
      completed: (epoch, tag, errno, count) => supervisor().completed(epoch, tag, errno, count),
      fault: (epoch, kind, what) => supervisor().fault(epoch, kind, what),
      settled: (epoch) => supervisor().settled(epoch),
      exited: (epoch, kind, how) => {
        this.#end = how;
        supervisor().exited(epoch, kind, how);
        if (epoch > this.#restartedEpoch) this.#restarting?.reject(this.#restartFailure(epoch, how));
      },
    };
  }

  #restartFailure(epoch: number, how: string): SkinkError {
    const why = this.#openFailure?.epoch === epoch ? this.#openFailure.message : how;
    const what = `the new driver ended before it was live (${why}); it is tried again until one is`;
    return new SkinkError("restart-failed", `Cannot restart ${this.name}: ${what}`);
  }

  #startMessage(reason: string): string {
    if (reason.startsWith("Cannot ")) return reason;
    // Of a driver that was killed because it was late, the last words may tell why.
    const end = this.#end === undefined || reason.includes(this.#end) ? "" : ` (${this.#end})`;
    return `Cannot start ${this.name}: ${reason}${end}`;
  }

  #wrongTime(act: string, wanted: string): SkinkError {
    return new SkinkError(
      "wrong-state",
      `Cannot ${act} ${this.name}: it is ${this.#supervisor.state}, ${wanted} was wanted`,
    );
  }
}
