import { readUsage, readVitals } from "../os/process-stat.ts";
import type { DriverRef, IncarnationEvents, Incarnations, Usage, Vitals } from "../shadow/ports.ts";
import type { HostOwner, SpareKeeper } from "./host-owner.ts";
import { HostProcess } from "./host-process.ts";
import { KeptRegions, type Shelf } from "./kept.ts";
import { KeptCode } from "./kept-code.ts";
import { type DriverSource, driverName, oneLine } from "./opening.ts";
import { DriverOutput } from "./output.ts";
import { newMark } from "./process-mark.ts";
import { RING_DEPTH } from "./ring.ts";
import type { SharedArenas } from "./shared-arenas.ts";
import { Spares } from "./spares.ts";

export interface ProcessIncarnationsOptions {
  /** What a driver that is to be started or prepared is. */
  readonly sourceOf: (driver: DriverRef) => DriverSource;
  readonly memory: SharedArenas;
  readonly events: IncarnationEvents;
  /** A line that a driver printed or logged, without its newline, bounded in length and rate; or one about its spares. */
  readonly output: (line: string) => void;
  /** Submissions that may be outstanding: a power of two. */
  readonly depth?: number;
  /** Whether a spare host of the driver that runs is kept, which has but to open the store when it is wanted. */
  readonly standby?: boolean;
  /** Where what drivers keep outlives this front; nowhere if left out. */
  readonly shelf?: Shelf | undefined;
  /** Makes a mark for the processes of one host: see {@link newMark}. One that names no store if left out. */
  readonly mark?: () => string;
}

interface Running {
  readonly driver: DriverRef;
  readonly host: HostProcess;
}

/**
 * Runs each incarnation of a driver in a process of its own, which shares with the front no more than payloads and
 * rings. Each has rings of its own, so nothing that a late one writes is ever read (P4).
 */
export class ProcessIncarnations implements Incarnations {
  readonly #options: ProcessIncarnationsOptions;
  readonly #running = new Map<number, Running>();
  readonly #kept: KeptRegions;
  readonly #code = new KeptCode();
  readonly #spares: Spares;
  /** All hosts of which something is left, spares too. */
  readonly #made = new Set<HostProcess>();

  constructor(options: ProcessIncarnationsOptions) {
    this.#options = options;
    this.#kept = new KeptRegions(options.shelf);
    this.#spares = new Spares({
      standby: options.standby ?? false,
      make: (driver, keeper) => this.#make(driver, keeper),
      // Regions are never given up: as many are the same ones.
      isCurrent: ({ order }, driver) =>
        order.kept.length === this.#kept.list().length && order.code.pinned === this.#code.of(driver).pinned,
      say: options.output,
    });
  }

  start(epoch: number, driver: DriverRef): void {
    this.#open(epoch, driver, () => this.#spares.take(driver) ?? this.#make(driver, undefined));
  }

  /** The driver that it may replace is pinned. */
  prepare(driver: DriverRef, done: (failure: string | undefined) => void): void {
    this.pin();
    this.#spares.prepare(driver, done);
  }

  /** The driver that runs may have to come back as it is: from now on it is the code that it runs, whatever is on disk. */
  pin(): void {
    for (const { driver } of this.#running.values()) this.#code.pin(driver);
  }

  close(epoch: number): void {
    this.#host(epoch)?.close();
  }

  kill(epoch: number): void {
    this.#host(epoch)?.kill();
  }

  unprepare(): void {
    this.#spares.unprepare();
  }

  ping(epoch: number): void {
    this.#host(epoch)?.ping();
  }

  beat(epoch: number): number | undefined {
    return this.#host(epoch)?.pulse?.beat;
  }

  vitals(epoch: number): Vitals | undefined {
    const pid = this.pid(epoch);
    return pid === undefined ? undefined : readVitals(pid);
  }

  usage(epoch: number): Usage | undefined {
    const host = this.#host(epoch);
    const usage = host?.pid === undefined ? undefined : readUsage(host.pid);
    return usage === undefined ? undefined : { ...usage, lagMs: host?.pulse?.lagMs };
  }

  /** The process of a living incarnation. */
  pid(epoch: number): number | undefined {
    return this.#host(epoch)?.pid;
  }

  /** Ends the spares, forgets what incarnations have kept, and resolves when no process is left. All incarnations must have exited. */
  async dispose(): Promise<void> {
    this.#spares.dispose();
    this.#kept.close();
    this.#code.close();
    for (const host of this.#made) host.hurry();
    await Promise.all([...this.#made].map(({ ended }) => ended));
  }

  #host(epoch: number): HostProcess | undefined {
    return this.#running.get(epoch)?.host;
  }

  #open(epoch: number, driver: DriverRef, find: () => HostProcess): void {
    const { sourceOf, events } = this.#options;
    try {
      const host = find();
      this.#running.set(epoch, { driver, host });
      host.open(epoch, this.#ownerOf(driver));
    } catch (error) {
      const name = driverName(sourceOf(driver));
      setImmediate(() => {
        events.openFailed(epoch, `Cannot start driver ${name}: ${oneLine(error)}, a process was wanted`);
        events.exited(epoch, "open-failed", "not started");
      });
    }
  }

  /** Throws where the machine refuses what a process takes. */
  #make(driver: DriverRef, keeper: SpareKeeper | undefined): HostProcess {
    const { sourceOf, memory, output, depth, mark = () => newMark([]) } = this.#options;
    const order = {
      driver: sourceOf(driver),
      memory,
      depth: depth ?? RING_DEPTH,
      kept: this.#kept.list(),
      code: this.#code.of(driver),
      output: new DriverOutput(output),
      mark: mark(),
    };
    const host = new HostProcess(order, keeper);
    this.#made.add(host);
    host.ended.then(() => this.#made.delete(host));
    return host;
  }

  #ownerOf(driver: DriverRef): HostOwner {
    const { events } = this.#options;
    return {
      events,
      take: (pid, { kept, code }) => {
        this.#kept.take(pid, kept);
        this.#code.opened(driver, pid, code);
        this.#spares.opened(driver);
      },
      openFailed: (epoch, message) => {
        this.#code.openFailed(driver);
        events.openFailed(epoch, message);
      },
      stale: (epoch) => this.#open(epoch, driver, () => this.#make(driver, undefined)),
      exited: (epoch, kind, how) => {
        this.#running.delete(epoch);
        events.exited(epoch, kind, how);
      },
    };
  }
}
