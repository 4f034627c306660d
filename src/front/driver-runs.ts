import { InlineIncarnations } from "../link/inline.ts";
import type { Shelf } from "../link/kept.ts";
import { NbdIncarnations } from "../link/nbd/nbd.ts";
import { ProcessIncarnations } from "../link/process.ts";
import type { Arenas, SharedArenas } from "../link/shared-arenas.ts";
import type { DriverRef, IncarnationEvents, Incarnations, Usage, Vitals } from "../shadow/ports.ts";
import type { DeviceConfig } from "./device-config.ts";
import type { DeviceSpec } from "./spec.ts";
import { StoreClaim } from "./store-claim.ts";

/** Incarnations of one kind of link. */
type Runs = ProcessIncarnations | InlineIncarnations | NbdIncarnations;

/**
 * What runs the drivers of a device: a module in a process of its own, or in this one, or an NBD server. They have the device's
 * memory in common, so that any of them can take over from any other.
 */
export class DriverRuns implements Incarnations {
  readonly #modules: ProcessIncarnations | InlineIncarnations;
  readonly #servers: NbdIncarnations;
  readonly #claim: () => StoreClaim | undefined;
  /** Which of them an incarnation is of. */
  readonly #living = new Map<number, Runs>();

  /**
   * Nothing runs yet. `memory`: shared, unless the driver is in this process. `shelf`: for what drivers keep. `claim`: there by
   * the first start, and told of each. `output`: takes a line that a driver printed.
   */
  constructor(
    config: DeviceConfig,
    memory: Arenas | SharedArenas,
    shelf: Shelf,
    claim: () => StoreClaim | undefined,
    events: IncarnationEvents,
    output: (line: string) => void,
  ) {
    const { link, readOnly = false, standby = false } = config;
    this.#claim = claim;
    const common = {
      output,
      mark: () => claim()?.newMark() ?? StoreClaim.earlyMark(config),
      events: {
        ...events,
        exited: (epoch, kind, how) => {
          this.#living.delete(epoch);
          events.exited(epoch, kind, how);
        },
      } satisfies IncarnationEvents,
    };
    const modules = { ...common, sourceOf: moduleOf };
    this.#modules =
      link === "inline" || !isShared(memory)
        ? new InlineIncarnations({ ...modules, memory })
        : new ProcessIncarnations({ ...modules, memory, standby, shelf });
    this.#servers = new NbdIncarnations({ ...common, memory, sourceOf: serverOf, wantsWrites: !readOnly });
  }

  start(epoch: number, driver: DriverRef): void {
    const runs = this.#runsOf(driver);
    this.#living.set(epoch, runs);
    runs.start(epoch, driver);
    this.#claim()?.started(epoch, runs.pid(epoch));
  }

  /**
   * Has a process load a driver that is to be started soon, and opens nothing. Resolves with why it could not, if so; at once where
   * there is nothing that could be done before the start.
   */
  load(driver: DriverRef): Promise<string | undefined> {
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const isHost = this.#modules instanceof ProcessIncarnations && this.#runsOf(driver) === this.#modules;
    if (isHost) this.#modules.prepare(driver, resolve);
    else resolve(undefined);
    return promise;
  }

  close(epoch: number): void {
    this.#living.get(epoch)?.close(epoch);
  }

  kill(epoch: number): void {
    this.#living.get(epoch)?.kill(epoch);
  }

  prepare(driver: DriverRef, done: (failure: string | undefined) => void): void {
    const runs = this.#runsOf(driver);
    // Modules see to it themselves where one of theirs is the newcomer.
    if (runs === this.#servers && this.#modules instanceof ProcessIncarnations) this.#modules.pin();
    runs.prepare(driver, done);
  }

  unprepare(): void {
    this.#modules.unprepare();
  }

  ping(epoch: number): void {
    this.#living.get(epoch)?.ping(epoch);
  }

  beat(epoch: number): number | undefined {
    return this.#living.get(epoch)?.beat(epoch);
  }

  vitals(epoch: number): Vitals | undefined {
    return this.#living.get(epoch)?.vitals(epoch);
  }

  usage(epoch: number): Usage | undefined {
    return this.#living.get(epoch)?.usage(epoch);
  }

  /** The process of a living incarnation, if it has one. */
  pid(epoch: number): number | undefined {
    return this.#living.get(epoch)?.pid(epoch);
  }

  /**
   * Ends what waits for its use. Resolves when no process is left; where an incarnation can't be reaped (not `clean`), that isn't
   * waited for, and what would end it with the front stays.
   */
  async end(clean: boolean): Promise<void> {
    const ended = this.#modules.dispose();
    if (!clean) return;
    this.#servers.dispose();
    await ended;
  }

  #runsOf(driver: DriverRef): Runs {
    return specOf(driver).source.type === "module" ? this.#modules : this.#servers;
  }
}

function isShared(memory: Arenas | SharedArenas): memory is SharedArenas {
  return "writesFd" in memory;
}

/** The drivers that a supervisor chooses from are specs. */
function specOf(driver: DriverRef): DeviceSpec {
  return driver as DeviceSpec;
}

function moduleOf(driver: DriverRef) {
  const { kind, source } = specOf(driver);
  if (source.type !== "module") throw new Error(`${kind} is no module`);
  return { ...source, name: kind };
}

function serverOf(driver: DriverRef) {
  const { kind, source } = specOf(driver);
  if (source.type === "module") throw new Error(`${kind} is no server`);
  return source;
}
