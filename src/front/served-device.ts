import { SkinkError } from "../block/errors.ts";
import type { ArenaLimits } from "../link/shared-arenas.ts";
import { Device } from "../shadow/device.ts";
import type { DeviceLimits } from "../shadow/limits.ts";
import type { BlockDevice, IncarnationEvents, Log } from "../shadow/ports.ts";
import type { Policy } from "../supervisor/policy.ts";
import { type StopOutcome, Supervisor } from "../supervisor/supervisor.ts";
import { firstEpoch, realClock, realRandom } from "./clock.ts";
import { type DriverRuns, driverRuns } from "./driver-runs.ts";
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

/** A server's process is no host of ours: it has no link to choose. Throws `bad-link`. */
export function checkLink(name: string, { kind, source }: DeviceSpec, link: LinkKind | undefined): void {
  if (link === undefined || source.type === "module") return;
  const is = `${kind} is an NBD server, which is not run by a link ${link}`;
  throw new SkinkError("bad-link", `Cannot serve ${name}: ${is}, no link was wanted`);
}

/** One device of a front: the core with real time, memory and incarnations around it. */
export class ServedDevice {
  readonly name: string;
  readonly device: Device;
  readonly #config: DeviceConfig;
  readonly #supervisor: Supervisor;
  readonly #runs: DriverRuns;
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

  /** Starts nothing yet. */
  constructor(config: DeviceConfig, log: Log, clients: Clients) {
    this.name = config.name;
    this.#config = config;
    const started = Promise.withResolvers<void>();
    const stopped = Promise.withResolvers<StopOutcome>();
    this.#started = started.promise;
    this.#stopped = stopped.promise;
    // Whoever starts it waits for this; nobody has to, though, who has stopped it meanwhile.
    this.#started.catch(() => {});

    const events = this.#eventsFor(() => this.#supervisor);
    const output = (line: string): void => log.info(`${config.name}: driver: ${line}`);
    const limits = { ...DEFAULT_MEMORY, ...config.limits };
    this.#runs = driverRuns(config, limits, events, output);
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
    this.device = new Device(ports, limits, { retains: config.retains ?? true });
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
    };
    const { device } = this;
    const { incarnations } = this.#runs;
    this.#supervisor = new Supervisor(
      { device, incarnations, clock: realClock, log: coreLog, observer },
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
    return await this.#stopped;
  }

  /** Kills the driver where it stands; its end is not waited for. */
  abandon(): void {
    this.#runs.incarnations.kill(this.#supervisor.epoch);
  }

  /** Gives back the memory. Only once nothing refers to a payload any more: no client, no living incarnation. */
  dispose(): void {
    this.#runs.incarnations.dispose();
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
    if (!this.#supervisor.restart()) throw this.#wrongTime("restart", "live, degraded or failed");
    this.#restartedEpoch = epoch;
    this.#restarting = Promise.withResolvers();
    await this.#restarting.promise;
  }

  status(uri: string): DeviceStatus {
    const { device } = this;
    const { state, reason, epoch, restarts, recoveries } = this.#supervisor;
    return {
      name: this.name,
      uri,
      size: device.opened ? device.geometry.size : 0,
      state,
      ...(reason === undefined ? {} : { reason }),
      epoch,
      driver: { kind: this.#config.spec.kind, pid: this.#runs.incarnations.pid(epoch) ?? null },
      restarts,
      shadow: device.shadow,
      recoveries,
      counters: device.counters,
    };
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
      fault: (epoch, what) => supervisor().fault(epoch, what),
      settled: (epoch) => supervisor().settled(epoch),
      exited: (epoch, how) => {
        this.#end = how;
        supervisor().exited(epoch, how);
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
