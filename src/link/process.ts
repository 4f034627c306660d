import { closeSync } from "node:fs";
import { readUsage, readVitals } from "../os/process-stat.ts";
import type { DriverRef, IncarnationEvents, Incarnations, Usage, Vitals } from "../shadow/ports.ts";
import { type HostMessage, MAX_CODE_BYTES } from "./control.ts";
import type { HostOwner, SpareKeeper } from "./host-owner.ts";
import { HostProcess } from "./host-process.ts";
import { KeptRegions, takeFile } from "./kept.ts";
import { type DriverSource, driverName, oneLine } from "./opening.ts";
import { DriverOutput } from "./output.ts";
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
}

/** JavaScript that a host has left for the next one of the same driver. */
interface Code {
  readonly fd: number;
  readonly bytes: number;
}

/**
 * Runs each incarnation of a driver in a process of its own, which shares with the front no more than payloads and
 * rings. Each has rings of its own, so nothing that a late one writes is ever read (P4).
 */
export class ProcessIncarnations implements Incarnations {
  readonly #options: ProcessIncarnationsOptions;
  readonly #hosts = new Map<number, HostProcess>();
  readonly #kept = new KeptRegions();
  /** By the URL of the driver's module. */
  readonly #code = new Map<string, Code>();
  readonly #spares: Spares;
  /** All hosts of which something is left, spares too. */
  readonly #made = new Set<HostProcess>();

  constructor(options: ProcessIncarnationsOptions) {
    this.#options = options;
    this.#spares = new Spares({
      standby: options.standby ?? false,
      make: (driver, keeper) => this.#make(driver, keeper),
      // Regions are never given up: as many are the same ones.
      isCurrent: ({ order }) => order.kept.length === this.#kept.list().length,
      say: options.output,
    });
  }

  start(epoch: number, driver: DriverRef): void {
    this.#open(epoch, driver, () => this.#spares.take(driver) ?? this.#make(driver, undefined));
  }

  prepare(driver: DriverRef, done: (failure: string | undefined) => void): void {
    this.#spares.prepare(driver, done);
  }

  close(epoch: number): void {
    this.#hosts.get(epoch)?.close();
  }

  kill(epoch: number): void {
    this.#hosts.get(epoch)?.kill();
  }

  ping(epoch: number): void {
    this.#hosts.get(epoch)?.ping();
  }

  beat(epoch: number): number | undefined {
    return this.#hosts.get(epoch)?.pulse?.beat;
  }

  vitals(epoch: number): Vitals | undefined {
    const pid = this.pid(epoch);
    return pid === undefined ? undefined : readVitals(pid);
  }

  usage(epoch: number): Usage | undefined {
    const host = this.#hosts.get(epoch);
    const usage = host?.pid === undefined ? undefined : readUsage(host.pid);
    return usage === undefined ? undefined : { ...usage, lagMs: host?.pulse?.lagMs };
  }

  /** The process of a living incarnation. */
  pid(epoch: number): number | undefined {
    return this.#hosts.get(epoch)?.pid;
  }

  /** Ends the spares, forgets what incarnations have kept, and resolves when no process is left. All incarnations must have exited. */
  async dispose(): Promise<void> {
    this.#spares.dispose();
    this.#kept.close();
    for (const module of this.#code.keys()) this.#setCode(module, undefined);
    await Promise.all([...this.#made].map(({ ended }) => ended));
  }

  #open(epoch: number, driver: DriverRef, find: () => HostProcess): void {
    const { sourceOf, events } = this.#options;
    try {
      const host = find();
      this.#hosts.set(epoch, host);
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
    const { sourceOf, memory, output, depth } = this.#options;
    const source = sourceOf(driver);
    const order = {
      driver: source,
      memory,
      depth: depth ?? RING_DEPTH,
      kept: this.#kept.list(),
      code: this.#code.get(source.module),
      output: new DriverOutput(output),
    };
    const host = new HostProcess(order, keeper);
    this.#made.add(host);
    host.ended.then(() => this.#made.delete(host));
    return host;
  }

  #ownerOf(driver: DriverRef): HostOwner {
    const { sourceOf, events } = this.#options;
    const { module } = sourceOf(driver);
    return {
      events,
      take: (pid, message) => {
        this.#take(module, pid, message);
        this.#spares.opened(driver);
      },
      openFailed: (epoch, message) => {
        // Should what an earlier host has left be at fault, the next one does without.
        this.#setCode(module, undefined);
        events.openFailed(epoch, message);
      },
      stale: (epoch) => this.#open(epoch, driver, () => this.#make(driver, undefined)),
      exited: (epoch, kind, how) => {
        this.#hosts.delete(epoch);
        events.exited(epoch, kind, how);
      },
    };
  }

  #take(module: string, pid: number, message: HostMessage & { type: "opened" }): void {
    this.#kept.take(pid, message.kept);
    if (message.code === undefined || message.code.bytes > MAX_CODE_BYTES) return;
    this.#setCode(module, { fd: takeFile(pid, message.code), bytes: message.code.bytes });
  }

  #setCode(module: string, code: Code | undefined): void {
    const old = this.#code.get(module);
    if (old !== undefined) closeSync(old.fd);
    if (code === undefined) this.#code.delete(module);
    else this.#code.set(module, code);
  }
}
