import { hasEnded, readStat } from "../os/process-stat.ts";
import type { DriverRef } from "../shadow/ports.ts";
import type { SpareKeeper } from "./host-owner.ts";
import type { HostProcess } from "./host-process.ts";
import { oneLine } from "./opening.ts";

/** A standby is made so long after the incarnation that it stands by has opened: the recovery needs the cores first. */
const STANDBY_DELAY_MS = 40;
/** After a spare that died before it was wanted, the next one; the delay doubles with each. */
const RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

export interface SparesOptions {
  /** Whether a spare of the driver that runs is kept. */
  readonly standby: boolean;
  /** Throws where the machine refuses what a process takes. */
  make(driver: DriverRef, keeper: SpareKeeper): HostProcess;
  /** Whether a host of that driver that was made now would be no other one. */
  isCurrent(host: HostProcess, driver: DriverRef): boolean;
  /** A line for the log. */
  say(line: string): void;
}

interface Spare {
  readonly driver: DriverRef;
  readonly host: HostProcess;
}

/**
 * Hosts that have loaded a driver and wait: a standby of the driver that runs, and one that was prepared for an
 * upgrade. At most one of each.
 */
export class Spares {
  readonly #options: SparesOptions;
  #running: DriverRef | undefined;
  #standby: Spare | undefined;
  #timer: NodeJS.Timeout | undefined;
  #retryMs = 0;
  /** It has been said that there is no standby. */
  #complained = false;
  #prepared: (Spare & { readonly settle: (failure: string | undefined) => void }) | undefined;

  constructor(options: SparesOptions) {
    this.#options = options;
  }

  /** A spare of that driver, ready or not, for its caller to open; `undefined` where there is none that would do. */
  take(driver: DriverRef): HostProcess | undefined {
    const prepared = this.#prepared;
    if (prepared?.driver === driver) {
      this.#prepared = undefined;
      prepared.settle(undefined);
      return this.#usable(prepared);
    }
    const standby = this.#standby;
    if (standby?.driver !== driver) return undefined;
    this.#standby = undefined;
    this.#retryMs = 0;
    this.#complained = false;
    return this.#usable(standby);
  }

  /** An incarnation of that driver has opened: from now on, that is the one to stand by for. */
  opened(driver: DriverRef): void {
    this.#running = driver;
    this.#renewStandby();
  }

  /** See {@link Incarnations.prepare}. */
  prepare(driver: DriverRef, done: (failure: string | undefined) => void): void {
    this.#giveUpPrepared("another one was wanted meanwhile");
    const { promise, resolve: settle } = Promise.withResolvers<string | undefined>();
    promise.then((failure) => {
      setImmediate(done, failure);
      // The one that runs is there to stay, and is pinned now, as its standby has to be.
      if (failure !== undefined) this.#renewStandby();
    });
    try {
      const host = this.#options.make(driver, {
        ready: () => settle(undefined),
        gone: (why) => {
          settle(why);
          if (this.#prepared?.host === host) this.#prepared = undefined;
        },
      });
      this.#prepared = { driver, host, settle };
    } catch (error) {
      settle(`Cannot prepare driver ${driver.kind}: ${oneLine(error)}, a process was wanted`);
    }
  }

  /** See {@link Incarnations.unprepare}. */
  unprepare(): void {
    this.#giveUpPrepared("it was not wanted any more");
  }

  /** Ends them all, and makes no more. */
  dispose(): void {
    clearTimeout(this.#timer);
    this.#running = undefined;
    const standby = this.#standby;
    this.#standby = undefined;
    standby?.host.kill();
    this.#giveUpPrepared("the device is disposed of");
  }

  #usable({ host, driver }: Spare): HostProcess | undefined {
    if (host.isWaiting && canRun(host) && this.#options.isCurrent(host, driver)) return host;
    host.kill();
    return undefined;
  }

  #giveUpPrepared(why: string): void {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    prepared?.settle(`Cannot prepare driver ${prepared.driver.kind}: ${why}`);
    prepared?.host.kill();
  }

  /** Sees to it that there will be a standby that would do. */
  #renewStandby(): void {
    const driver = this.#running;
    const standby = this.#standby;
    if (!this.#options.standby || driver === undefined) return;
    if (standby?.driver === driver && this.#options.isCurrent(standby.host, driver)) return;
    this.#standby = undefined;
    standby?.host.kill();
    this.#standbyAfter(Math.max(STANDBY_DELAY_MS, this.#retryMs));
  }

  #standbyAfter(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#makeStandby(), ms);
    // A front that has nothing else to do does not wait for it.
    this.#timer.unref();
  }

  #makeStandby(): void {
    const driver = this.#running;
    if (driver === undefined || this.#standby !== undefined) return;
    try {
      const host = this.#options.make(driver, {
        ready: () => {},
        gone: (why) => {
          if (this.#standby?.host !== host) return;
          this.#standby = undefined;
          this.#noStandby(why);
        },
      });
      this.#standby = { driver, host };
    } catch (error) {
      this.#noStandby(oneLine(error));
    }
  }

  #noStandby(why: string): void {
    if (!this.#complained) this.#options.say(`no standby: ${why}`);
    this.#complained = true;
    this.#retryMs = Math.min(Math.max(RETRY_MS, 2 * this.#retryMs), MAX_RETRY_MS);
    this.#standbyAfter(this.#retryMs);
  }
}

/** A process that is suspended, as by SIGSTOP, tells nobody, and would not open. */
function canRun({ pid }: HostProcess): boolean {
  const stat = pid === undefined ? undefined : readStat(pid);
  return stat !== undefined && !hasEnded(stat) && stat.state !== "T";
}
